#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "libcache/base/result.h"
#include "libcache/transport/tls_credentials.h"
#include "services/cairn-bench/baseline_stream.h"
#include "services/cairn-bench/daemon_process.h"

namespace cairn::bench {

/// What a program gets that only calls OpenSSL: PlainStream with SSL_write and SSL_read on blocking
/// sockets, TLS 1.3, certificates of both sides, the suite that Cairn uses, defaults elsewhere. No
/// protocol, no digest. Errors: kIo.
Result<std::unique_ptr<StreamBaseline>> OpenRawTls(const TlsFiles& server, const TlsFiles& client,
                                                   std::span<const std::byte> source,
                                                   std::uint64_t chunk);

/// What a stream of ours from `daemon` is compared with: the same with TLS or without, as it has.
Result<std::unique_ptr<StreamBaseline>> OpenBaseline(const DaemonProcess& daemon,
                                                     std::span<const std::byte> source,
                                                     std::uint64_t chunk);

}  // namespace cairn::bench
