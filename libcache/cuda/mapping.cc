#ifdef CAIRN_WITH_CUDA

#include "libcache/cuda/mapping.h"

namespace cairn {

Status CudaMapping::Place(const CudaDriver& driver, const CudaCheck& check) {
  Status good = check("cuMemAddressReserve", driver.cuMemAddressReserve_(&address, bytes, 0, 0, 0));
  reserved = good.has_value();
  good = good ? check("cuMemMap", driver.cuMemMap_(address, bytes, 0, handle, 0)) : good;
  mapped = good.has_value();
  return good;
}

void CudaMapping::Undo(const CudaDriver& driver, const CudaCheck& check) const {
  if (mapped) {
    static_cast<void>(check("cuMemUnmap", driver.cuMemUnmap_(address, bytes)));
  }
  if (reserved) {
    static_cast<void>(check("cuMemAddressFree", driver.cuMemAddressFree_(address, bytes)));
  }
  if (held) {
    static_cast<void>(check("cuMemRelease", driver.cuMemRelease_(handle)));
  }
}

}  // namespace cairn

#endif
