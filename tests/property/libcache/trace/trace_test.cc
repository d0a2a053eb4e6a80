#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <fstream>

#include "libcache/trace/generator.h"
#include "libcache/trace/statistics.h"
#include "libcache/trace/trace.h"
#include "libcache/trace/writer.h"
#include "tests/unit/libcache/trace/temp_file.h"

namespace cairn {
namespace {

/// Requests on a small random tree: a child's id and length follow from its parent's, so that equal
/// ids are equal tokens, as in real traces.
std::vector<TraceRequest> RandomTrace() {
  const auto walks = *rc::gen::container<std::vector<std::vector<std::uint8_t>>>(
      rc::gen::container<std::vector<std::uint8_t>>(rc::gen::inRange<std::uint8_t>(0, 3)));
  const auto block_tokens = *rc::gen::inRange(1U, 100U);
  std::vector<TraceRequest> requests;
  for (const auto& walk : walks) {
    TraceRequest request;
    request.arrival_s = static_cast<double>(requests.size()) / 8;
    request.tenant = *rc::gen::element<std::string>("", "a", "\"\\\n");
    request.block_tokens = block_tokens;
    request.exact = true;
    std::uint64_t id = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(walk.size(), 12); ++i) {
      id = id * 3 + walk[i] + 1;
      request.path.push_back({.id = id, .tokens = static_cast<std::uint32_t>(1 + id * 37 % 90)});
      request.input_tokens += request.path.back().tokens;
    }
    request.output_tokens = *rc::gen::inRange(0U, 50U);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::uint32_t Shared(const TraceRequest& a, const TraceRequest& b) {
  std::uint32_t tokens = 0;
  for (std::size_t i = 0; i < std::min(a.path.size(), b.path.size()) && a.path[i] == b.path[i];
       ++i) {
    tokens += a.path[i].tokens;
  }
  return tokens;
}

std::vector<TraceRequest> WriteAndRead(const std::vector<TraceRequest>& requests) {
  const TempFile file(".jsonl");
  auto writer = TraceWriter::Create(file.path());
  RC_ASSERT(writer.has_value());
  for (const TraceRequest& request : requests) {
    RC_ASSERT((*writer)->Write(request).has_value());
  }
  RC_ASSERT((*writer)->Close().has_value());
  auto reader = TraceReader::Open(file.path());
  RC_ASSERT(reader.has_value());
  const auto read = ReadRequests(**reader);
  RC_ASSERT(read.has_value());
  return *read;
}

RC_GTEST_PROP(Trace, WhatIsWrittenIsReadBack, ()) {
  const auto requests = RandomTrace();
  RC_ASSERT(WriteAndRead(requests) == requests);
}

// The blocks that the writer chains say the same as the blocks cut out of the exact paths.
RC_GTEST_PROP(Trace, WrittenBlockIdsAgreeExactlyOnSharedBlocks, ()) {
  const auto requests = RandomTrace();
  const TempFile file(".jsonl");
  auto writer = TraceWriter::Create(file.path());
  RC_ASSERT(writer.has_value());
  for (const TraceRequest& request : requests) {
    RC_ASSERT((*writer)->Write(request).has_value());
  }
  RC_ASSERT((*writer)->Close().has_value());
  // Without the segments the file is a block trace.
  std::ifstream in(file.path());
  std::string text;
  for (std::string line; std::getline(in, line);) {
    text += line.substr(0, line.find(",\"segs\"")) + "}\n";
  }
  const TempFile blocks_file("-blocks.jsonl", text);
  auto reader = TraceReader::Open(blocks_file.path());
  RC_ASSERT(reader.has_value());
  const auto blocks = ReadRequests(**reader);
  RC_ASSERT(blocks.has_value());
  RC_ASSERT(blocks->size() == requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const std::uint32_t size = requests[i].block_tokens;
      const std::uint32_t whole = Shared(requests[i], requests[j]) / size * size;
      RC_ASSERT(Shared((*blocks)[i], (*blocks)[j]) == whole);
      RC_ASSERT(Shared(AsBlocks(requests[i], size), AsBlocks(requests[j], size)) == whole);
    }
  }
}

RC_GTEST_PROP(Trace, TokensAreSharedAsFarAsSegmentsAre, ()) {
  const auto requests = RandomTrace();
  for (std::size_t i = 1; i < requests.size(); ++i) {
    const auto a = TraceTokens(requests[i - 1], i - 1);
    const auto b = TraceTokens(requests[i], i);
    RC_ASSERT(a.size() == requests[i - 1].input_tokens);
    const auto parted = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
    RC_ASSERT(parted == static_cast<std::ptrdiff_t>(Shared(requests[i - 1], requests[i])));
  }
}

// The trie against a comparison of every pair.
RC_GTEST_PROP(Trace, StatisticsAgreeWithBruteForce, ()) {
  const auto requests = RandomTrace();
  StatisticsBuilder builder;
  std::uint64_t input = 0;
  std::uint64_t hit = 0;
  std::uint64_t overlaps = 0;
  std::uint64_t exact = 0;
  double farthest = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    builder.Add(requests[i]);
    input += requests[i].input_tokens;
    std::uint32_t best = 0;
    std::size_t stored = 0;
    for (std::size_t j = 0; j < i; ++j) {
      if (const std::uint32_t shared = Shared(requests[i], requests[j]); shared >= best) {
        best = shared;
        stored = j;
      }
    }
    hit += best;
    if (best >= TraceStatistics::kMinOverlapTokens) {
      ++overlaps;
      exact += requests[stored].input_tokens == best ? 1 : 0;
      farthest = std::max(farthest, static_cast<double>(i - stored));
    }
  }
  const TraceStatistics s = builder.Finish();
  RC_ASSERT(s.input_tokens == input);
  RC_ASSERT(s.hit_share ==
            (input == 0 ? 0 : static_cast<double>(hit) / static_cast<double>(input)));
  RC_ASSERT(s.overlaps == overlaps);
  RC_ASSERT(s.ends_exactly_share ==
            (overlaps == 0 ? 0 : static_cast<double>(exact) / static_cast<double>(overlaps)));
  RC_ASSERT(s.reuse_distance_requests.max == farthest);
}

// Files are input: whatever a byte turns into, the reader answers with requests or a message.
RC_GTEST_PROP(Trace, ADamagedFileIsReadOrRefusedButNeverTrusted, ()) {
  std::string text =
      R"({"t":0,"tenant":"a","group":null,"input_len":330,"output_len":9,"block_tokens":64,)"
      R"("blocks":[7,[9,3],2],"segs":[[1,300],[2,30]],"osegs":[[3,9]]})"
      "\n";
  text += text;
  const auto edits = *rc::gen::container<std::vector<std::pair<std::size_t, char>>>(
      rc::gen::pair(rc::gen::inRange<std::size_t>(0, text.size()), rc::gen::arbitrary<char>()));
  for (const auto& [at, byte] : edits) {
    text[at] = byte;
  }
  text.resize(*rc::gen::inRange<std::size_t>(0, text.size() + 1));
  const TempFile file(".jsonl", text);
  auto reader = TraceReader::Open(file.path());
  RC_ASSERT(reader.has_value());
  for (;;) {
    const auto next = (*reader)->Next();
    if (!next) {
      RC_ASSERT(next.error().message.starts_with(file.path() + ":"));
      break;
    }
    if (!*next) {
      break;
    }
    std::uint64_t tokens = 0;
    for (const TraceSegment& segment : (*next)->path) {
      tokens += segment.tokens;
    }
    RC_ASSERT(tokens <= (*next)->input_tokens);
    RC_ASSERT(!(*next)->exact || tokens == (*next)->input_tokens);
  }
}

RC_GTEST_PROP(Trace, AnyMixHasItsNumberOfRequestsInOrder, ()) {
  GeneratorConfig config;
  config.seed = *rc::gen::arbitrary<std::uint64_t>();
  config.requests = *rc::gen::inRange(0U, 300U);
  config.agent_weight = *rc::gen::inRange(0U, 5U);
  config.chat_weight = *rc::gen::inRange(0U, 5U);
  config.documents_weight = *rc::gen::inRange(0U, 5U);
  config.templates_weight = *rc::gen::inRange(1U, 5U);
  auto generator = TraceGenerator::Create(config);
  RC_ASSERT(generator.has_value());
  const auto requests = ReadRequests(**generator);
  RC_ASSERT(requests.has_value());
  RC_ASSERT(requests->size() == config.requests);
  RC_ASSERT(std::is_sorted(
      requests->begin(), requests->end(),
      [](const TraceRequest& a, const TraceRequest& b) { return a.arrival_s < b.arrival_s; }));
}

}  // namespace
}  // namespace cairn
