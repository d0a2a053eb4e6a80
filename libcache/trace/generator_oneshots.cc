#include <algorithm>
#include <map>
#include <string>

#include "libcache/trace/generator_parameters.h"
#include "libcache/trace/generator_populations.h"

namespace cairn {
namespace {

using parameters::Documents;
using parameters::Templates;

/// The answer is no part of any later prompt, yet it is named: a cache may keep what was decoded.
void AddAnswer(TraceRequest& request, std::uint32_t tokens, SegmentIds& ids) {
  request.output_tokens = tokens;
  request.output_path = {ids.Segment(tokens)};
}

std::uint32_t Tokens(const std::vector<TraceSegment>& path) {
  std::uint32_t tokens = 0;
  for (const TraceSegment& segment : path) {
    tokens += segment.tokens;
  }
  return tokens;
}

/// The questions on one document.
class DocumentReading final : public Conversation {
 public:
  DocumentReading(GeneratorRandom random, std::uint32_t number, TraceSegment instruction,
                  SegmentIds& ids)
      : random_(random),
        group_("document-" + std::to_string(number)),
        instruction_(instruction),
        document_(ids.Segment(Sample(Documents::kDocumentTokens, random_))),
        questions_(Sample(Documents::kQuestions, random_)) {
    for (const std::uint32_t openings : Documents::kOpenings) {
      popularity_.emplace_back(openings);
    }
  }

  [[nodiscard]] std::uint32_t Turns() const override { return questions_; }
  std::uint64_t GapMs() override { return SampleExponential(Documents::kQuestionGapMs, random_); }

  TraceRequest NextTurn(SegmentIds& ids) override {
    TraceRequest request;
    request.tenant = "documents";
    request.group = group_;
    request.exact = true;
    request.path = {instruction_, document_};
    std::uint32_t question = Sample(Documents::kQuestionTokens, random_);
    std::uint32_t opening = 0;  // Names the openings chosen so far.
    for (std::size_t level = 0; level < popularity_.size(); ++level) {
      opening = opening * 100 + 1 + popularity_[level].Draw(random_);
      const auto [entry, added] = openings_.try_emplace(opening);
      if (added) {
        entry->second = ids.Segment(Documents::kOpeningTokens[level]);
      }
      request.path.push_back(entry->second);
      question -= std::min(question - 1, entry->second.tokens);
    }
    request.path.push_back(ids.Segment(question));
    request.input_tokens = Tokens(request.path);
    AddAnswer(request, Sample(Documents::kOutputTokens, random_), ids);
    return request;
  }

 private:
  GeneratorRandom random_;
  std::string group_;
  TraceSegment instruction_;
  TraceSegment document_;
  std::uint32_t questions_;
  std::vector<ZipfSampler> popularity_;  ///< By level.
  std::map<std::uint32_t, TraceSegment> openings_;
};

class DocumentReadings final : public Population {
 public:
  explicit DocumentReadings(SegmentIds& ids)
      : instruction_(ids.Segment(Documents::kInstructionTokens)) {}
  std::uint64_t StartGapMs(GeneratorRandom& random) override {
    return SampleExponential(Documents::kStartGapMs, random);
  }
  [[nodiscard]] std::uint64_t SpanMs(std::uint64_t requests) const override {
    return requests * Documents::kStartGapMs / Documents::kMeanQuestions +
           Documents::kQuestionGapMs * (Documents::kMeanQuestions - 1);
  }
  std::unique_ptr<Conversation> Start(std::uint32_t number, GeneratorRandom random,
                                      SegmentIds& ids) override {
    return std::make_unique<DocumentReading>(random, number, instruction_, ids);
  }

 private:
  TraceSegment instruction_;
};

/// One request on a template.
class TemplateRequest final : public Conversation {
 public:
  TemplateRequest(GeneratorRandom random, std::uint32_t number, std::vector<TraceSegment> prompt)
      : random_(random), number_(number), prompt_(std::move(prompt)) {}

  [[nodiscard]] std::uint32_t Turns() const override { return 1; }
  std::uint64_t GapMs() override { return 0; }

  TraceRequest NextTurn(SegmentIds& ids) override {
    TraceRequest request;
    request.tenant = "vendor-" + std::to_string(number_ % Templates::kVendors);
    request.group = "template-" + std::to_string(number_);
    request.exact = true;
    request.path = prompt_;
    request.path.push_back(ids.Segment(Sample(Templates::kUserTokens, random_)));
    request.input_tokens = Tokens(request.path);
    AddAnswer(request, Sample(Templates::kOutputTokens, random_), ids);
    return request;
  }

 private:
  GeneratorRandom random_;
  std::uint32_t number_;  ///< Of the template, by popularity.
  std::vector<TraceSegment> prompt_;
};

class TemplateRequests final : public Population {
 public:
  explicit TemplateRequests(SegmentIds& ids)
      : popularity_(Templates::kTemplates), common_(ids.Segment(Templates::kCommonTokens)) {
    // The rare templates are the same for every seed too: a seed changes who comes when, not what
    // the workload is.
    GeneratorRandom random(Templates::kTemplates);
    for (std::uint32_t i = 0; i < Templates::kTemplates; ++i) {
      templates_.push_back(ids.Segment(i < Templates::kPopularTokens.size()
                                           ? Templates::kPopularTokens[i]
                                           : Sample(Templates::kTemplateTokens, random)));
    }
  }
  std::uint64_t StartGapMs(GeneratorRandom& random) override {
    return SampleExponential(Templates::kGapMs, random);
  }
  [[nodiscard]] std::uint64_t SpanMs(std::uint64_t requests) const override {
    return requests * Templates::kGapMs;
  }
  std::unique_ptr<Conversation> Start(std::uint32_t /*number*/, GeneratorRandom random,
                                      SegmentIds& /*ids*/) override {
    const std::uint32_t drawn = popularity_.Draw(random);
    return std::make_unique<TemplateRequest>(random, drawn,
                                             std::vector{common_, templates_[drawn]});
  }

 private:
  ZipfSampler popularity_;
  TraceSegment common_;
  std::vector<TraceSegment> templates_;
};

}  // namespace

std::unique_ptr<Population> MakeDocuments(SegmentIds& ids) {
  return std::make_unique<DocumentReadings>(ids);
}
std::unique_ptr<Population> MakeTemplates(SegmentIds& ids) {
  return std::make_unique<TemplateRequests>(ids);
}

}  // namespace cairn
