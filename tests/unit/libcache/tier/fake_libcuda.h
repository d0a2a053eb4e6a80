#pragma once

/// What tests tell the stand-in for libcuda.so.1 (fake_libcuda.cc), and what it counts. The test
/// finds it there by the name "fake_cuda".
struct FakeCuda {
  const char* fail_call = nullptr;  ///< This function fails
  int fail_with = 0;                ///< with this CUresult,
  int fail_after = 0;               ///< after so many calls that do not.
  bool hang = false;                ///< Events are never reached.
  int allocations = 0;              ///< Now: made by cuMemCreate,
  int reservations = 0;
  int mappings = 0;
  int events = 0;
  int streams = 0;
  int contexts = 0;
  int staging = 0;
  int copies = 0;  ///< Since the start.
};
