#include "libcache/transport/dev_certificates.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <tuple>
#include <utility>

#include "libcache/base/check.h"
#include "libcache/base/errno_text.h"
#include "libcache/base/read_file.h"
#include "libcache/base/unique_fd.h"
#include "libcache/transport/certificates.h"
#include "libcache/transport/openssl_handles.h"

namespace cairn {
namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kClockSlack = 300;  // Another machine's clock may be behind.
constexpr int kSerialBits = 127;

KeyPtr MakeKey(CertificateRequest::Key kind) {
  switch (kind) {
    case CertificateRequest::Key::kEd25519:
      return KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    case CertificateRequest::Key::kRsa:
      return KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
    default: return KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  }
}

/// "DNS:a.example" as OpenSSL wants it; "" for what cannot be written there.
std::string AltName(const std::string& name) {
  if (name.empty() || name.find_first_of(",;\n\r\t =\"\\") != std::string::npos) {
    return "";
  }
  std::array<unsigned char, 16> address{};
  if (inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
      inet_pton(AF_INET6, name.c_str(), address.data()) == 1) {
    return "IP:" + name;
  }
  if (name.find("://") != std::string::npos) {
    return "URI:" + name;
  }
  return name.find_first_of(":/@") == std::string::npos ? "DNS:" + name : "";
}

bool AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string KeyPem(EVP_PKEY* key) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  CAIRN_CHECK(
      PEM_write_bio_PKCS8PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string CertificatePem(X509* certificate) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  CAIRN_CHECK(PEM_write_bio_X509(memory.get(), certificate) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

struct Parsed {
  CertificatePtr certificate;
  KeyPtr key;
};

Parsed Parse(const IssuedCertificate& issued) {
  const BioPtr certificate(
      BIO_new_mem_buf(issued.certificate.data(), static_cast<int>(issued.certificate.size())));
  const BioPtr key(BIO_new_mem_buf(issued.key.data(), static_cast<int>(issued.key.size())));
  return {CertificatePtr(PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr)),
          KeyPtr(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr))};
}

void SetSerial(X509* certificate) {
  BIGNUM* const number = BN_new();
  CAIRN_CHECK(number != nullptr &&
              BN_rand(number, kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr);
  BN_free(number);
}

Result<std::string> AltNames(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) {
    const std::string one = AltName(name);
    if (one.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "'" + name + "' is no host name, IP address or URI");
    }
    all += (all.empty() ? "" : ",") + one;
  }
  return all;
}

Status WriteFile(const std::string& path, const std::string& text, mode_t mode) {
  const std::string next = path + ".new";
  unlink(next.c_str());
  const UniqueFd fd(open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid() ||
      write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      rename(next.c_str(), path.c_str()) != 0) {
    const std::string why = ErrnoText();
    unlink(next.c_str());
    return Fail(ErrorCode::kIo, path + " cannot be written: " + why);
  }
  return {};
}

}  // namespace

Result<IssuedCertificate> IssueCertificate(const CertificateRequest& request,
                                           const IssuedCertificate* issuer) {
  const auto names = AltNames(request.names);
  if (!names) {
    return Fail(names.error());
  }
  const KeyPtr key = MakeKey(request.key);
  const CertificatePtr certificate(X509_new());
  CAIRN_CHECK(key != nullptr && certificate != nullptr);
  Parsed ca;
  if (issuer != nullptr) {
    ca = Parse(*issuer);
    if (ca.certificate == nullptr || ca.key == nullptr) {
      return Fail(ErrorCode::kInvalidArgument, "the CA cannot be read: " + TakeOpenSslError());
    }
  }
  X509* const made = certificate.get();
  X509* const signer = issuer == nullptr ? made : ca.certificate.get();
  EVP_PKEY* const signing_key = issuer == nullptr ? key.get() : ca.key.get();
  X509_set_version(made, X509_VERSION_3);
  SetSerial(made);
  ASN1_TIME_set(X509_getm_notBefore(made), static_cast<std::time_t>(request.not_before));
  ASN1_TIME_set(X509_getm_notAfter(made), static_cast<std::time_t>(request.not_after));
  X509_NAME* const subject = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(request.common_name.c_str()),
                             -1, -1, 0);
  X509_set_issuer_name(made, X509_get_subject_name(signer));
  X509_set_pubkey(made, key.get());
  bool good =
      AddExtension(made, signer, NID_subject_key_identifier, "hash") &&
      AddExtension(made, signer, NID_authority_key_identifier, "keyid") &&
      AddExtension(made, signer, NID_basic_constraints,
                   request.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
      AddExtension(made, signer, NID_key_usage,
                   request.is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!request.is_ca) {
    good = good && AddExtension(made, signer, NID_ext_key_usage, "serverAuth,clientAuth");
  }
  if (!names->empty()) {
    good = good && AddExtension(made, signer, NID_subject_alt_name, *names);
  }
  const bool ed25519 = EVP_PKEY_is_a(signing_key, "ED25519") == 1;
  if (!good || X509_sign(made, signing_key, ed25519 ? nullptr : EVP_sha256()) == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "the certificate cannot be made: " + TakeOpenSslError());
  }
  return IssuedCertificate{.certificate = CertificatePem(made), .key = KeyPem(key.get())};
}

namespace {

/// A CA that is there, and when it ends.
struct Authority {
  IssuedCertificate issued;
  std::int64_t not_after = 0;
};
Result<Authority> ReadAuthority(const std::string& directory) {
  auto certificate = ReadFile(directory + "/ca.crt");
  auto key = ReadFile(directory + "/ca.key");
  if (!certificate || !key) {
    return Fail(certificate ? key.error() : certificate.error());
  }
  const auto infos = DescribeCertificates(*certificate);
  if (!infos) {
    return Fail(infos.error().code, directory + "/ca.crt: " + infos.error().message);
  }
  Authority read{.issued = {.certificate = std::move(*certificate), .key = std::move(*key)},
                 .not_after = infos->front().not_after};
  const Parsed ca = Parse(read.issued);
  const bool pair = ca.certificate != nullptr && ca.key != nullptr &&
                    X509_check_private_key(ca.certificate.get(), ca.key.get()) == 1;
  ERR_clear_error();
  if (!pair || !infos->front().is_ca) {
    return Fail(ErrorCode::kInvalidArgument,
                directory + ": ca.crt and ca.key are not a CA and its key");
  }
  if (read.not_after <= UnixNow()) {
    return Fail(ErrorCode::kInvalidArgument, directory + ": the CA has expired; make another one");
  }
  return read;
}

/// What is written under a name, .crt and .key.
struct Named {
  std::string name;
  IssuedCertificate issued;
};

/// Daemon, engine and administrator, signed by `ca`.
Result<std::vector<Named>> IssueAll(const DevCertificates::Options& options,
                                    const DevCertificates& identities, const Authority& ca) {
  const std::int64_t now = UnixNow();
  std::vector<std::string> daemon_names = options.names;
  daemon_names.push_back(identities.daemon_identity);
  std::vector<Named> all;
  for (const auto& [name, common_name, names] :
       {std::tuple<std::string, std::string, std::vector<std::string>>{"daemon", "cairnd",
                                                                       daemon_names},
        {"engine", "engine of " + options.tenant, {identities.engine_identity}},
        {"admin", "administrator", {identities.admin_identity}}}) {
    auto one = IssueCertificate(
        {.common_name = common_name.substr(0, 64),  // As many as X.509 has room for.
         .names = names,
         .is_ca = false,
         .not_before = now - kClockSlack,
         .not_after = std::min(now + options.days * kDay, ca.not_after)},
        &ca.issued);
    if (!one) {
      return Fail(one.error());
    }
    all.push_back({.name = name, .issued = std::move(*one)});
  }
  return all;
}

Result<Authority> MakeAuthority(std::uint32_t days) {
  const std::int64_t now = UnixNow();
  Authority made{.issued = {}, .not_after = now + days * kDay};
  auto issued = IssueCertificate({.common_name = "Cairn development CA",
                                  .names = {},
                                  .is_ca = true,
                                  .not_before = now - kClockSlack,
                                  .not_after = made.not_after},
                                 nullptr);
  if (!issued) {
    return Fail(issued.error());
  }
  made.issued = std::move(*issued);
  return made;
}

Status MakeDirectory(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    return {};
  }
  std::filesystem::create_directories(path, error);
  if (error) {
    return Fail(ErrorCode::kIo, path + " cannot be made: " + error.message());
  }
  chmod(path.c_str(), 0700);
  return {};
}

}  // namespace

Result<DevCertificates> DevCertificates::Write(const Options& options) {
  DevCertificates made{.files = {},
                       .daemon_identity = "spiffe://cairn.dev/daemon",
                       .engine_identity = "spiffe://cairn.dev/ns/" + options.tenant + "/engine",
                       .admin_identity = "spiffe://cairn.dev/admin"};
  const bool own_ca = options.ca_directory.empty();
  const auto ca = own_ca ? MakeAuthority(options.days) : ReadAuthority(options.ca_directory);
  if (!ca) {
    return Fail(ca.error());
  }
  auto all = IssueAll(options, made, *ca);
  if (!all) {
    return Fail(all.error());
  }
  if (const Status there = MakeDirectory(options.directory); !there) {
    return Fail(there.error());
  }
  std::error_code error;
  if (own_ca || !std::filesystem::equivalent(options.directory, options.ca_directory, error)) {
    // Who has the key of a CA that is there need not have it twice.
    all->insert(all->begin(), Named{.name = "ca",
                                    .issued = {.certificate = ca->issued.certificate,
                                               .key = own_ca ? ca->issued.key : std::string()}});
  }
  for (const Named& one : *all) {
    for (const auto& [end, text] :
         {std::pair{".crt", &one.issued.certificate}, std::pair{".key", &one.issued.key}}) {
      const std::string path = options.directory + "/" + one.name + end;
      if (text->empty()) {
        continue;
      }
      made.files.push_back(path);
      if (!options.overwrite && access(path.c_str(), F_OK) == 0) {
        return Fail(ErrorCode::kExists, path +
                                            " is there already, and whoever uses it would be shut "
                                            "out; choose another --out, or give --force");
      }
    }
  }
  for (const Named& one : *all) {
    const std::string path = options.directory + "/" + one.name;
    Status written =
        one.issued.key.empty() ? Status() : WriteFile(path + ".key", one.issued.key, 0600);
    written = written ? WriteFile(path + ".crt", one.issued.certificate, 0644) : written;
    if (!written) {
      return Fail(written.error());
    }
  }
  return made;
}

}  // namespace cairn
