#pragma once

/// An allocation is a memfd, as its handle is, so that several processes with a stand-in each share
/// device memory as they would with the driver. What tests tell the stand-in for libcuda.so.1
/// (fake_libcuda.cc), and what it counts. The test finds it there by the name "fake_cuda".
/// `void fake_cuda_forget()`, there too, drops what is queued: a test that ends while it hangs
/// calls it before its memory goes. `int fake_cuda_context_depth()`: contexts of this thread under
/// the current one.
struct FakeCuda {
  const char* fail_call = nullptr;  ///< This function fails
  int fail_with = 0;                ///< with this CUresult,
  int fail_after = 0;               ///< after so many calls that do not.
  bool hang = false;                ///< What is queued on streams waits until this ends.
  bool hang_at_copy = false;        ///< The next copy that is queued begins it, and it ends
  int hang_ms = 0;                  ///< by itself after so long, unless 0.
  const char* slow_call = nullptr;  ///< This function takes
  int slow_ms = 0;                  ///< so long.
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
  bool read_only = true;  ///< Memory can be made accessible for reading alone.
  bool peers = true;      ///< Device peer_from reaches device peer_to.
  int peer_from = 1;
  int peer_to = 0;
  void* engine_memory = nullptr;  ///< Device memory that the engine has by other ways (cudaMalloc).
  unsigned long engine_bytes = 0;
  void* last_stream = nullptr;     ///< That something was copied on.
  int faults = 0;                  ///< Copies that met memory that was gone when they were done.
  void* capturing = nullptr;       ///< The stream that is being captured.
  int captured = 0;                ///< What was queued there, and is not done.
  bool capture_elsewhere = false;  ///< Another thread captures, in the global mode.
  int captures_broken = 0;         ///< By calls of threads in that mode.
};
