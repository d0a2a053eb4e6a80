#include "libcache/transport/tls_credentials.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/base/errno_text.h"
#include "libcache/transport/certificates.h"
#include "libcache/transport/openssl_handles.h"

namespace cairn {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20U;
// The faster one of the two that are strong enough; ChaCha20 for peers without AES instructions.
constexpr const char* kSuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

tl::unexpected<Error> Bad(const std::string& name, const std::string& path, std::string what) {
  return Fail(ErrorCode::kInvalidArgument, name + ": " + path + ": " + std::move(what));
}

Result<std::string> ReadText(const std::string& name, const std::string& path) {
  const auto unreadable = [&] {
    const ErrorCode code = errno == ENOENT   ? ErrorCode::kNotFound
                           : errno == EACCES ? ErrorCode::kPermissionDenied
                                             : ErrorCode::kIo;
    return Fail(code, name + ": " + path + " cannot be read: " + ErrnoText() +
                          (code == ErrorCode::kNotFound
                               ? "; for a try, cairnctl cert dev makes certificates"
                               : "; it must belong to the user of this process"));
  };
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return unreadable();
  }
  if (S_ISDIR(info.st_mode)) {
    return Bad(name, path, "is a directory; give the PEM file in it");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return unreadable();
  }
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) {
    return Bad(name, path, "is larger than 1 MiB; is it the right file?");
  }
  return text;
}

/// Why a certificate is no good at the moment; "" if it is.
std::string TimeProblem(const CertificateInfo& info) {
  const std::int64_t now = UnixNow();
  if (info.not_after < now) {
    return "expired on " + FormatUnixTime(info.not_after) + "; renew it";
  }
  if (info.not_before > now) {
    return "is not valid before " + FormatUnixTime(info.not_before) +
           "; wait, or set this machine's clock";
  }
  return "";
}

struct Certificates {
  std::string text;
  std::vector<CertificateInfo> infos;  ///< At least one.
};
Result<Certificates> ReadCertificates(const std::string& name, const std::string& path) {
  auto text = ReadText(name, path);
  if (!text) {
    return Fail(text.error());
  }
  auto infos = DescribeCertificates(*text);
  if (!infos) {
    return Bad(name, path, infos.error().message);
  }
  return Certificates{.text = std::move(*text), .infos = std::move(*infos)};
}

TlsValidity ValidityOf(const CertificateInfo& info) {
  return {.not_before = info.not_before, .not_after = info.not_after};
}

TlsValidity FirstToEnd(const TlsValidity& a, const TlsValidity& b) {
  return b.not_after < a.not_after ? b : a;
}

/// Our chain into `context`. Returns the validity of its certificate that expires first.
Result<TlsValidity> UseCertificate(SSL_CTX* context, const std::string& name,
                                   const std::string& path) {
  const auto read = ReadCertificates(name, path);
  if (!read) {
    return Fail(read.error());
  }
  const std::string& text = read->text;
  const std::vector<CertificateInfo>& infos = read->infos;
  TlsValidity validity = ValidityOf(infos.front());
  for (const CertificateInfo& info : infos) {
    if (const std::string problem = TimeProblem(info); !problem.empty()) {
      return Bad(name, path, "the certificate of " + info.subject + " " + problem);
    }
    validity = FirstToEnd(validity, ValidityOf(info));
  }
  const BioPtr memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  for (std::size_t i = 0; i < infos.size(); ++i) {
    CertificatePtr certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    // The context takes a chain certificate over, and a reference to ours.
    const long used = i == 0 ? SSL_CTX_use_certificate(context, certificate.get())
                             : SSL_CTX_add_extra_chain_cert(context, certificate.get());
    if (used != 1) {
      return Bad(name, path, "cannot be used: " + TakeOpenSslError());
    }
    if (i != 0) {
      static_cast<void>(certificate.release());
    }
  }
  return validity;
}

/// The key into `context`, which has the certificate.
Status UseKey(SSL_CTX* context, const std::string& name, const TlsFiles& files) {
  const auto text = ReadText(name, files.key);
  if (!text) {
    return Fail(text.error());
  }
  const BioPtr memory(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  // Nobody is asked for a passphrase: a daemon has no terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  const KeyPtr key(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr));
  if (key == nullptr) {
    const bool encrypted = text->find("ENCRYPTED") != std::string::npos;
    const std::string reason = TakeOpenSslError();
    return Bad(name, files.key,
               encrypted ? "is encrypted; give a key without a passphrase (openssl pkey -in ...)"
                         : "there is no private key in it: " + reason);
  }
  const bool fits =
      SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1;
  const std::string reason = TakeOpenSslError();
  if (!fits) {
    return Bad(name, files.key,
               "is not the key of " + files.certificate + " (" + reason +
                   "); give the pair that was made together");
  }
  return {};
}

/// The CAs into `context`. Returns the validity of the one that expires last.
Result<TlsValidity> UseCa(SSL_CTX* context, const std::string& name, const std::string& path) {
  const auto read = ReadCertificates(name, path);
  if (!read) {
    return Fail(read.error());
  }
  const std::string& text = read->text;
  const std::vector<CertificateInfo>& infos = read->infos;
  // Some of a bundle may be out of time, but not all.
  const bool any = std::any_of(infos.begin(), infos.end(), [](const CertificateInfo& info) {
    return TimeProblem(info).empty();
  });
  if (!any) {
    return Bad(name, path,
               "the certificate of " + infos.front().subject + " " + TimeProblem(infos.front()));
  }
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  const BioPtr memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const CertificatePtr certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    if (X509_STORE_add_cert(store, certificate.get()) != 1) {
      return Bad(name, path, "cannot be used: " + TakeOpenSslError());
    }
  }
  return ValidityOf(*std::max_element(infos.begin(), infos.end(),
                                      [](const CertificateInfo& a, const CertificateInfo& b) {
                                        return a.not_after < b.not_after;
                                      }));
}

/// Why the certificate of `context` is none of its CAs; "" if it is.
std::string NotOfOwnCa(SSL_CTX* context, const TlsFiles& names, const TlsFiles& files) {
  X509_STORE_CTX* const check = X509_STORE_CTX_new();
  STACK_OF(X509)* between = nullptr;
  // A macro of OpenSSL, which takes the pointer as void*.
  // NOLINTNEXTLINE(bugprone-multi-level-implicit-pointer-conversion)
  SSL_CTX_get0_chain_certs(context, &between);
  CAIRN_CHECK(check != nullptr &&
              X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context),
                                  SSL_CTX_get0_certificate(context), between) == 1);
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(check), X509_V_FLAG_PARTIAL_CHAIN);
  const bool good = X509_verify_cert(check) == 1;
  const std::string why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(check));
  X509_STORE_CTX_free(check);
  ERR_clear_error();
  return good ? ""
              : names.certificate + ": " + files.certificate + " is not of a CA in " + names.ca +
                    " (" + files.ca + "): " + why +
                    "; peers that trust that file alone will not connect";
}

Status CheckGiven(const TlsFiles& files, const TlsFiles& names) {
  for (const auto& [name, path] :
       {std::pair{&names.certificate, &files.certificate}, std::pair{&names.key, &files.key},
        std::pair{&names.ca, &files.ca}}) {
    if (path->empty()) {
      return Fail(ErrorCode::kInvalidArgument, *name + " is missing: TLS needs all of " +
                                                   names.certificate + ", " + names.key + " and " +
                                                   names.ca);
    }
  }
  return {};
}

void Configure(SSL_CTX* context, bool kernel_tls) {
  CAIRN_CHECK(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1);
  CAIRN_CHECK(SSL_CTX_set_ciphersuites(context, kSuites) == 1);
  // Frames have lengths, so an end that comes too early is seen without a notice.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                   (kernel_tls ? SSL_OP_ENABLE_KTLS : 0));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  // Writes go on where they stopped, from wherever the bytes are then; idle connections keep no
  // buffers.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // A CA in our file is trusted as it is, be it signed by another or not.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
}

}  // namespace

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::Load(const TlsFiles& files,
                                                                   const TlsFiles& names, Role role,
                                                                   bool kernel_tls) {
  if (const Status given = CheckGiven(files, names); !given) {
    return Fail(given.error());
  }
  ERR_clear_error();
  std::shared_ptr<TlsCredentials> made(new TlsCredentials());
  made->context_ = SSL_CTX_new(role == Role::kServer ? TLS_server_method() : TLS_client_method());
  CAIRN_CHECK(made->context_ != nullptr);
  made->kernel_tls_ = kernel_tls;
  Configure(made->context_, kernel_tls);
  const auto ours = UseCertificate(made->context_, names.certificate, files.certificate);
  if (!ours) {
    return Fail(ours.error());
  }
  if (const Status key = UseKey(made->context_, names.key, files); !key) {
    return Fail(key.error());
  }
  const auto ca = UseCa(made->context_, names.ca, files.ca);
  if (!ca) {
    return Fail(ca.error());
  }
  made->validity_ = FirstToEnd(*ours, *ca);
  made->identity_ = IdentityOf(*SSL_CTX_get0_certificate(made->context_));
  struct stat info {};
  if (stat(files.key.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    made->warning_ =
        names.key + ": " + files.key + " can be read by every user of this machine; chmod 600 it";
  }
  if (const std::string why = NotOfOwnCa(made->context_, names, files); !why.empty()) {
    made->warning_ += (made->warning_.empty() ? "" : "; ") + why;
  }
  return made;
}

TlsCredentials::~TlsCredentials() { SSL_CTX_free(context_); }

}  // namespace cairn
