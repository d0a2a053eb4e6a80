// The CUDA half of a library that was built without: every call says so.
#include "kernels/cairn_kernels.h"

extern "C" {

cairn_kernels_status cairn_kernels_recurrent_cuda(const cairn_kernels_recurrent* /*args*/,
                                                  void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_scan_cuda(const cairn_kernels_scan* /*args*/, void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_replay_cuda(const cairn_kernels_replay* /*args*/,
                                               void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_conv_cuda(const cairn_kernels_conv* /*args*/, void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_transpose_cuda(const cairn_kernels_transpose* /*args*/,
                                                  void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_kv_cuda(const cairn_kernels_kv* /*args*/, void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_quantise_cuda(const cairn_kernels_quantise* /*args*/,
                                                 void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_exponent_split_cuda(const cairn_kernels_exponent_split* /*args*/,
                                                       void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
cairn_kernels_status cairn_kernels_copy_cuda(const cairn_kernels_copy* /*args*/, void* /*stream*/) {
  return CAIRN_KERNELS_NO_DEVICE;
}
int32_t cairn_kernels_last_cuda_error() { return 0; }

}  // extern "C"
