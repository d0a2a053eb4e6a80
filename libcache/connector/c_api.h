#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcache/cache/cache.h"
#include "libcache/connector/cairn.h"
#include "libcache/connector/client.h"

/// What the files that implement cairn.h share.

struct cairn_cache {
  std::shared_ptr<cairn::Cache> cache;
  std::string notice;
};

struct cairn_client {
  std::shared_ptr<cairn::Client> client;
};

struct cairn_prompt {
  std::shared_ptr<cairn::Client> client;
  cairn::NamespaceSpec spec;
  std::vector<std::uint32_t> tokens;
  cairn::Client::Prompt prompt;  // Points into tokens.
};

struct cairn_hit {
  std::shared_ptr<cairn::Client> client;
  cairn::NamespaceSpec spec;
  cairn::Client::Hit hit;
};

namespace cairn::c_api {

/// Remembers the message for cairn_last_error and returns the code.
cairn_code Failed(ErrorCode code, std::string_view message) noexcept;

/// Runs `body`, which returns a Status, and turns whatever comes of it into a code.
template <class Body>
cairn_code Guarded(const Body& body) noexcept {
  try {
    const Status status = body();
    return status ? CAIRN_OK : Failed(status.error().code, status.error().message);
  } catch (const std::bad_alloc&) {
    return Failed(ErrorCode::kOverloaded, "out of memory");
  } catch (const std::exception& error) {
    return Failed(ErrorCode::kInternal, error.what());
  } catch (...) {
    return Failed(ErrorCode::kInternal, "an exception of unknown type");
  }
}

inline tl::unexpected<Error> Invalid(std::string message) {
  return Fail(ErrorCode::kInvalidArgument, std::move(message));
}

inline Status NotNull(const void* argument, const char* name) {
  if (argument == nullptr) {
    return Invalid(std::string(name) + ": must not be NULL");
  }
  return {};
}

/// A struct of the ABI may only grow. kFirstBytes is its size when it first appeared.
template <class T>
inline constexpr std::size_t kFirstBytes = sizeof(T);
template <>
inline constexpr std::size_t kFirstBytes<cairn_loaded> = offsetof(cairn_loaded, device_objects);
template <>
inline constexpr std::size_t kFirstBytes<cairn_model> = 232;
template <>
inline constexpr std::size_t kFirstBytes<cairn_cache_options> = 64;
template <>
inline constexpr std::size_t kFirstBytes<cairn_client_options> = 48;
template <>
inline constexpr std::size_t kFirstBytes<cairn_cache_stats> = 176;
template <>
inline constexpr std::size_t kFirstBytes<cairn_namespace_spec> = 104;

/// Sizes of those that have a fidelity, whatever came behind it.
inline constexpr std::size_t kModelWithFidelity =
    offsetof(cairn_model, kv_shape) + sizeof(cairn_model::kv_shape);
inline constexpr std::size_t kSpecWithFidelity =
    offsetof(cairn_namespace_spec, reserved) + sizeof(cairn_namespace_spec::reserved);

/// No version of a struct will be larger: what is, was not initialised.
inline constexpr std::size_t kMaxStructBytes = 4096;

/// Errors: kInvalidArgument for NULL and for a size no version of the struct ever had.
template <class T>
Status CheckStruct(const T* argument, const char* name) {
  if (const Status given = NotNull(argument, name); !given) {
    return given;
  }
  const std::size_t bytes = argument->struct_size;
  if (bytes < kFirstBytes<T> || bytes > kMaxStructBytes) {
    return Invalid(std::string(name) + ".struct_size: " + std::to_string(bytes) + " is too " +
                   (bytes < kFirstBytes<T> ? "small" : "large") +
                   "; set it to sizeof, as CAIRN_INIT does");
  }
  return {};
}

/// A copy of the caller's struct as this library knows it. Errors: those of CheckStruct;
/// kUnsupported if a newer field is in use.
template <class T>
Result<T> ReadStruct(const T* argument, const char* name) {
  if (const Status valid = CheckStruct(argument, name); !valid) {
    return Fail(valid.error());
  }
  T copy{};
  std::memcpy(&copy, argument, std::min(sizeof(T), argument->struct_size));
  const char* const bytes = reinterpret_cast<const char*>(argument);
  const char* const end = bytes + std::max(sizeof(T), argument->struct_size);
  if (std::any_of(bytes + sizeof(T), end, [](char byte) { return byte != 0; })) {
    return Fail(ErrorCode::kUnsupported,
                std::string(name) + ": uses a field that this library does not know; it is " +
                    cairn_version());
  }
  copy.struct_size = sizeof(T);
  return copy;
}

/// Fills what the caller's struct, which CheckStruct accepted, has room for; zero beyond.
template <class T>
void WriteStruct(T* argument, T value) {
  const std::size_t bytes = argument->struct_size;
  std::memset(static_cast<void*>(argument), 0, bytes);
  std::memcpy(static_cast<void*>(argument), &value, std::min(sizeof(T), bytes));
  argument->struct_size = bytes;
}

/// Errors: kInvalidArgument for 0.
inline Result<TimePoint> Deadline(std::uint32_t deadline_ms) {
  if (deadline_ms == 0) {
    return Invalid("deadline_ms: must be at least 1");
  }
  return In(std::chrono::milliseconds(deadline_ms));
}

inline std::string TextOr(const char* text, const char* otherwise) {
  return text == nullptr ? otherwise : text;
}

}  // namespace cairn::c_api
