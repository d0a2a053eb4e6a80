#pragma once

#include <array>
#include <cstdint>

#include "libcache/trace/generator_random.h"

/// The figures behind the generated traffic. Each was measured on the public trace named above it
/// (docs/traces.md, "Generator", has the traces' statistics beside the generated ones). A table
/// holds quantiles: {permille, value}. Where the last point of a table is below the trace's
/// maximum, it was chosen so that the mean comes out right between the straight lines.
namespace cairn::parameters {

/// claude-code: 330 coding sessions, 18,757 requests.
struct Agent {
  /// Sessions start uniformly over 5 h: one per 54.5 s.
  static constexpr std::uint64_t kStartGapMs = 54'500;
  /// Requests per session: mean 56.8, 85 s apart on average.
  static constexpr std::uint64_t kMeanTurns = 57;
  static constexpr std::uint64_t kMeanSessionMs = 56 * 85'000;
  static constexpr QuantilePoint kTurns[] = {
      {0, 3},    {50, 4},   {100, 6},  {200, 12},  {300, 21},  {400, 29},  {500, 41},
      {600, 56}, {700, 72}, {800, 92}, {900, 128}, {950, 162}, {990, 235}, {1000, 330}};
  /// Sessions that resume a long context are shorter: mean 84, 41 and 23 requests where the first
  /// prompt is below 30k tokens, below 150k, and above. Per mille of the drawn length.
  static constexpr std::uint32_t kMediumFirstTokens = 30'000;
  static constexpr std::uint32_t kLongFirstTokens = 150'000;
  static constexpr std::uint32_t kShortFirstTurnsPermille = 1480;
  static constexpr std::uint32_t kMediumFirstTurnsPermille = 740;
  static constexpr std::uint32_t kLongFirstTurnsPermille = 450;
  /// Tools and system prompt: 9-13k tokens; 296 of 341 sessions start on one seen before, and the
  /// trace has 70 roots in 330 sessions. A tool set of its own per mille of the sessions; the
  /// others share kToolSets, Zipf(1).
  static constexpr std::uint32_t kToolSets = 30;
  static constexpr std::uint32_t kOwnToolSetPermille = 130;
  static constexpr QuantilePoint kToolTokens[] = {{0, 9000}, {500, 10800}, {1000, 13000}};
  /// Project instructions right behind them: compactions keep them two times out of three.
  static constexpr QuantilePoint kInstructionTokens[] = {{0, 800}, {500, 3500}, {1000, 6000}};
  /// First prompt beyond both. Half of the sessions resume a long context.
  static constexpr QuantilePoint kFirstTokens[] = {
      {0, 200},      {100, 2500},   {200, 4000},   {300, 5200},   {400, 8000},
      {500, 40000},  {600, 75000},  {700, 91000},  {800, 125000}, {900, 262000},
      {950, 395000}, {990, 700000}, {1000, 815000}};
  /// Tool results and user text that a turn adds behind the answer: p50 322, mean 1,392.
  static constexpr QuantilePoint kTurnTokens[] = {
      {0, 8},     {100, 12},   {200, 27},   {300, 83},   {400, 193},   {500, 322},   {600, 509},
      {700, 854}, {800, 1552}, {900, 3245}, {950, 6118}, {990, 16001}, {1000, 60000}};
  /// Answers: mean 462.
  static constexpr QuantilePoint kOutputTokens[] = {
      {0, 20},    {50, 97},   {100, 114}, {200, 137}, {300, 162},  {400, 194},  {500, 237},
      {600, 301}, {700, 401}, {800, 567}, {900, 955}, {950, 1621}, {990, 3578}, {1000, 6000}};
  /// From one request of a session to the next, ms: p50 19 s, p90 118 s.
  static constexpr QuantilePoint kGapMs[] = {
      {0, 1000},     {50, 7600},    {100, 9000},   {200, 11000},   {300, 13000},
      {400, 16000},  {500, 19000},  {600, 24000},  {700, 32000},   {800, 50000},
      {900, 112000}, {950, 224000}, {980, 500000}, {990, 1549000}, {1000, 5000000}};
  /// 2.6 % of the requests of a session fall back by more than a block, half of them by 84 % or
  /// more. Long prompts are rewritten behind tools and instructions, into p50 96 % of their length.
  static constexpr std::uint32_t kRewritePermille = 11;
  static constexpr std::uint32_t kRewriteMinTokens = 40'000;
  static constexpr QuantilePoint kRewritePercent[] = {
      {0, 8},     {100, 19},  {200, 31},  {300, 64},  {400, 82},  {500, 96},
      {700, 101}, {800, 102}, {900, 106}, {950, 125}, {1000, 190}};
  /// Prompts above the limit are compacted into a summary. Sessions that begin above 150k tokens,
  /// and a few others, run with the long limit.
  static constexpr std::uint32_t kContextTokens = 170'000;
  static constexpr std::uint32_t kLongContextTokens = 890'000;
  static constexpr std::uint32_t kLongContextPermille = 120;
  static constexpr QuantilePoint kSummaryTokens[] = {{0, 3000}, {500, 20000}, {1000, 90000}};
  /// 168 of 487 fall-backs land at the end of the tools.
  static constexpr std::uint32_t kRewriteKeepsInstructionsPermille = 667;
  /// A quarter of the fall-backs are edits of the last message; a few go back to an earlier one.
  static constexpr std::uint32_t kEditPermille = 8;
  static constexpr std::uint32_t kRewindPermille = 2;
  /// 4.1 % of the overlaps stop one 64-token block before the stored end: the prompt ended in
  /// something that the next one leaves out. Twice as many here, since half of these tails do not
  /// cross a block boundary.
  static constexpr std::uint32_t kVolatileTailPermille = 82;
  static constexpr std::uint32_t kVolatileTailTokens = 64;
};

/// mooncake-conv: 4,945 chats, 7,851 requests, blocks of 512.
struct Chat {
  static constexpr std::uint64_t kStartGapMs = 485;
  /// 1.6 requests per chat, 190 s apart on average.
  static constexpr std::uint64_t kMeanTurnsTenths = 16;
  static constexpr std::uint64_t kMeanSessionMs = 6 * 190'000 / 10;
  /// 70 % of the chats are one request, 18 % two, 6 % three; 4,945 of 7,851 requests open a chat.
  static constexpr QuantilePoint kTurns[] = {
      {0, 1},   {699, 1}, {699, 2}, {880, 2}, {880, 3}, {938, 3}, {938, 4}, {965, 4},
      {965, 5}, {978, 5}, {978, 6}, {987, 6}, {987, 8}, {992, 8}, {995, 9}, {1000, 20}};
  /// All prompts share block 0 and no prompt is shorter than 891 tokens.
  static constexpr std::uint32_t kSystemTokens = 880;
  /// First prompt beyond the system prompt: with it p50 5,686, mean 11,160.
  static constexpr QuantilePoint kFirstTokens[] = {
      {0, 11},      {100, 26},    {200, 245},    {300, 998},   {400, 3290},
      {500, 4806},  {600, 7082},  {700, 10366},  {800, 15584}, {900, 25264},
      {950, 38676}, {990, 91575}, {1000, 120000}};
  /// What a turn adds behind the answer: p50 26, mean 1,317.
  static constexpr QuantilePoint kTurnTokens[] = {
      {0, 4},     {300, 11},   {400, 16},   {500, 26},    {600, 49},    {700, 169},
      {800, 725}, {900, 4245}, {950, 7509}, {990, 17920}, {1000, 40000}};
  static constexpr QuantilePoint kOutputTokens[] = {
      {0, 1},     {100, 24},  {200, 98},  {300, 216}, {400, 298},  {500, 356},  {600, 402},
      {700, 451}, {800, 510}, {900, 606}, {950, 712}, {990, 1170}, {1000, 2000}};
  /// To the next turn, ms: p50 123 s, p90 459 s.
  static constexpr QuantilePoint kGapMs[] = {
      {0, 3000},     {100, 42000},  {200, 60000},  {300, 75000},  {400, 96000},   {500, 123000},
      {600, 162000}, {700, 219000}, {800, 309000}, {900, 459000}, {990, 1032000}, {1000, 1788000}};
  /// Of the follow-ups 84 % extend the stored prompt to its end and 3 % part within 512 tokens of
  /// it; the others keep only the system prompt and the opening of the first message (p50 2.5k
  /// tokens in all), with a rewritten history behind. These are long: 10 % of the follow-ups part
  /// more than 8.7k tokens before the end.
  static constexpr std::uint32_t kEditPermille = 30;
  static constexpr std::uint32_t kRewritePermille = 200;
  static constexpr std::uint32_t kRewriteMinTokens = 7000;
  /// Longest prompt; a chat that would outgrow it is rewritten too.
  static constexpr std::uint32_t kContextTokens = 124'847;
  static constexpr QuantilePoint kOpeningTokens[] = {{0, 150},    {400, 700},  {600, 1700},
                                                     {800, 4500}, {900, 8000}, {1000, 14000}};
};

/// qmsum: 167 meetings, 1,148 questions.
struct Documents {
  /// A document's first question uniform over 1 h, then exponential gaps of mean 45 s.
  static constexpr std::uint64_t kStartGapMs = 21'500;
  static constexpr std::uint64_t kQuestionGapMs = 45'000;
  static constexpr std::uint64_t kMeanQuestions = 7;
  static constexpr QuantilePoint kQuestions[] = {{0, 3},   {10, 3},  {10, 4},  {40, 4},   {40, 5},
                                                 {150, 6}, {150, 7}, {900, 7}, {1000, 14}};
  static constexpr std::uint32_t kInstructionTokens = 24;
  static constexpr QuantilePoint kDocumentTokens[] = {
      {0, 1720},    {10, 2740},   {50, 4190},   {100, 5300},  {200, 7360},
      {300, 8960},  {400, 10790}, {500, 11870}, {600, 13880}, {700, 16160},
      {800, 17800}, {900, 22980}, {950, 25700}, {990, 32060}, {1000, 36050}};
  /// Whole questions; overlaps end 9-29 tokens before the end of the stored prompt.
  static constexpr QuantilePoint kQuestionTokens[] = {
      {0, 8}, {100, 12}, {500, 20}, {900, 29}, {1000, 42}};
  /// Questions on one document begin alike ("Summarize the ...", "What did ..."): so many
  /// openings per level, Zipf(1), of so many tokens. 25.6 % of the overlaps end where one ended.
  static constexpr std::array<std::uint32_t, 3> kOpenings = {2, 5, 12};
  static constexpr std::array<std::uint32_t, 3> kOpeningTokens = {1, 1, 3};
  static constexpr QuantilePoint kOutputTokens[] = {{0, 40},    {100, 55},  {300, 91},  {500, 123},
                                                    {700, 155}, {900, 184}, {1000, 200}};
};

/// sysprompt-static: 116 system prompts, 9,000 requests.
struct Templates {
  /// 9,000 arrivals of the Azure 2023 conversation trace in 1,659 s.
  static constexpr std::uint64_t kGapMs = 184;
  /// Popularity Zipf(1) over 116 prompts of 11 vendors, which all begin with the same 3 tokens.
  static constexpr std::uint32_t kTemplates = 116;
  static constexpr std::uint32_t kVendors = 11;
  static constexpr std::uint32_t kCommonTokens = 3;
  /// Tokens of the ten most popular prompts, which draw 55 % of the requests.
  static constexpr std::array<std::uint32_t, 10> kPopularTokens = {38315, 1910,  2928,  3649, 47440,
                                                                   5478,  37122, 47150, 3755, 5619};
  /// Tokens of the others.
  static constexpr QuantilePoint kTemplateTokens[] = {
      {0, 1223},   {100, 1823}, {200, 2343},  {300, 2928},  {400, 3413},  {500, 4073},
      {600, 4968}, {700, 7079}, {800, 12032}, {900, 23004}, {1000, 48607}};
  /// User text: p50 1,038, capped at 4,096.
  static constexpr QuantilePoint kUserTokens[] = {
      {0, 2},      {10, 39},    {50, 181},   {100, 238},  {200, 390},
      {300, 409},  {400, 986},  {500, 1038}, {600, 1082}, {700, 1139},
      {800, 1315}, {830, 2000}, {880, 4060}, {900, 4073}, {1000, 4096}};
  static constexpr QuantilePoint kOutputTokens[] = {
      {0, 7},     {100, 50},  {200, 73},  {300, 90},  {400, 105}, {500, 154},  {600, 234},
      {700, 394}, {800, 407}, {900, 429}, {950, 467}, {990, 616}, {1000, 1000}};
};

}  // namespace cairn::parameters
