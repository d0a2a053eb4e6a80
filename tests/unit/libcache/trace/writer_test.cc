#include "libcache/trace/writer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "libcache/trace/generator.h"
#include "tests/unit/libcache/trace/temp_file.h"

namespace cairn {
namespace {

TraceRequest Session(double arrival_s, std::vector<TraceSegment> path) {
  TraceRequest request{.arrival_s = arrival_s, .tenant = "t", .group = "g"};
  request.output_tokens = 10;
  request.block_tokens = 64;
  request.exact = true;
  request.path = std::move(path);
  for (const TraceSegment& segment : request.path) {
    request.input_tokens += segment.tokens;
  }
  return request;
}

std::string Written(const std::vector<TraceRequest>& requests) {
  const TempFile file(".jsonl");
  auto writer = TraceWriter::Create(file.path());
  EXPECT_TRUE(writer.has_value());
  for (const TraceRequest& request : requests) {
    const auto status = (*writer)->Write(request);
    EXPECT_TRUE(status.has_value()) << status.error().message;
  }
  EXPECT_TRUE((*writer)->Close().has_value());
  std::ifstream in(file.path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The second prompt extends the first, the third leaves it after 100 tokens: one whole block is
// shared, and block 1 of the third is a new one though the ids of 100 tokens are the same.
TEST(TraceWriterTest, ChainsTheBlockIdsOfExactRequests) {
  EXPECT_EQ(
      Written({Session(0, {{7, 100}, {8, 30}}), Session(0.25, {{7, 100}, {8, 30}, {9, 200}}),
               Session(1e-3 * 1500, {{7, 100}, {5, 60}})}),
      R"({"t":0,"tenant":"t","group":"g","input_len":130,"output_len":10,"block_tokens":64,)"
      R"("blocks":[[0,2]],"segs":[[7,100],[8,30]]})"
      "\n"
      R"({"t":0.25,"tenant":"t","group":"g","input_len":330,"output_len":10,"block_tokens":64,)"
      R"("blocks":[[0,5]],"segs":[[7,100],[8,30],[9,200]]})"
      "\n"
      R"({"t":1.5,"tenant":"t","group":"g","input_len":160,"output_len":10,"block_tokens":64,)"
      R"("blocks":[0,5],"segs":[[7,100],[5,60]]})"
      "\n");
}

TEST(TraceWriterTest, EscapesLabelsAndWritesEmptyOnesAsNull) {
  TraceRequest request = Session(0, {{1, 1}});
  request.tenant = "a\"b\n";
  request.group = "";
  EXPECT_NE(Written({request}).find(R"("tenant":"a\"b\n","group":null)"), std::string::npos);
}

TEST(TraceWriterTest, BlockTracesComeBackAsTheyWere) {
  TraceRequest request = Session(3, {{4, 64}, {5, 64}, {1, 64}});
  request.exact = false;
  request.input_tokens = 200;
  const TempFile file(".jsonl", Written({request}));
  auto reader = TraceReader::Open(file.path());
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(**(*reader)->Next(), request);
}

TEST(TraceWriterTest, GeneratedTracesComeBackAsTheyWere) {
  for (const char* suffix : {".jsonl", ".jsonl.gz"}) {
    const auto config = GeneratorScenario("mixed", 5, 800);
    ASSERT_TRUE(config.has_value());
    auto generator = TraceGenerator::Create(*config);
    ASSERT_TRUE(generator.has_value());
    const TempFile file(suffix);
    const auto written = WriteTrace(file.path(), **generator);
    ASSERT_TRUE(written.has_value()) << written.error().message;
    EXPECT_EQ(*written, 800U);
    auto reader = TraceReader::Open(file.path());
    ASSERT_TRUE(reader.has_value());
    const auto read = ReadRequests(**reader);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    auto again = TraceGenerator::Create(*config);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*read, *ReadRequests(**again));
  }
}

TEST(TraceWriterTest, RefusesWhatNoReaderWouldTakeBack) {
  const TempFile file(".jsonl");
  auto writer = TraceWriter::Create(file.path());
  ASSERT_TRUE(writer.has_value());
  TraceRequest request = Session(0, {{1, 100}});
  request.input_tokens = 99;
  EXPECT_EQ((*writer)->Write(request).error().code, ErrorCode::kInvalidArgument);
  request.input_tokens = 100;
  request.exact = false;
  EXPECT_EQ((*writer)->Write(request).error().code, ErrorCode::kInvalidArgument)
      << "a segment that is no block";
  request.block_tokens = 0;
  EXPECT_EQ((*writer)->Write(request).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(TraceWriter::Create("/no/such/folder/x.jsonl").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace cairn
