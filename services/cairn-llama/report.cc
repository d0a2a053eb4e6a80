#include "services/cairn-llama/report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace cairn::llama {
namespace {

using nlohmann::json;

constexpr std::size_t kShownOutput = 40;

double Ms(std::chrono::microseconds time) { return static_cast<double>(time.count()) / 1000.0; }

double LoadMs(const Outcome& outcome) {
  return Ms(outcome.cache.match + outcome.cache.load + outcome.cache.restore);
}

/// Seen before, but computed again all the same.
std::uint32_t Gap(const Outcome& outcome) {
  return outcome.cache.overlap_tokens -
         std::min(outcome.cache.overlap_tokens, outcome.cache.position);
}

/// One line of printable text.
std::string Shown(const std::string& text) {
  std::string shown = text.substr(0, kShownOutput);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '.');
  return text.size() > kShownOutput ? shown + "..." : shown;
}

json ToJson(const Outcome& outcome) {
  json object = {{"id", outcome.id},
                 {"prompt_tokens", outcome.prompt_tokens},
                 {"overlap_tokens", outcome.cache.overlap_tokens},
                 {"resumed_at", outcome.cache.position},
                 {"gap_tokens", Gap(outcome)},
                 {"loaded_bytes", outcome.cache.bytes},
                 {"tier", std::string(TierName(outcome.cache.tier))},
                 {"match_ms", Ms(outcome.cache.match)},
                 {"load_ms", Ms(outcome.cache.load)},
                 {"restore_ms", Ms(outcome.cache.restore)},
                 {"prefill_ms", outcome.prefill_ms},
                 {"first_token_ms", outcome.first_token_ms},
                 {"generate_ms", outcome.generate_ms},
                 {"generated_tokens", outcome.generated},
                 {"output", outcome.text}};
  if (outcome.cache.error) {
    object["cache_error"] = ToString(*outcome.cache.error);
  }
  if (!outcome.logits.empty()) {
    object["logits"] = outcome.logits;
  }
  return object;
}

json ToJson(const NamespaceSpec& spec) {
  return {{"tenant", spec.tenant},
          {"model", spec.model},
          {"revision", spec.revision},
          {"dtype", spec.dtype},
          {"layout", spec.layout},
          {"kernel", spec.kernel},
          {"adapter", spec.adapter},
          {"salt", spec.salt},
          {"kv_bytes_per_token", spec.kv_bytes_per_token},
          {"checkpoint_bytes", spec.checkpoint_bytes},
          {"block_tokens", spec.block_tokens},
          {"grid_tokens", spec.grid_tokens},
          {"fidelity", FidelityName(spec.fidelity)}};
}

json ToJson(const llamacpp::ConnectorCounters& counters) {
  return {{"requests", counters.requests},
          {"prompt_tokens", counters.prompt_tokens},
          {"resumed", counters.resumed},
          {"resumed_tokens", counters.resumed_tokens},
          {"not_worth_it", counters.not_worth_it},
          {"failed_matches", counters.failed_matches},
          {"failed_loads", counters.failed_loads},
          {"rejected", counters.rejected},
          {"failed_restores", counters.failed_restores},
          {"captured", counters.captured},
          {"failed_captures", counters.failed_captures},
          {"stored_objects", counters.stored_objects},
          {"stored_bytes", counters.stored_bytes},
          {"dropped_stores", counters.dropped_stores},
          {"failed_stores", counters.failed_stores}};
}

template <class... Values>
std::string Format(const char* format, Values... values) {
  std::array<char, 512> line{};
  std::snprintf(line.data(), line.size(), format, values...);
  return line.data();
}

}  // namespace

std::string TableHead() {
  return Format("%-12s %8s %10s %7s %9s %11s  %s\n", "prompt", "tokens", "resumed at", "gap",
                "load ms", "prefill ms", "output");
}

std::string TableRow(const Outcome& outcome) {
  std::string row = Format("%-12.12s %8u %10u %7u %9.2f %11.2f  %s\n", outcome.id.c_str(),
                           outcome.prompt_tokens, outcome.cache.position, Gap(outcome),
                           LoadMs(outcome), outcome.prefill_ms, Shown(outcome.text).c_str());
  if (outcome.cache.error) {
    row += "             computed from the begin: " + ToString(*outcome.cache.error) + "\n";
  }
  return row;
}

std::string Summary(const std::vector<Outcome>& outcomes, const llamacpp::Connector* connector) {
  std::uint64_t tokens = 0;
  std::uint64_t resumed = 0;
  double prefill_ms = 0;
  double load_ms = 0;
  for (const Outcome& outcome : outcomes) {
    tokens += outcome.prompt_tokens;
    resumed += outcome.cache.position;
    prefill_ms += outcome.prefill_ms;
    load_ms += LoadMs(outcome);
  }
  std::string text = Format(
      "%zu prompts of %llu tokens: %llu (%.1f %%) came from the cache in %.0f ms, the other %llu "
      "were computed in %.0f ms.\n",
      outcomes.size(), static_cast<unsigned long long>(tokens),
      static_cast<unsigned long long>(resumed),
      tokens == 0 ? 0.0 : 100.0 * static_cast<double>(resumed) / static_cast<double>(tokens),
      load_ms, static_cast<unsigned long long>(tokens - resumed), prefill_ms);
  if (connector == nullptr) {
    return text;
  }
  const llamacpp::ConnectorCounters counters = connector->counters();
  text += Format("Stored %llu objects, %.1f MB.\n",
                 static_cast<unsigned long long>(counters.stored_objects),
                 static_cast<double>(counters.stored_bytes) / 1e6);
  const std::uint64_t lost =
      counters.failed_stores + counters.dropped_stores + counters.failed_captures;
  if (lost != 0) {
    text += Format(
        "%llu times something was not stored (--json tells what: failed_stores, dropped_stores, "
        "failed_captures).\n",
        static_cast<unsigned long long>(lost));
  }
  return text;
}

std::string ReportJson(const std::vector<Outcome>& outcomes, const llamacpp::Connector* connector) {
  json report = {{"prompts", json::array()}};
  for (const Outcome& outcome : outcomes) {
    report["prompts"].push_back(ToJson(outcome));
  }
  if (connector != nullptr) {
    report["namespace"] = ToJson(connector->name_space());
    report["counters"] = ToJson(connector->counters());
  }
  // A model may generate bytes that are no UTF-8.
  return report.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string ErrorJson(const Error& error) {
  const json object = {{"error", {{"code", ErrorName(error.code)}, {"message", error.message}}}};
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace cairn::llama
