#include <gtest/gtest.h>
#include <zlib.h>

#include <set>

#include "libcache/trace/trace.h"
#include "tests/unit/libcache/trace/temp_file.h"

namespace cairn {
namespace {

// The example line of docs/traces.md: 60 whole blocks in 3,875 tokens.
constexpr std::string_view kExact =
    R"({"t": 42.685, "tenant": "airline", "group": "a20.0", "input_len": 3875, "output_len": 422,)"
    R"( "block_tokens": 64, "blocks": [[0, 47], [4823, 13]],)"
    R"( "segs": [[0, 3], [1, 1], [2, 48], [3, 2964], [162, 859]], "osegs": [[163, 422]]})";

Result<std::vector<TraceRequest>> ReadFile(const std::string& path) {
  auto reader = TraceReader::Open(path);
  if (!reader) {
    return Fail(reader.error());
  }
  return ReadRequests(**reader);
}

Result<std::vector<TraceRequest>> ReadText(std::string_view text) {
  const TempFile file(".jsonl", text);
  return ReadFile(file.path());
}

std::string Gzip(std::string_view text) {
  const TempFile file(".gz");
  gzFile gz = gzopen(file.path().c_str(), "wb");
  gzwrite(gz, text.data(), static_cast<unsigned>(text.size()));
  gzclose(gz);
  std::ifstream in(file.path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(TraceReaderTest, ReadsAnExactRequest) {
  const auto requests = ReadText(kExact);
  ASSERT_TRUE(requests.has_value()) << requests.error().message;
  ASSERT_EQ(requests->size(), 1U);
  const TraceRequest expected = {
      .arrival_s = 42.685,
      .tenant = "airline",
      .group = "a20.0",
      .input_tokens = 3875,
      .output_tokens = 422,
      .block_tokens = 64,
      .exact = true,
      .path = {{0, 3}, {1, 1}, {2, 48}, {3, 2964}, {162, 859}},
      .output_path = {{163, 422}},
  };
  EXPECT_EQ(requests->front(), expected);
}

TEST(TraceReaderTest, WritesOutTheBlocksOfABlockTrace) {
  const auto requests = ReadText(
      R"({"t":0,"tenant":"x","group":null,"input_len":330,"output_len":1,"block_tokens":64,)"
      R"("blocks":[7,[9,3],2],"later":{"fields":[1,{"are":"skipped"}]}})"
      "\n\n");
  ASSERT_TRUE(requests.has_value()) << requests.error().message;
  ASSERT_EQ(requests->size(), 1U);
  const std::vector<TraceSegment> path = {{7, 64}, {9, 64}, {10, 64}, {11, 64}, {2, 64}};
  EXPECT_EQ(requests->front().path, path);
  EXPECT_FALSE(requests->front().exact);
  EXPECT_EQ(requests->front().group, "");
}

TEST(TraceReaderTest, AnEmptyPromptAndAnEmptyFileAreValid) {
  const auto empty_prompt =
      ReadText(R"({"t":0,"input_len":0,"output_len":0,"block_tokens":64,"blocks":[],"segs":[]})");
  ASSERT_TRUE(empty_prompt.has_value()) << empty_prompt.error().message;
  EXPECT_EQ(empty_prompt->front().input_tokens, 0U);
  EXPECT_TRUE(empty_prompt->front().exact);
  const auto empty_file = ReadText("");
  ASSERT_TRUE(empty_file.has_value());
  EXPECT_TRUE(empty_file->empty());
}

// The public files number the partial last block too. It is left out: the second request goes on
// where the first one ended, and shares all that the first one shows.
TEST(TraceReaderTest, ReadsMooncakeAndLeavesOutThePartialLastBlock) {
  const auto requests = ReadText(
      R"({"timestamp": 27000, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]})"
      "\n"
      R"({"timestamp": 30000, "input_length": 1540, "output_length": 26, "hash_ids": [46, 47, 49]})"
      "\n"
      R"({"timestamp": 30001, "input_length": 1024, "output_length": 26, "hash_ids": [46, 50]})"
      "\n"
      R"({"timestamp": 30001, "input_length": 0, "output_length": 2, "hash_ids": []})");
  ASSERT_TRUE(requests.has_value()) << requests.error().message;
  ASSERT_EQ(requests->size(), 4U);
  const std::vector<TraceSegment> first = {{46, 512}, {47, 512}};
  const std::vector<TraceSegment> second = {{46, 512}, {47, 512}, {49, 512}};
  const std::vector<TraceSegment> third = {{46, 512}, {50, 512}};
  EXPECT_EQ((*requests)[0].path, first);
  EXPECT_EQ((*requests)[1].path, second) << "converted without partial blocks";
  EXPECT_EQ((*requests)[2].path, third);
  EXPECT_TRUE((*requests)[3].path.empty());
  EXPECT_DOUBLE_EQ((*requests)[0].arrival_s, 0);
  EXPECT_DOUBLE_EQ((*requests)[1].arrival_s, 3);
  EXPECT_DOUBLE_EQ((*requests)[2].arrival_s, 3.001);
  EXPECT_EQ((*requests)[0].block_tokens, 512U);
}

std::string Ours(std::string_view fields) {
  return R"({"t":50,"input_len":130,"output_len":2,"block_tokens":64,)" + std::string(fields) + "}";
}

TEST(TraceReaderTest, SaysWhereAndWhatIsMalformed) {
  const std::string t64k(70'000, '[');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"GET / HTTP/1.1", "json: expected one object, found a fault at byte 1"},
      {R"({"t":50,"input_len":1)", "json: expected one object, found a fault at byte 22"},
      {"[1,2]", "json: expected one object, found a list"},
      {"17", "json: expected one object, found 17"},
      {Ours(R"("blocks":[1,2])") + " {}", "json: expected one object, found a fault at byte"},
      {"{\"tenant\":\"\xFF\"}", "json: expected one object, found a fault at byte"},
      {R"({"other":)" + t64k, "json: expected at most 16 levels, found more"},
      {R"({"t":50,"input_len":5,"output_len":2,"block_tokens":64})",
       "blocks: expected the field, found none"},
      {R"({"timestamp":50,"input_length":5,"output_length":2,"hash_ids":[1]})",
       "t: expected the field, found none"},
      {Ours(R"("blocks":[1,2],"t":51)"), "t: expected once, found twice"},
      {R"({"t":"noon"})", "t: expected a time not below 0, found \"noon\""},
      {R"({"t":-1})", "t: expected a time not below 0, found -1"},
      {R"({"t":-0.5})", "t: expected a time not below 0, found -0.5"},
      {R"({"t":1e999})", "json: expected one object, found a fault at byte"},
      {R"({"t":[1]})", "t: expected a time not below 0, found a list"},
      {R"({"tenant":5})", "tenant: expected a string or null, found 5"},
      {R"({"group":true})", "group: expected a string or null, found true"},
      {R"({"input_len":-3})", "input_len: expected a whole number not below 0, found -3"},
      {R"({"input_len":3.5})", "input_len: expected a whole number not below 0, found 3.5"},
      {R"({"input_len":null})", "input_len: expected a whole number not below 0, found null"},
      {R"({"output_len":{}})", "output_len: expected a whole number not below 0, found an object"},
      {R"({"t":50,"input_len":16777217,"output_len":2,"block_tokens":64,"blocks":[]})",
       "input_len: expected at most 16777216 tokens, found 16777217"},
      {R"({"t":50,"input_len":5,"output_len":99999999999,"block_tokens":64,"blocks":[]})",
       "output_len: expected at most 16777216 tokens, found 99999999999"},
      {R"({"t":50,"input_len":5,"output_len":2,"block_tokens":0,"blocks":[]})",
       "block_tokens: expected at least 1, found 0"},
      {Ours(R"("blocks":3)"),
       "blocks: expected a list of block ids and [first, count] pairs, found 3"},
      {Ours(R"("blocks":[[1,2,3]])"),
       "blocks: expected a list of block ids and [first, count] pairs, found 3"},
      {Ours(R"("blocks":[[1]])"),
       "blocks: expected a list of block ids and [first, count] pairs, found a list of 1"},
      {Ours(R"("blocks":[[[1]]])"),
       "blocks: expected a list of block ids and [first, count] pairs, found a list"},
      {Ours(R"("blocks":["a"])"),
       "blocks: expected a list of block ids and [first, count] pairs, found \"a\""},
      {Ours(R"("blocks":[1])"), "blocks: expected 2 whole blocks of 64 in 130 tokens, found 1"},
      {Ours(R"("blocks":[[0,4000000000000]])"),
       "blocks: expected counts of 1 to 16777216 ids below 2^64, found [0, 4000000000000]"},
      {Ours(R"("blocks":[[18446744073709551615,2]])"),
       "blocks: expected counts of 1 to 16777216 ids below 2^64, found [18446744073709551615, 2]"},
      {Ours(R"("blocks":[[5,0],1,2])"),
       "blocks: expected counts of 1 to 16777216 ids below 2^64, found [5, 0]"},
      {Ours(R"("blocks":[1,2],"segs":[[0,100],[1,29]])"),
       "segs: expected segments that add up to 130 tokens, found 129"},
      {Ours(R"("blocks":[1,2],"segs":[[0,130],[1,0]])"),
       "segs: expected segments of 1 to 16777216 tokens, found [1, 0]"},
      {Ours(R"("blocks":[1,2],"segs":[0,130])"),
       "segs: expected a list of [id, tokens] pairs, found 0"},
      {Ours(R"("blocks":[1,2],"segs":[[0,130]],"osegs":[[2,3]])"),
       "osegs: expected segments that add up to 2 tokens, found 3"},
      {Ours(R"("blocks":[1,2],"osegs":[[2,2]])"), "osegs: expected segs beside it, found none"},
      {R"({"t":42.5,"input_len":5,"output_len":2,"block_tokens":64,"blocks":[]})",
       "t: expected at least 42.685, the time of line 1, found 42.5"},
  };
  for (const auto& [text, error] : cases) {
    const TempFile file(".jsonl", std::string(kExact) + "\n" + text + "\n");
    const auto requests = ReadFile(file.path());
    ASSERT_FALSE(requests.has_value()) << text;
    EXPECT_EQ(requests.error().code, ErrorCode::kInvalidArgument) << text;
    EXPECT_TRUE(requests.error().message.starts_with(file.path() + ":2: " + error))
        << requests.error().message << "\nnot: " << error;
    EXPECT_LT(requests.error().message.size(), file.path().size() + 300);
  }
}

TEST(TraceReaderTest, SaysWhatIsMalformedInMooncake) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"timestamp":1,"input_length":1100,"output_length":2})",
       "hash_ids: expected the field, found none"},
      {R"({"timestamp":1,"input_length":1100,"output_length":2,"hash_ids":[1]})",
       "hash_ids: expected 3 blocks of 512 in 1100 tokens, found 1"},
      {R"({"timestamp":1,"input_length":1024,"output_length":2,"hash_ids":[1,2,3]})",
       "hash_ids: expected 2 blocks of 512 in 1024 tokens, found 3"},
      {R"({"timestamp":1,"input_length":1024,"output_length":2,"hash_ids":[1,[2,1]]})",
       "hash_ids: expected a list of block ids, found a list"},
      {R"({"timestamp":1,"input_length":4e9,"output_length":2,"hash_ids":[]})",
       "input_length: expected a whole number not below 0, found 4e9"},
      {R"({"timestamp":1,"t":1})", "fields: expected those of one format (t, input_len, blocks"},
      {R"({"who":"me"})", "fields: expected those of one format (t, input_len, blocks"},
  };
  for (const auto& [text, error] : cases) {
    const TempFile file(".jsonl", text);
    const auto requests = ReadFile(file.path());
    ASSERT_FALSE(requests.has_value()) << text;
    EXPECT_EQ(requests.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(requests.error().message.starts_with(file.path() + ":1: " + error))
        << requests.error().message << "\nnot: " << error;
  }
}

std::string Lookup(const std::string& time, const std::string& rest) {
  return R"({"timestamp": )" + time + R"(, "request_id": "r", "model_name": "m", )" + rest +
         R"(, "dtypes": ["bfloat16"], "shapes": [[2, 32, 256, 128]]})" + "\n";
}

// As docs/traces.md shows it: whole chunks, what follows them is hidden.
TEST(TraceReaderTest, ReadsLookupsOfLmcache) {
  const auto requests = ReadText(
      Lookup("1711929600.5",
             R"("chunk_size": 256, "seq_len": 700, "chunk_hashes": ["0xabcd", "0xEF01"])") +
      Lookup("1711929602", R"("chunk_size": 256, "seq_len": 700, "chunk_hashes": ["0xabcd"])") +
      Lookup("1711929602", R"("chunk_size": 16, "seq_len": 0, "chunk_hashes": [])"));
  ASSERT_TRUE(requests.has_value()) << requests.error().message;
  ASSERT_EQ(requests->size(), 3U);
  const TraceRequest expected = {.arrival_s = 0,
                                 .tenant = "m",
                                 .input_tokens = 700,
                                 .block_tokens = 256,
                                 .path = {{0xABCD, 256}, {0xEF01, 256}}};
  EXPECT_EQ(requests->front(), expected);
  EXPECT_DOUBLE_EQ((*requests)[1].arrival_s, 1.5);
  EXPECT_EQ((*requests)[1].path.size(), 1U) << "fewer chunks than tokens are no fault";
  EXPECT_EQ((*requests)[2].block_tokens, 16U);
}

TEST(TraceReaderTest, HashesOfAnyLengthAreKeptApart) {
  const std::string digest(62, '7');
  const std::vector<std::string> hashes = {"0x" + digest + "00",
                                           "0x" + digest + "01",
                                           "0x00" + digest,
                                           "0x0000000000000000" + digest,
                                           "0x7",
                                           "-0x7",
                                           "0xffffffffffffffff",
                                           "0x1ffffffffffffffff"};
  std::string list;
  for (const std::string& hash : hashes) {
    list += (list.empty() ? "\"" : ", \"") + hash + "\"";
  }
  const auto requests =
      ReadText(Lookup("1", R"("chunk_size": 1, "seq_len": 8, "chunk_hashes": [)" + list + "]"));
  ASSERT_TRUE(requests.has_value()) << requests.error().message;
  std::set<std::uint64_t> ids;
  for (const TraceSegment& segment : requests->front().path) {
    ids.insert(segment.id);
  }
  EXPECT_EQ(ids.size(), hashes.size());
}

// Threads stamp a lookup before they queue for the log.
TEST(TraceReaderTest, LookupsMayBeLoggedALittleLate) {
  const std::string rest = R"("chunk_size": 1, "seq_len": 1, "chunk_hashes": [])";
  const auto late = ReadText(Lookup("20", rest) + Lookup("19.25", rest) + Lookup("20.5", rest));
  ASSERT_TRUE(late.has_value()) << late.error().message;
  EXPECT_DOUBLE_EQ((*late)[1].arrival_s, 0);
  EXPECT_DOUBLE_EQ((*late)[2].arrival_s, 0.5);
  const auto backwards = ReadText(Lookup("20", rest) + Lookup("18.5", rest));
  ASSERT_FALSE(backwards.has_value());
  EXPECT_NE(
      backwards.error().message.find(":2: timestamp: expected at least 20, the time of line 1"),
      std::string::npos)
      << backwards.error().message;
}

TEST(TraceReaderTest, SaysWhatIsMalformedInLookups) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"timestamp":1,"chunk_size":4,"seq_len":4})",
       "chunk_hashes: expected the field, found none"},
      {R"({"chunk_size":4,"seq_len":4,"chunk_hashes":[]})",
       "timestamp: expected the field, found none"},
      {R"({"timestamp":1,"chunk_size":0,"seq_len":4,"chunk_hashes":[]})",
       "chunk_size: expected at least 1, found 0"},
      {R"({"timestamp":1,"chunk_size":4,"seq_len":16777217,"chunk_hashes":[]})",
       "seq_len: expected at most 16777216 tokens, found 16777217"},
      {R"({"timestamp":1,"chunk_size":4,"seq_len":7,"chunk_hashes":["0x1","0x2"]})",
       "chunk_hashes: expected at most 1 whole chunks of 4 in 7 tokens, found 2"},
      {R"({"timestamp":1,"chunk_hashes":["1f"]})",
       "chunk_hashes: expected a list of hexadecimal strings, found \"1f\""},
      {R"({"timestamp":1,"chunk_hashes":["0x"]})",
       "chunk_hashes: expected a list of hexadecimal strings, found \"0x\""},
      {R"({"timestamp":1,"chunk_hashes":["0x12345678901234567g"]})",
       "chunk_hashes: expected a list of hexadecimal strings, found \"0x12345678901234567g\""},
      {R"({"timestamp":1,"chunk_hashes":[17]})",
       "chunk_hashes: expected a list of hexadecimal strings, found 17"},
      {R"({"timestamp":1,"chunk_hashes":[["0x1"]]})",
       "chunk_hashes: expected a list of hexadecimal strings, found a list"},
      {R"({"timestamp":1,"chunk_hashes":"0x1"})",
       "chunk_hashes: expected a list of hexadecimal strings, found \"0x1\""},
      {R"({"timestamp":1,"model_name":7})", "model_name: expected a string or null, found 7"},
      {R"({"timestamp":1,"chunk_size":4,"hash_ids":[]})",
       "fields: expected those of one format (t, input_len, blocks"},
      {R"({"t":1,"chunk_size":4})", "fields: expected those of one format (t, input_len, blocks"},
  };
  for (const auto& [text, error] : cases) {
    const TempFile file(".jsonl", text);
    const auto requests = ReadFile(file.path());
    ASSERT_FALSE(requests.has_value()) << text;
    EXPECT_EQ(requests.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(requests.error().message.starts_with(file.path() + ":1: " + error))
        << requests.error().message << "\nnot: " << error;
  }
}

TEST(TraceReaderTest, AnErrorIsRepeatedAndTheRequestsBeforeItAreGiven) {
  const TempFile file(".jsonl", std::string(kExact) + "\nbroken\n" + std::string(kExact) + "\n");
  auto reader = TraceReader::Open(file.path());
  ASSERT_TRUE(reader.has_value());
  EXPECT_TRUE((*reader)->Next().has_value());
  const auto first = (*reader)->Next();
  const auto second = (*reader)->Next();
  ASSERT_FALSE(first.has_value());
  ASSERT_FALSE(second.has_value()) << "must not go on behind a broken line";
  EXPECT_EQ(first.error().message, second.error().message);
}

TEST(TraceReaderTest, GzipIsKnownByItsContentAndCheckedToItsEnd) {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += kExact;
    text += '\n';
  }
  const std::string zipped = Gzip(text);
  const TempFile whole(".any-name", zipped);
  const auto requests = ReadFile(whole.path());
  ASSERT_TRUE(requests.has_value()) << requests.error().message;
  EXPECT_EQ(requests->size(), 2000U);

  // Cut in the data and in the checksum behind it, and one bit flipped.
  std::string flipped = zipped;
  flipped[zipped.size() / 2] ^= 4;
  for (const std::string& broken :
       {zipped.substr(0, zipped.size() / 2), zipped.substr(0, zipped.size() - 3), flipped}) {
    const TempFile file(".jsonl.gz", broken);
    const auto result = ReadFile(file.path());
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(result.error().message.find(": gzip: expected a whole stream, found: "),
              std::string::npos)
        << result.error().message;
  }
}

TEST(TraceReaderTest, LinesHaveALimit) {
  constexpr std::size_t kLimit = std::size_t{64} << 20U;
  const std::string start = R"({"t":0,"input_len":0,"output_len":0,"block_tokens":64,"blocks":[])";
  const std::string longest = start + std::string(kLimit - start.size() - 1, ' ') + "}";
  const auto at_limit = ReadText(longest + "\n");
  ASSERT_TRUE(at_limit.has_value()) << at_limit.error().message;
  EXPECT_EQ(at_limit->size(), 1U);
  const auto over = ReadText(longest + " \n");
  ASSERT_FALSE(over.has_value());
  EXPECT_TRUE(
      over.error().message.ends_with(":1: line: expected at most 64 MiB, found a longer one"))
      << over.error().message;
}

TEST(TraceReaderTest, NamesTheFileThatCannotBeOpened) {
  const auto missing = TraceReader::Open("/no/such/trace.jsonl");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find("/no/such/trace.jsonl"), std::string::npos);
  const auto directory = TraceReader::Open(testing::TempDir());
  ASSERT_FALSE(directory.has_value());
  EXPECT_EQ(directory.error().code, ErrorCode::kIo);
}

TEST(TraceReaderTest, ProgressEndsAtTheSizeOfTheFile) {
  const TempFile file(".jsonl", std::string(kExact) + "\n");
  auto reader = TraceReader::Open(file.path());
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ((*reader)->Progress().second, kExact.size() + 1);
  ASSERT_TRUE(ReadRequests(**reader).has_value());
  EXPECT_EQ((*reader)->Progress().first, kExact.size() + 1);
}

}  // namespace
}  // namespace cairn
