#pragma once

/// An allocation is a memfd, as its handle is, so that several processes with a stand-in each share
/// device memory as they would with the driver. What tests tell the stand-in for libcuda.so.1
/// (fake_libcuda.cc), and what it counts. The test finds it there by the name "fake_cuda".
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
  int imports = 0;  ///< Of the allocations, those that another made.
  int copies = 0;   ///< Since the start; those within the device too.
  int devices = 1;  ///< Device i has the UUID of bytes first_uuid + i.
  int first_uuid = 0x11;
  bool read_only = true;          ///< Memory can be made accessible for reading alone.
  bool peers = true;              ///< Devices reach each other.
  void* engine_memory = nullptr;  ///< Device memory that the engine has by other ways (cudaMalloc).
  unsigned long engine_bytes = 0;
  void* last_stream = nullptr;  ///< That something was copied on.
};
