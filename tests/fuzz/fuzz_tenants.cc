// What operators write of identities and tenants: up to the first zero the text, behind it an
// identity that is looked up.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libcache/base/check.h"
#include "libcache/transport/tenant_map.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string_view text = all.substr(0, all.find('\0'));
  const std::string_view identity = all.substr(std::min(size, text.size() + 1));
  if (const auto map = cairn::TenantMap::Parse(text)) {
    const auto tenant = map->TenantOf(identity);
    CAIRN_CHECK(!tenant || (!tenant->empty() && !map->empty() && !identity.empty()));
    CAIRN_CHECK(!map->TenantOf(""));
  } else {
    CAIRN_CHECK(map.error().code == cairn::ErrorCode::kInvalidArgument);
  }
  if (const auto list = cairn::ParseIdentities(text)) {
    for (const std::string& one : *list) {
      CAIRN_CHECK(!one.empty());
    }
  }
  return 0;
}
