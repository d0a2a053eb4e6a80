#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

using X509 = struct x509_st;

namespace cairn {

/// What people ask of a certificate.
struct CertificateInfo {
  std::string subject;
  std::string issuer;
  std::vector<std::string> dns;
  std::vector<std::string> addresses;  ///< IP, in text.
  std::vector<std::string> uris;
  std::string identity;     ///< IdentityOf.
  std::string key;          ///< "EC 256", "ED25519", "RSA 2048".
  std::int64_t not_before;  ///< Unix time, seconds.
  std::int64_t not_after;
  bool is_ca = false;
};

/// All certificates of a PEM text, in order. Errors: kInvalidArgument if there is none, or one of
/// them cannot be read.
Result<std::vector<CertificateInfo>> DescribeCertificates(std::string_view pem);
CertificateInfo DescribeCertificate(const X509& certificate);

/// Who shows the certificate: its SPIFFE ID if it has one, else its first DNS name in lower case;
/// "" without either. A certificate with several SPIFFE IDs is nobody's (the standard forbids it),
/// and so is one with a URI or a DNS name that is empty or has a byte that is not printable ASCII,
/// whatever its other names are.
std::string IdentityOf(const X509& certificate);

/// Whether the certificate is for `name`: a URI, an IP address or a host name (a wildcard stands
/// for one label). The subject's common name does not count.
bool IsFor(const X509& certificate, const std::string& name);

/// Time as Unix seconds; the present by the system's clock.
std::int64_t UnixNow();

/// "2027-01-31 08:00:00 UTC".
std::string FormatUnixTime(std::int64_t seconds);

}  // namespace cairn
