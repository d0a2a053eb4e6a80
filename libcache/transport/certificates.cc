#include "libcache/transport/certificates.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "libcache/transport/openssl_handles.h"

namespace cairn {
namespace {

/// Empty if there is a byte in it that a name cannot have; a zero byte above all, behind which
/// another reader would see nothing.
std::string Printable(const ASN1_STRING* text) {
  const auto* const bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(text));
  const std::string name(bytes, static_cast<std::size_t>(ASN1_STRING_length(text)));
  const bool good =
      std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  return good ? name : "";
}

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  const bool known = ASN1_STRING_length(address) == 4 || ASN1_STRING_length(address) == 16;
  return known && inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size())
             ? text.data()
             : "?";
}

std::string NameText(const X509_NAME* name) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(memory.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::int64_t UnixTime(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<std::int64_t>(timegm(&parts)) : 0;
}

std::string KeyText(const X509& certificate) {
  const EVP_PKEY* const key = X509_get0_pubkey(&certificate);
  if (key == nullptr) {
    return "unknown";
  }
  const char* const name = EVP_PKEY_get0_type_name(key);
  const std::string text = name == nullptr ? "unknown" : name;
  return text.starts_with("ED") ? text : text + " " + std::to_string(EVP_PKEY_get_bits(key));
}

struct Names {
  std::vector<std::string> dns;
  std::vector<std::string> addresses;
  std::vector<std::string> uris;
};

Names NamesOf(const X509& certificate) {
  Names names;
  const NamesPtr all(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = all == nullptr ? 0 : sk_GENERAL_NAME_num(all.get());
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(all.get(), i);
    switch (name->type) {
      case GEN_DNS: names.dns.push_back(LowerCase(Printable(name->d.dNSName))); break;
      case GEN_URI: names.uris.push_back(Printable(name->d.uniformResourceIdentifier)); break;
      case GEN_IPADD: names.addresses.push_back(AddressText(name->d.iPAddress)); break;
      default: break;
    }
  }
  return names;
}

std::string IdentityOf(const Names& names) {
  // A name that cannot be read makes nobody of the whole certificate: by passing over it one would
  // take its owner for whom another name says.
  const auto unreadable = [](const std::string& name) { return name.empty(); };
  if (std::any_of(names.uris.begin(), names.uris.end(), unreadable) ||
      std::any_of(names.dns.begin(), names.dns.end(), unreadable)) {
    return "";
  }
  const auto is_spiffe = [](const std::string& uri) { return uri.starts_with("spiffe://"); };
  const auto first = std::find_if(names.uris.begin(), names.uris.end(), is_spiffe);
  if (first != names.uris.end()) {
    return std::count_if(names.uris.begin(), names.uris.end(), is_spiffe) == 1 ? *first : "";
  }
  return names.dns.empty() ? "" : names.dns.front();
}

}  // namespace

CertificateInfo DescribeCertificate(const X509& certificate) {
  Names names = NamesOf(certificate);
  CertificateInfo info{.subject = NameText(X509_get_subject_name(&certificate)),
                       .issuer = NameText(X509_get_issuer_name(&certificate)),
                       .dns = {},
                       .addresses = {},
                       .uris = {},
                       .identity = IdentityOf(names),
                       .key = KeyText(certificate),
                       .not_before = UnixTime(X509_get0_notBefore(&certificate)),
                       .not_after = UnixTime(X509_get0_notAfter(&certificate)),
                       // It caches what it finds in the certificate, which changes nothing else.
                       .is_ca = X509_check_ca(const_cast<X509*>(&certificate)) != 0};
  info.dns = std::move(names.dns);
  info.addresses = std::move(names.addresses);
  info.uris = std::move(names.uris);
  return info;
}

Result<std::vector<CertificateInfo>> DescribeCertificates(std::string_view pem) {
  const BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<CertificateInfo> all;
  for (;;) {
    const CertificatePtr next(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    if (next == nullptr) {
      break;
    }
    all.push_back(DescribeCertificate(*next));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = TakeOpenSslError();
  if (!at_end) {
    return Fail(ErrorCode::kInvalidArgument, "a certificate in it cannot be read: " + reason);
  }
  if (all.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "there is no certificate in it (-----BEGIN CERTIFICATE-----)");
  }
  return all;
}

std::string IdentityOf(const X509& certificate) { return IdentityOf(NamesOf(certificate)); }

bool IsFor(const X509& certificate, const std::string& name) {
  auto* const checked = const_cast<X509*>(&certificate);  // As above.
  if (name.find("://") != std::string::npos) {
    const std::vector<std::string> uris = NamesOf(certificate).uris;
    return std::find(uris.begin(), uris.end(), name) != uris.end();
  }
  if (X509_check_ip_asc(checked, name.c_str(), 0) == 1) {
    return true;
  }
  constexpr unsigned kFlags =
      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  return X509_check_host(checked, name.data(), name.size(), kFlags, nullptr) == 1;
}

std::int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string FormatUnixTime(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  std::array<char, 64> text{};
  gmtime_r(&time, &parts);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

}  // namespace cairn
