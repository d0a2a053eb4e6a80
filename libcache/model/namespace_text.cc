#include "libcache/model/namespace_text.h"

#include <cstring>

namespace cairn {
namespace {

/// Takes fields off the front of a text; once one does not fit, all later ones fail.
class FieldReader {
 public:
  explicit FieldReader(std::string_view text) : text_(text) {}

  template <class T>
  T Integer() {
    T value{};
    if (!ok_ || text_.size() < sizeof(T)) {
      ok_ = false;
      return value;
    }
    text_.copy(reinterpret_cast<char*>(&value), sizeof(T));
    text_.remove_prefix(sizeof(T));
    return value;
  }

  /// A length and that many bytes.
  std::string_view Bytes() {
    const auto size = Integer<std::uint64_t>();
    if (!ok_ || text_.size() < size) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = text_.substr(0, size);
    text_.remove_prefix(size);
    return bytes;
  }

  /// A length-prefixed integer.
  template <class T>
  void Read(T& value) {
    FieldReader field(Bytes());
    value = field.Integer<T>();
    ok_ = ok_ && field.AtEnd();
  }
  void Read(std::string& value) { value = std::string(Bytes()); }
  /// Exact is said by saying nothing.
  void Read(Fidelity& value) {
    const auto fidelity = ParseFidelity(Bytes());
    ok_ = ok_ && fidelity && *fidelity != Fidelity::kExact;
    value = ok_ ? *fidelity : Fidelity::kExact;
  }

  [[nodiscard]] bool AtEnd() const { return ok_ && text_.empty(); }

 private:
  std::string_view text_;
  bool ok_ = true;
};

}  // namespace

Result<NamespaceSpec> ParseCanonicalNamespace(std::string_view text) {
  NamespaceSpec spec;
  FieldReader reader(text);
  reader.Read(spec.tenant);
  reader.Read(spec.model);
  reader.Read(spec.revision);
  reader.Read(spec.dtype);
  reader.Read(spec.layout);
  reader.Read(spec.kernel);
  reader.Read(spec.adapter);
  reader.Read(spec.tp_rank);
  reader.Read(spec.tp_size);
  reader.Read(spec.salt);
  reader.Read(spec.block_tokens);
  reader.Read(spec.kv_bytes_per_token);
  reader.Read(spec.checkpoint_bytes);
  if (!reader.AtEnd()) {
    reader.Read(spec.fidelity);
    reader.Read(spec.checkpoint_shape);
    reader.Read(spec.kv_shape);
  }
  if (!reader.AtEnd() || spec.block_tokens == 0) {
    return Fail(ErrorCode::kCorrupt, "not a canonical namespace");
  }
  spec.grid_tokens = spec.block_tokens;
  return spec;
}

}  // namespace cairn
