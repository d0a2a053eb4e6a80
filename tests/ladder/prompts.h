#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace cairn::test {

inline constexpr std::uint32_t kBlockTokens = 64;
inline constexpr std::uint32_t kPredict = 16;

/// A prompt of the ladder. Our random models have a token for each byte (random_model.h), so its
/// tokens are known here without an engine.
struct LadderPrompt {
  std::string id;
  std::string text;

  [[nodiscard]] std::vector<std::uint32_t> Tokens() const {
    constexpr std::uint32_t kBegin = 1;
    constexpr std::uint32_t kFirstByte = 3;
    constexpr std::uint32_t kSpace = kFirstByte + 256;
    std::vector<std::uint32_t> tokens = {kBegin};
    for (const char c : text) {
      tokens.push_back(c == ' ' ? kSpace : kFirstByte + static_cast<unsigned char>(c));
    }
    return tokens;
  }
  [[nodiscard]] std::uint32_t TokenCount() const {
    return static_cast<std::uint32_t>(text.size()) + 1;
  }
  /// The deepest position at which a prompt that was seen before can be resumed.
  [[nodiscard]] std::uint32_t Eligible() const {
    return (TokenCount() - 1) / kBlockTokens * kBlockTokens;
  }
};

/// Prose of this project's documentation and of the licences that every Debian system carries, as
/// plain ASCII on one line.
inline std::string LadderText() {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (const char* const folder : {CAIRN_SOURCE_DIR "/docs", "/usr/share/common-licenses"}) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      if (entry.is_regular_file() && !entry.is_symlink()) {
        files.push_back(entry.path());
      }
    }
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) {
    std::ostringstream content;
    content << std::ifstream(file).rdbuf();
    bool space = true;
    for (const char c : content.str()) {
      const bool printable = c > ' ' && c <= '~';
      if (printable || !space) {
        text += printable ? c : ' ';
      }
      space = !printable;
    }
  }
  return text;
}

/// 64 prompts that share prefixes as real ones do: questions on documents, growing conversations,
/// filled-in templates. Prompt i has i modulo 64 tokens, so that what is left to compute behind the
/// last whole block takes every length from 1 to 64.
class LadderPrompts {
 public:
  LadderPrompts() : text_(LadderText()) {
    for (std::size_t document = 0; document < 4; ++document) {
      const std::string body = "Document: " + Take(500 + 130 * document);
      for (std::size_t question = 0; question < 6; ++question) {
        Add("document" + std::to_string(document), body + " Question: " + Take(20 + 9 * question));
      }
    }
    for (std::size_t chat = 0; chat < 4; ++chat) {
      std::string conversation = "System: be brief. " + Take(100 * chat);
      for (std::size_t turn = 0; turn < 5; ++turn) {
        Add("chat" + std::to_string(chat), conversation + " User: " + Take(40 + 11 * turn));
        conversation = all_.back().text + " Assistant: " + Take(90 + 17 * turn);
      }
    }
    for (std::size_t form = 0; form < 2; ++form) {
      const std::string instructions = "Instructions: " + Take(330 + 300 * form) + " Input: ";
      for (std::size_t item = 0; item < 10; ++item) {
        Add("template" + std::to_string(form), instructions + Take(50 + 23 * item));
      }
    }
  }
  [[nodiscard]] const std::vector<LadderPrompt>& all() const { return all_; }

  /// A prompts file that has each prompt `times` times.
  void Write(const std::string& path, int times = 1) const {
    std::ofstream file(path);
    for (int i = 0; i < times; ++i) {
      for (const LadderPrompt& prompt : all_) {
        file << nlohmann::json({{"id", prompt.id}, {"prompt", prompt.text}}).dump() << "\n";
      }
    }
  }

 private:
  std::string Take(std::size_t length) {
    std::string part;
    while (part.size() < length) {
      at_ = at_ >= text_.size() ? 0 : at_;
      const std::size_t some = std::min(length - part.size(), text_.size() - at_);
      part += text_.substr(at_, some);
      at_ += some;
    }
    return part;
  }
  void Add(const std::string& name, std::string text) {
    const std::size_t wanted = all_.size() % kBlockTokens;
    const std::size_t now = (text.size() + 1) % kBlockTokens;
    text += Take((wanted + kBlockTokens - now) % kBlockTokens);
    all_.push_back({.id = name + "-" + std::to_string(all_.size()), .text = std::move(text)});
  }

  std::string text_;
  std::size_t at_ = 0;
  std::vector<LadderPrompt> all_;
};

}  // namespace cairn::test
