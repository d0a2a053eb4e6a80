#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/cache/types.h"
#include "libcache/model/prefix_key.h"
#include "libcache/transport/channel.h"
#include "tests/integration/engine.h"

namespace cairn::test {

// Requests as a connector makes them, for tests that change one field or stop half-way.

inline v1::Request OpenRequest(const NamespaceSpec& spec) {
  v1::Request request;
  v1::OpenNamespace& open = *request.mutable_open_namespace();
  open.set_tenant(spec.tenant);
  open.set_model(spec.model);
  open.set_tp_size(spec.tp_size);
  open.set_block_tokens(spec.block_tokens);
  open.set_kv_bytes_per_token(spec.kv_bytes_per_token);
  open.set_checkpoint_bytes(spec.checkpoint_bytes);
  open.set_grid_tokens(spec.grid_tokens);
  return request;
}

inline std::string KeyBytes(const PrefixKey& key) {
  return {reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size()};
}

inline v1::Request MatchRequest(std::uint32_t space, std::span<const PrefixKey> keys,
                                std::uint32_t prompt_tokens) {
  v1::Request request;
  v1::Match& match = *request.mutable_match();
  match.set_namespace_id(space);
  match.set_request_id(1);
  match.set_prompt_tokens(prompt_tokens);
  for (const PrefixKey& key : keys) {
    match.mutable_keys()->append(KeyBytes(key));
  }
  return request;
}

inline v1::Request ReserveRequest(std::uint32_t space, v1::Kind kind, const PrefixKey& parent,
                                  const PrefixKey& key, std::uint32_t position,
                                  std::uint64_t bytes) {
  v1::Request request;
  request.mutable_reserve()->set_namespace_id(space);
  v1::ReserveItem& item = *request.mutable_reserve()->add_items();
  item.set_kind(kind);
  item.set_parent_key(KeyBytes(parent));
  item.set_key(KeyBytes(key));
  item.set_position(position);
  item.set_bytes(bytes);
  return request;
}

/// A control connection with the namespace `spec` open.
struct OpenedChannel {
  Channel channel;
  std::uint32_t space = 0;
  PrefixKey seed;

  static OpenedChannel To(const std::string& endpoint, const NamespaceSpec& spec,
                          const TlsClientOptions& tls = {}) {
    Channel::Greeting greeting;
    greeting.tls = TlsClient::Make(tls);
    auto channel = Channel::Open(*ParseEndpoint(endpoint), greeting, Soon());
    EXPECT_TRUE(channel.has_value()) << Why(channel);
    OpenedChannel opened{.channel = std::move(*channel), .space = 0, .seed = {}};
    v1::Request request = OpenRequest(spec);
    const auto reply = opened.channel.Call(request, Soon());
    EXPECT_TRUE(reply.has_value()) << Why(reply);
    if (reply) {
      opened.space = reply->open_namespace().namespace_id();
      const std::string& seed = reply->open_namespace().seed();
      EXPECT_EQ(seed.size(), PrefixKey::kBytes);
      std::memcpy(opened.seed.bytes.data(), seed.data(), PrefixKey::kBytes);
    }
    return opened;
  }
  Result<v1::Response> Call(v1::Request request) { return channel.Call(request, Soon()); }
  /// The token of a reservation of a checkpoint of `bytes` at the end of the first block.
  std::uint64_t ReserveFirstCheckpoint(const PrefixKey& key, std::uint32_t block,
                                       std::uint64_t bytes) {
    const auto reply = Call(ReserveRequest(space, v1::KIND_CHECKPOINT, seed, key, block, bytes));
    EXPECT_TRUE(reply.has_value()) << Why(reply);
    if (!reply || reply->reserve().outcomes_size() != 1) {
      return 0;
    }
    EXPECT_EQ(reply->reserve().outcomes(0).code(), 0U);
    return reply->reserve().outcomes(0).token();
  }
};

}  // namespace cairn::test
