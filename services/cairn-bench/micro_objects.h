#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libcache/connector/client.h"
#include "services/cairn-bench/micro.h"

namespace cairn::bench {

/// Several objects of a load are blocks of so many tokens: their size is a multiple of it.
inline constexpr std::uint32_t kBlockTokens = 16;
/// Object sizes of get and put.
inline constexpr std::uint64_t kUsualSizes[] = {64 * kKiB, 256 * kKiB, kMiB,
                                                4 * kMiB,  16 * kMiB,  64 * kMiB};
inline constexpr std::uint64_t kUcxSizes[] = {kMiB, 4 * kMiB, 16 * kMiB, 64 * kMiB};
/// What UCX may use in its benchmarks, of the daemon's and of ucx_perftest's.
inline constexpr const char* kUcxTransports = "posix,sysv,cma,self";
/// Those asked for, or the `usual` ones.
std::vector<std::uint64_t> SizesOf(const MicroOptions& options,
                                   std::span<const std::uint64_t> usual);
/// How many objects of that size make the working set.
std::uint32_t CountOf(const MicroOptions& options, std::uint64_t size);
/// Of a daemon that holds the working set of any of the sizes with room to spare.
std::uint64_t MemoryFor(const MicroOptions& options, std::span<const std::uint64_t> sizes);

/// Page-aligned memory with every page in place.
class Area {
 public:
  /// Errors: kNoSpace.
  static Result<Area> Allocate(std::uint64_t bytes);
  Area(Area&& other) noexcept;
  Area& operator=(Area&&) = delete;
  ~Area();
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::span<std::byte> Part(std::uint64_t index, std::uint64_t size) const {
    return bytes_.subspan(index * size, size);
  }

 private:
  explicit Area(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

/// Objects of one size in a daemon, numbered: checkpoints of one-block prompts, so that one GET
/// moves exactly one object. With `together` objects to a load they are prompts of so many blocks
/// of KV, numbered by the prompt, and a GET moves those of one, one after the other in the target.
/// One thread.
class ObjectStore {
 public:
  /// Errors: those of Client.
  static Result<std::unique_ptr<ObjectStore>> Open(const std::string& endpoint,
                                                   const std::string& plane,
                                                   std::uint64_t object_bytes,
                                                   const TlsClientOptions& tls = {},
                                                   std::uint32_t together = 1);

  /// Makes the prompts of objects 0 to `count` - 1, so that hashing is not measured.
  void Prepare(std::uint32_t count);
  /// Errors: those of Client::Store; kNoSpace if the daemon refused.
  Status Put(std::uint32_t number, std::span<const std::byte> bytes, bool durable);
  /// What FillPayload makes of the objects' keys.
  void Fill(std::uint32_t number, std::span<std::byte> bytes) const;
  [[nodiscard]] bool IsRight(std::uint32_t number, std::span<const std::byte> bytes) const;

  struct Got {
    TierKind tier = TierKind::kNone;
    double load_us = 0;  ///< Of all: finding and copying, between match and release.
  };
  /// Match, load, release. Errors: kNotFound for a miss, those of Client.
  Result<Got> Get(std::uint32_t number, std::span<std::byte> target);
  [[nodiscard]] std::uint64_t object_bytes() const { return object_bytes_; }

 private:
  ObjectStore(std::unique_ptr<Client> client, Client::Handle handle, std::uint64_t object_bytes,
              std::uint32_t together)
      : client_(std::move(client)),
        handle_(handle),
        object_bytes_(object_bytes),
        together_(together) {}
  [[nodiscard]] ObjectKind Kind() const {
    return together_ == 1 ? ObjectKind::kCheckpoint : ObjectKind::kKv;
  }

  struct Entry {
    std::vector<std::uint32_t> tokens;
    Client::Prompt prompt;
  };
  std::unique_ptr<Client> client_;
  Client::Handle handle_;
  std::uint64_t object_bytes_;
  std::uint32_t together_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

}  // namespace cairn::bench
