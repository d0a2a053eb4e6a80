#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "libcache/transport/certificates.h"
#include "libcache/transport/dev_certificates.h"
#include "libcache/transport/tls_client.h"
#include "tests/integration/temp_dir.h"

namespace cairn::test {

/// When a certificate is good, relative to now, and other things that may be wrong with it.
struct CertificateValidity {
  std::int64_t from_s = -3600;
  std::int64_t to_s = 86'400;
  CertificateRequest::Key key = CertificateRequest::Key::kEcdsa;
  bool self_signed = false;
};

/// A CA of a test's own, which signs whatever is asked for. Files go to the test's directory.
class TestCa {
 public:
  explicit TestCa(const TempDir& dir, const std::string& name = "ca") : dir_(dir.path()) {
    ca_ = Make({.common_name = name, .is_ca = true}, nullptr);
    path_ = dir_ + "/" + name + ".crt";
    WriteFile(path_, ca_.certificate);
  }

  using Validity = CertificateValidity;
  /// FILE.crt and FILE.key in the directory, for these names; the CA's certificate beside them.
  TlsFiles Issue(const std::string& file, const std::vector<std::string>& names,
                 const Validity& validity = {}) const {
    const IssuedCertificate made =
        Make({.common_name = file, .names = names, .key = validity.key},
             validity.self_signed ? nullptr : &ca_, validity.from_s, validity.to_s);
    const TlsFiles files{
        .ca = path_, .certificate = dir_ + "/" + file + ".crt", .key = dir_ + "/" + file + ".key"};
    // As a renewal does it: whole files, one after the other.
    WriteFile(files.certificate, made.certificate);
    WriteFile(files.key, made.key);
    chmod(files.key.c_str(), 0600);
    return files;
  }
  TlsClientOptions Client(const std::string& file, const std::vector<std::string>& names,
                          const Validity& validity = {}) const {
    const TlsFiles files = Issue(file, names, validity);
    return {.ca = files.ca, .certificate = files.certificate, .key = files.key, .server = ""};
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  static IssuedCertificate Make(CertificateRequest request, const IssuedCertificate* issuer,
                                std::int64_t from_s = -7200, std::int64_t to_s = 172'800) {
    request.not_before = UnixNow() + from_s;
    request.not_after = UnixNow() + to_s;
    auto made = IssueCertificate(request, issuer);
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message);
    return made ? *made : IssuedCertificate();
  }

  std::string dir_;
  std::string path_;
  IssuedCertificate ca_;
};

/// The names that TLS options have for operators.
inline TlsFiles TlsNames() {
  return {.ca = "--tls-ca", .certificate = "--tls-cert", .key = "--tls-key"};
}

}  // namespace cairn::test
