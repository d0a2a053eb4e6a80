// Codecs of the SSD tier from end to end: an operator wants less than the bytes, and who is
// promised the bytes gets them.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "libcache/codec/codec.h"
#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/raw_peer.h"
#include "tests/unit/libcache/codec/bounds.h"

namespace cairn::test {
namespace {

constexpr std::uint32_t kBlock = 16;
constexpr CodecShape kStates{.element = Element::kF32, .matrices = 4, .rows = 32, .columns = 32};
constexpr CodecShape kKv{.element = Element::kBF16, .matrices = 4, .rows = kBlock, .columns = 128};

class CodecTest : public DaemonTest {
 protected:
  void Start(const std::string& codecs) {
    DaemonProcess::Options options;
    options.flags = {"--ssd-path=" + (dir_ / "ssd"), "--ssd=256MiB", "--ssd-min-free=1MiB",
                     "--ssd-codec=" + codecs};
    ASSERT_TRUE(StartDaemon(options));
  }

  static NamespaceSpec Model(Fidelity fidelity) {
    NamespaceSpec spec = SmallModel();
    spec.kv_bytes_per_token = kKv.Bytes() / kBlock;
    spec.checkpoint_bytes = kStates.Bytes() + 96;  // With a window.
    spec.fidelity = fidelity;
    spec.checkpoint_shape = "f32[4x32x32]";
    spec.kv_shape = "bf16[4xtx128]";
    return spec;
  }

  /// All that is in host memory goes; what is on SSD stays.
  void DropFromHost() {
    v1::AdminRequest tree;
    tree.mutable_tree();
    const auto nodes = daemon().Admin(tree);
    ASSERT_TRUE(nodes) << Why(nodes);
    for (const v1::TreeNode& node : nodes->tree().nodes()) {
      v1::AdminRequest evict;
      evict.mutable_evict()->set_key(node.key());
      evict.mutable_evict()->set_host_only(true);
      const auto evicted = daemon().Admin(evict);
      ASSERT_TRUE(evicted) << Why(evicted);
    }
    ASSERT_EQ(daemon().Status().tiers(0).checkpoint_objects(), 0U);
    ASSERT_EQ(daemon().Status().tiers(0).kv_objects(), 0U);
  }

  struct Object {
    ObjectView view;
    std::vector<std::byte> bytes;
    std::vector<std::byte> stored;
  };
  /// What a load of the prompt's best boundary brings, beside what was stored.
  static std::vector<Object> Load(Engine& engine, std::span<const std::uint32_t> tokens) {
    std::vector<Object> objects;
    const Client::Prompt prompt = engine.Prompt(tokens);
    const auto hit = engine.client().Match(prompt, Soon());
    if (!hit || hit->lease == 0) {
      return objects;
    }
    const auto loaded = engine.client().Load(
        *hit, 0,
        [&objects](const ObjectView& view) {
          objects.push_back(
              {.view = view, .bytes = std::vector<std::byte>(view.bytes), .stored = {}});
          return std::span<std::byte>(objects.back().bytes);
        },
        Soon());
    EXPECT_TRUE(loaded.has_value()) << Why(loaded);
    for (Object& object : objects) {
      object.stored = PayloadOf(*engine.client().KeyAt(prompt, object.view.position),
                                object.view.kind, object.view.bytes);
    }
    EXPECT_TRUE(ReleaseHeard(engine.client(), prompt, *hit, Soon()).has_value());
    return objects;
  }

  static std::size_t Count(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++count;
    }
    return count;
  }
};

TEST_F(CodecTest, AnExactNamespaceGetsItsBytesBackUnderALossyRule) {
  Start("checkpoint:int8_column+kv:int8_kv");
  const auto tokens = Tokens(1, 100);
  const auto load = [&](bool first) {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model(Fidelity::kExact));
    Engine second(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model(Fidelity::kExact));
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(second.Open());
    if (first) {
      const auto stored = engine.Store(tokens, {64, 90}, true);
      ASSERT_TRUE(stored) << Why(stored);
      ASSERT_EQ(stored->refused, 0U);
      EXPECT_EQ(daemon().Counter("ssd_lossy_objects"), 0U);
      EXPECT_EQ(daemon().Counter("ssd_codec_refused_fidelity"), 8U) << "6 of KV, 2 states";
      const auto metrics = HttpGet(daemon().http_port(), "/metrics").body;
      EXPECT_NE(metrics.find("cairn_ssd_codec_refused_total{reason=\"fidelity\"} 8"),
                std::string::npos);
      DropFromHost();
    }
    const auto hit = engine.Load(tokens);
    ASSERT_TRUE(hit) << Why(hit);
    EXPECT_EQ(hit->resume_at, 90U);
    EXPECT_EQ(hit->tier, TierKind::kSsd);
    EXPECT_EQ(hit->wrong, 0U) << "the very bytes";
    EXPECT_EQ(Count(daemon().Log(), "declared exact"), 2U) << "said once, of KV and of states";
  };
  load(true);
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  load(false);
}

TEST_F(CodecTest, ACompactNamespaceGetsWhatItsFidelityPermits) {
  Start("lossless,small=checkpoint:int8_column+kv:fp8_kv");
  const auto tokens = Tokens(2, 100);
  std::vector<Object> coded;
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model(Fidelity::kCompact));
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(tokens, {64}, true));
    EXPECT_EQ(daemon().Counter("ssd_lossy_objects"), 5U);
    DropFromHost();
    coded = Load(engine, tokens);
    ASSERT_EQ(coded.size(), 5U);
    for (const Object& object : coded) {
      const bool kv = object.view.kind == ObjectKind::kKv;
      const CodecShape& shape = kv ? kKv : kStates;
      const auto of = [&shape](std::span<const std::byte> bytes) {
        return cairn::testing::Floats(shape.element, bytes.first(shape.Bytes()));
      };
      const cairn::testing::Bounds bounds(kv ? CodecId::kFp8Kv : CodecId::kInt8Column, shape,
                                          of(object.stored), of(object.bytes));
      EXPECT_EQ(bounds.FirstBroken(), shape.Bytes() / ElementBytes(shape.element));
      EXPECT_NE(object.bytes, object.stored);
      EXPECT_EQ(DigestOf(object.bytes), object.view.digest);
      EXPECT_EQ(
          std::memcmp(object.bytes.data() + shape.Bytes(), object.stored.data() + shape.Bytes(),
                      object.bytes.size() - shape.Bytes()),
          0)
          << "the window is as it was";
    }
    DropFromHost();
    const auto again = Load(engine, tokens);
    ASSERT_EQ(again.size(), coded.size());
    for (std::size_t i = 0; i < again.size(); ++i) {
      EXPECT_EQ(again[i].bytes, coded[i].bytes) << "the same every time";
    }
    // Who wants exact states of the same model, at the same time, has none of these.
    Engine exact(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model(Fidelity::kExact));
    ASSERT_TRUE(exact.Open());
    EXPECT_TRUE(Load(exact, tokens).empty());
  }
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kStream, Model(Fidelity::kCompact));
  ASSERT_TRUE(engine.Open());
  const auto later = Load(engine, tokens);
  ASSERT_EQ(later.size(), coded.size());
  for (std::size_t i = 0; i < later.size(); ++i) {
    EXPECT_EQ(later[i].bytes, coded[i].bytes) << "also after a restart";
  }
  EXPECT_EQ(daemon().Counter("checksum_failures"), 0U);
}

TEST_F(CodecTest, TheOperatorSeesWhoGetsWhat) {
  Start("checkpoint:int8_column+kv:fp8_kv");
  NamespaceSpec shapeless = Model(Fidelity::kCompact);
  shapeless.checkpoint_shape = "";
  std::vector<std::unique_ptr<Engine>> engines;
  for (const NamespaceSpec& spec : {Model(Fidelity::kCompact), shapeless, Model(Fidelity::kNear)}) {
    engines.push_back(std::make_unique<Engine>(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec));
    ASSERT_TRUE(engines.back()->Open());
  }
  EXPECT_EQ(Count(daemon().Log(), "checkpoints of small have no declared shape"), 1U);
  EXPECT_EQ(Count(daemon().Log(), "checkpoints of small are declared near"), 1U);
  Cairnctl ctl(dir_, daemon().UnixEndpoint());
  const auto spaces = ctl({"status", "--json"}).Json()["namespaces"];
  ASSERT_EQ(spaces.size(), 3U);
  EXPECT_EQ(spaces[0]["fidelity"], "compact");
  EXPECT_EQ(spaces[0]["checkpoint_shape"], "f32[4x32x32]");
  EXPECT_EQ(spaces[0]["kv_shape"], "bf16[4xtx128]");
  EXPECT_EQ(spaces[0]["ssd_codec"]["checkpoint"], "int8_column");
  EXPECT_EQ(spaces[0]["ssd_codec"]["kv"], "fp8_kv");
  EXPECT_EQ(spaces[1]["ssd_codec"]["checkpoint"], "lossless");
  EXPECT_EQ(spaces[2]["fidelity"], "near");
  EXPECT_EQ(spaces[2]["ssd_codec"]["kv"], "lossless");
  const std::string table = ctl({"status"}).out;
  EXPECT_NE(table.find("checkpoint:int8_column+kv:fp8_kv"), std::string::npos) << table;
  EXPECT_NE(table.find("near"), std::string::npos) << table;
}

TEST_F(CodecTest, AFidelityOfTheFutureIsRefused) {
  ASSERT_TRUE(StartDaemon());
  RawPeer peer(daemon().UnixEndpoint());
  ASSERT_TRUE(peer.Send(RawPeer::Hello()));
  ASSERT_TRUE(peer.Receive());
  v1::Request request;
  request.mutable_open_namespace()->set_model("small");
  request.mutable_open_namespace()->set_block_tokens(16);
  request.mutable_open_namespace()->set_tp_size(1);
  request.mutable_open_namespace()->set_checkpoint_bytes(4096);
  request.mutable_open_namespace()->set_fidelity(static_cast<v1::Fidelity>(7));
  ASSERT_TRUE(peer.Send(request));
  const auto refused = peer.Receive();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), static_cast<std::uint32_t>(ErrorCode::kUnsupported));
  EXPECT_NE(refused->message().find("fidelity: 7"), std::string::npos) << refused->message();
  request.mutable_open_namespace()->set_fidelity(v1::FIDELITY_NEAR);
  ASSERT_TRUE(peer.Send(request));
  const auto opened = peer.Receive();
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->code(), 0U) << opened->message();
  EXPECT_EQ(opened->open_namespace().fidelity(), v1::FIDELITY_NEAR) << "an old daemon says exact";
}

}  // namespace
}  // namespace cairn::test
