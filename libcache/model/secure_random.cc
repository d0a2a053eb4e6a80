#include "libcache/model/secure_random.h"

#include <openssl/rand.h>

#include "libcache/base/check.h"

namespace cairn {

void FillRandom(std::span<std::byte> target) {
  CAIRN_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(target.data()),
                         static_cast<int>(target.size())) == 1);
}

}  // namespace cairn
