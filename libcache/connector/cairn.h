#pragma once

/// libcairn: the C ABI of Cairn, a cache for the state of hybrid and recurrent language models.
/// docs/libcairn.md tells how to use it, with a complete example.
///
/// Words. A *block* is block_tokens consecutive tokens, the unit of attention KV. A *checkpoint* is
/// the state of every recurrent layer at one position. A *position* counts tokens from the start of
/// the prompt: the state at position P has seen tokens [0, P). A *boundary* is a position from
/// which a request can resume: it has a checkpoint (if the model has recurrent layers) and the KV
/// of [0, P) (if it has attention). The *plan* is where an engine should emit checkpoints.
///
/// Errors. Calls return a cairn_code. To an engine all but CAIRN_OK mean one thing: a miss, prefill
/// cold. After an error, outputs and target buffers have no defined content, except that output
/// handles are NULL. cairn_last_error() has the words. No exception leaves the library.
///
/// Structs begin with struct_size, which the caller sets to sizeof: CAIRN_INIT does, and sets all
/// else to zero, which is each field's default unless said otherwise. A library that is newer than
/// its caller leaves alone what the caller's struct does not have; an older one fails with
/// CAIRN_UNSUPPORTED where a field it does not know is not zero, and sets such outputs to zero.
///
/// Deadlines are milliseconds from the call, at least 1; 0 is CAIRN_INVALID_ARGUMENT, so that a
/// forgotten argument never means "for ever" or "never". Past it a call returns with
/// CAIRN_DEADLINE_EXCEEDED. Calls that take no deadline never wait, except that cairn_cache_open
/// and the end of the last handle that keeps a cache open read and write the disk. With a GPU
/// attached, single calls of its driver are not interrupted: the start, mapping and unmapping of
/// memory. So a call may end that much after its deadline, and the end of the last handle that
/// keeps a client unmaps what there is.
///
/// Ownership. Input memory (strings, arrays, structs) is read during the call only. What a call
/// returns through `T**` is the caller's, to be ended with the call named there. Handles keep what
/// they need alive, so they may be ended in any order.
///
/// Threads. Functions without a handle, and those on one cairn_cache, cairn_client or cairn_prompt,
/// may be called from any number of threads at once; those on one cairn_hit by one thread at a
/// time. Ending a handle must be the last call on it. Calls with a deadline on one client wait for
/// one another, within their deadlines: give each engine thread a client of its own.
///
/// fork. A child process must not call anything with a handle of its parent, not even to end it:
/// the threads of the cache are not there, and the connection is the parent's. It may open its own.
/// Descriptors are closed on exec.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define CAIRN_API __attribute__((visibility("default")))
#else
#define CAIRN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// Raised when something here no longer works for programs that were compiled before. Additions do
/// not raise it. The shared library's soname carries it.
#define CAIRN_ABI_VERSION 1

#define CAIRN_KEY_BYTES 32

/// Sets a struct variable of this header to its defaults.
#define CAIRN_INIT(variable) \
  (memset(&(variable), 0, sizeof(variable)), (void)((variable).struct_size = sizeof(variable)))

/// What went wrong, as what the caller can do about it. Values are never renumbered; a newer daemon
/// may send others, which are misses too.
typedef int32_t cairn_code;
enum {
  CAIRN_OK = 0,
  CAIRN_NOT_FOUND = 1,          ///< A miss: nothing there, or evicted meanwhile.
  CAIRN_EXISTS = 2,             ///< Stored already; nothing to do.
  CAIRN_IN_PROGRESS = 3,        ///< Another writer is at it; do not wait for it.
  CAIRN_INVALID_ARGUMENT = 4,   ///< The caller is wrong; the message names the argument or field.
  CAIRN_DEADLINE_EXCEEDED = 5,  ///< It took too long.
  CAIRN_OVERLOADED = 6,         ///< A limit is reached, or memory is short; retry later.
  CAIRN_UNAVAILABLE = 7,        ///< No daemon, it is draining, or the circuit breaker is open.
  CAIRN_CORRUPT = 8,            ///< Bytes were not what was stored; they are dropped.
  CAIRN_NO_SPACE = 9,           ///< A capacity is used up.
  CAIRN_PERMISSION_DENIED = 10,
  CAIRN_UNSUPPORTED = 11,  ///< Another version of the protocol, of a format or of a struct.
  CAIRN_EXPIRED = 12,      ///< The lease is over, by time or with its connection.
  CAIRN_IO = 13,           ///< The operating system refused.
  CAIRN_INTERNAL = 14      ///< A bug, or an exception thrown by a callback.
};

/// GPU: only after cairn_client_attach_device.
enum { CAIRN_TIER_NONE = 0, CAIRN_TIER_HOST = 1, CAIRN_TIER_SSD = 2, CAIRN_TIER_GPU = 3 };
enum { CAIRN_KIND_KV = 0, CAIRN_KIND_CHECKPOINT = 1 };
/// How near to what was stored objects must be when they come back: the very bytes; fp32 as the
/// nearest bf16 at worst; or values within the stated bound of any codec (docs/formats/codecs.md).
enum { CAIRN_FIDELITY_EXACT = 0, CAIRN_FIDELITY_NEAR = 1, CAIRN_FIDELITY_COMPACT = 2 };
enum { CAIRN_PLANE_AUTO = 0, CAIRN_PLANE_SHM = 1, CAIRN_PLANE_STREAM = 2, CAIRN_PLANE_UCX = 3 };

typedef struct cairn_cache cairn_cache;    ///< A cache in this process.
typedef struct cairn_client cairn_client;  ///< The way to a daemon or to a cairn_cache.
typedef struct cairn_prompt cairn_prompt;  ///< Tokens and their keys.
typedef struct cairn_hit cairn_hit;        ///< The answer to a match; holds a lease.

// Versions and errors.

/// CAIRN_ABI_VERSION of the library that is loaded.
CAIRN_API uint32_t cairn_abi_version(void);

/// Release of the library, "0.1.0". Static.
CAIRN_API const char* cairn_version(void);

/// Stable lower-case name: "ok", "not_found", ...; "unknown" for a value that has none. Static.
CAIRN_API const char* cairn_error_name(cairn_code code);

/// Message of the latest call of this thread that did not return CAIRN_OK, "" before there was one;
/// cut to 1023 bytes. Overwritten by the next such call, ended with the thread.
CAIRN_API const char* cairn_last_error(void);

// Models.

/// What the cache knows of a model: bytes on one tensor-parallel rank.
typedef struct cairn_model {
  size_t struct_size;
  char id[136];                 ///< "qwen3.5-27b".
  char dtype[64];               ///< "kv=bf16,state=f32,conv=bf16".
  uint64_t kv_bytes_per_token;  ///< 0: no attention layers.
  uint64_t checkpoint_bytes;    ///< 0: no recurrent layers.
  uint32_t tensor_parallel;     ///< Ranks, at least 1.
  uint32_t context_tokens;      ///< Longest prompt; 0 if unknown.
  int32_t fidelity;             ///< CAIRN_FIDELITY_*; exact unless its file says otherwise.
  uint32_t reserved;            ///< 0.
  char checkpoint_shape[512];   ///< As its file declares it; "": not declared.
  char kv_shape[512];           ///< The same.
} cairn_model;

/// Fills `model` from a preset, or from the file at that path if `id_or_path` ends in ".json"
/// (docs/models.md). `tensor_parallel`: number of ranks, 0 for what the model says.
/// Errors: NOT_FOUND (near ids in the message, or no such file), IO, INVALID_ARGUMENT (the message
/// names the field of the file), UNSUPPORTED (the file says that the model is not exact, and the
/// caller's struct has no room for that).
CAIRN_API cairn_code cairn_model_load(const char* id_or_path, uint32_t tensor_parallel,
                                      cairn_model* model);

/// Ids of the presets, sorted: index 0, 1, ... until NULL. Static.
CAIRN_API const char* cairn_model_preset(size_t index);

// A cache in this process.

typedef struct cairn_cache_options {
  size_t struct_size;
  uint64_t memory_bytes;   ///< Hard cap of the host tier; at least 2 MiB.
  uint64_t index_bytes;    ///< Hard cap of the prefix index; 0: 64 MiB.
  uint64_t ssd_bytes;      ///< Hard cap of ssd_path's files; 0: no SSD tier.
  const char* ssd_path;    ///< A directory of its own, made if absent; NULL: no SSD tier.
  const char* planner;     ///< "turn_end_demand" if NULL; others: docs/libcairn.md.
  const char* eviction;    ///< "value" if NULL; "lru", "lfu", "w_tinylfu".
  uint32_t lease_ms;       ///< How long a match holds what it found; 0: 30,000.
  uint32_t no_huge_pages;  ///< Not 0: do not ask for huge pages.
  const char* ssd_codec;   ///< "none" if NULL; as cairnd --ssd-codec (docs/operations.md).
} cairn_cache_options;

/// Opens a cache, to be ended with cairn_cache_close. With an SSD tier it begins with what an
/// earlier one left there; one process at a time may use a directory.
/// Errors: INVALID_ARGUMENT naming the field, NO_SPACE or IO (memory or directory), UNSUPPORTED
/// (the directory is of another version, or not of a cache; it is not touched).
CAIRN_API cairn_code cairn_cache_open(const cairn_cache_options* options, cairn_cache** cache);

/// What the opening had to tell although it succeeded: that an SSD directory would not open and
/// was moved aside, and where to. "" usually. Owned by `cache`. NULL gives "".
CAIRN_API const char* cairn_cache_notice(const cairn_cache* cache);

typedef struct cairn_cache_stats {
  size_t struct_size;
  // Since it was opened.
  uint64_t matches;
  uint64_t match_hits;         ///< Matches with a boundary.
  uint64_t prompt_tokens;      ///< Of all matches.
  uint64_t overlap_tokens;     ///< Of those, seen before.
  uint64_t lost_tokens;        ///< Had KV, but no checkpoint to resume from.
  uint64_t fetches;            ///< Boundaries loaded.
  uint64_t host_hit_tokens;    ///< Tokens they spared, when all bytes were in memory.
  uint64_t ssd_hit_tokens;     ///< Tokens they spared, when some came from SSD.
  uint64_t gap_tokens;         ///< As observed.
  uint64_t commits;            ///< Objects stored.
  uint64_t evicted_bytes;      ///< From memory.
  uint64_t checksum_failures;  ///< Each was a miss.
  uint64_t leases_expired;
  // Now.
  uint64_t memory_used_bytes;  ///< Of the host tier, with its overhead.
  uint64_t memory_capacity_bytes;
  uint64_t ssd_used_bytes;  ///< On the device, dead bytes included.
  uint64_t ssd_capacity_bytes;
  uint64_t index_bytes;
  uint64_t leases;
  uint64_t reservations;  ///< Objects being written.
  uint64_t sessions;      ///< Clients.
  // Since it was opened.
  uint64_t ssd_lossy_objects;  ///< Written to SSD by a lossy codec.
  uint64_t ssd_codec_refused;  ///< Written without the one ssd_codec has for them: their namespace
                               ///< does not permit it, or declares no shape that it can take.
} cairn_cache_stats;

/// Fills `stats`; leases whose time is over are ended first. Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_cache_get_stats(cairn_cache* cache, cairn_cache_stats* stats);

/// Waits until all that was stored so far is on SSD. At once without an SSD tier.
/// Errors: INVALID_ARGUMENT, DEADLINE_EXCEEDED, IO.
CAIRN_API cairn_code cairn_cache_flush(cairn_cache* cache, uint32_t deadline_ms);

/// Ends the handle; NULL is allowed. The cache itself ends with the last client of it, after
/// writing to SSD what was stored.
CAIRN_API void cairn_cache_close(cairn_cache* cache);

// Clients.

typedef struct cairn_client_options {
  size_t struct_size;
  /// "unix:/run/cairn/cairn.sock" or "host:port". Of several daemons "a=host:port,b=host:port", the
  /// same for all engines, since the names say where prompts belong; or "dns:NAME:PORT", all
  /// addresses of a headless service. Or NULL, and:
  const char* endpoint;
  cairn_cache* cache;         ///< A cache in this process, shared by as many clients as like.
  const char* name;           ///< Shown by the daemon; "libcairn" if NULL.
  int32_t plane;              ///< CAIRN_PLANE_*. AUTO: shared memory, else UCX, else a stream.
  uint32_t breaker_failures;  ///< Timeouts or lost connections in a row that open the circuit
                              ///< breaker; 0: 3. Open, every call is UNAVAILABLE at once, ...
  uint32_t probe_every_ms;    ///< ... but one call each so many ms, which tries; 0: 1,000.
  uint32_t reserved;          ///< Must be 0.
  /// TLS, for endpoints by TCP: the first three are PEM files and all needed, since daemons want to
  /// see a certificate too. They are read when a connection is made, so that renewed ones count
  /// without a restart. All NULL: plain text.
  const char* tls_ca;      ///< Of the CA that signed the daemon's certificate.
  const char* tls_cert;    ///< Ours; those between it and its CA may follow.
  const char* tls_key;     ///< Its key, without a passphrase.
  const char* tls_server;  ///< Whom the daemon's certificate must be for: a name, an address, or a
                           ///< URI ("spiffe://..."); the endpoint's host if NULL.
} cairn_client_options;

/// Makes a client, to be ended with cairn_client_close. Does not connect: each call with a deadline
/// does if need be, and again after a connection was lost.
/// Errors: INVALID_ARGUMENT naming the field, e.g. for both or neither of endpoint and cache.
CAIRN_API cairn_code cairn_client_open(const cairn_client_options* options, cairn_client** client);

/// Connects now, to tell a wrong endpoint early.
/// Errors: INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNAVAILABLE (also where TLS does not come about),
/// UNSUPPORTED (another protocol version), PERMISSION_DENIED (the daemon knows no tenant for our
/// certificate, or a file cannot be read), NOT_FOUND (a file of TLS is not there).
CAIRN_API cairn_code cairn_client_connect(cairn_client* client, uint32_t deadline_ms);

/// How bytes travel: "shm", "ucx", "stream", "embedded", or "none" while not connected. Of several
/// daemons: to the one that was asked last. Static.
CAIRN_API const char* cairn_client_plane(const cairn_client* client);

/// How a daemon looks from a client: not asked yet; answers; failed of late, so that prompts go
/// elsewhere until it answers again; cannot serve this client, for instance because it speaks
/// another version of the protocol.
enum {
  CAIRN_MEMBER_IDLE = 0,
  CAIRN_MEMBER_CONNECTED = 1,
  CAIRN_MEMBER_DOWN = 2,
  CAIRN_MEMBER_LEFT_OUT = 3
};

typedef struct cairn_member {
  size_t struct_size;
  int32_t state;  ///< CAIRN_MEMBER_*.
  uint32_t reserved;
  char name[128];      ///< These three are cut to what fits.
  char endpoint[128];  ///< As written in the list, or an address that DNS gave.
  char problem[256];   ///< Why it is down or left out; "" else.
} cairn_member;

/// Daemon `index`, from 0, as of the client's latest call that asked one. Never waits.
/// Errors: NOT_FOUND beyond the last one, which is how to find the end; INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_client_member(const cairn_client* client, size_t index,
                                         cairn_member* member);

/// Ends the handle; NULL is allowed. The connection, and with it all leases, ends when the client's
/// prompts and hits are ended too. With a GPU attached, a copy of a load that failed may still be
/// under way then: it keeps what it reads for the rest of the process, and may still write to its
/// target. To know that none does, call cairn_client_detach_device first.
CAIRN_API void cairn_client_close(cairn_client* client);

// The engine's GPU.

/// What a cairn_device_port is to copy: `bytes` from `source` if that is not NULL, else from
/// [offset, offset + bytes) of `mapping`, to `target`.
typedef struct cairn_device_copy {
  size_t struct_size;
  const void* source;   ///< Host memory that stays as it is until `copy` returns.
  uint64_t mapping;     ///< What `map` gave.
  uint64_t offset;      ///< In bytes.
  uint64_t target;      ///< As given to cairn_load_device: an address of the engine's device.
  uint64_t bytes;       ///< At least 1.
  uint64_t digest_low;  ///< XXH3-128 of the bytes, for those who can check it.
  uint64_t digest_high;
  int32_t kind;  ///< CAIRN_KIND_*, and of which object.
  uint32_t position;
  uint32_t tokens;
  uint32_t deadline_ms;  ///< What is left of the call's, at least 1.
} cairn_device_copy;

/// An engine's own way to a GPU: a driver this library does not speak to, or a stand-in. Functions
/// are called by one thread at a time, whichever is in a call with a deadline on the client, or
/// ends it, and must not call anything on the same client. They and what `context` points to must
/// be there until the port is detached, replaced, or the client with its prompts and hits is ended.
/// No function may be NULL but `accepts`.
typedef struct cairn_device_port {
  size_t struct_size;
  void* context;     ///< Passed to each of them; may be NULL.
  const char* kind;  ///< Of devices that it maps: "cuda", or "fake" (host memory, for tests).
  /// CAIRN_OK if memory of the daemon's device `id` ("GPU-12345678-...", "" from old daemons), by
  /// name `name`, can be mapped here. NULL: all of `kind` can.
  cairn_code (*accepts)(void* context, const char* id, const char* name);
  /// Maps `bytes` of device memory by its descriptor, which stays the library's, and numbers it.
  cairn_code (*map)(void* context, int fd, uint64_t bytes, uint64_t* mapping);
  void (*unmap)(void* context, uint64_t mapping);
  /// Returns when all of it is done: the source may be another's right after, and the target is
  /// used. CAIRN_CORRUPT: the bytes do not have their digest; the daemon is told. UNAVAILABLE: the
  /// port is of no use any more. Any other error: this object is read another way. After an error
  /// nothing may be written to the target later than what is copied there next.
  cairn_code (*copy)(void* context, const cairn_device_copy* copy);
} cairn_device_port;

typedef struct cairn_device_options {
  size_t struct_size;
  /// A cudaStream_t (CUstream) of the device's primary context, not being captured: copies wait for
  /// what is queued on it, and what is queued on it later waits for them. It must outlive the
  /// attachment. NULL: one of the library's own; then nothing that uses a target may be under way
  /// during a load, nor, after one that failed, begin before a later load has succeeded
  /// or the device was detached.
  void* stream;
  const cairn_device_port* port;  ///< NULL: an NVIDIA GPU, by its driver.
  int32_t ordinal;                ///< Which, as CUDA numbers them in this process.
  uint32_t reserved;              ///< Must be 0.
} cairn_device_options;

/// Attaches the engine's GPU, in place of one attached before: from now on matches tell of the
/// daemon's GPU memory, and cairn_load_device copies from there. Uses the primary context of the
/// device, as CUDA's runtime does; the thread's current context stays what it is. It lasts over
/// reconnects, until cairn_client_detach_device or the client's end. A daemon without GPU memory,
/// or with another GPU, is no error: cairn_client_get_device tells, and all loads work. The start
/// of the driver itself, which may take a second, is not interrupted, and the deadline counts from
/// its end: it bounds the wait for other calls on the client, and for copies of the GPU before that
/// are late. Errors: INVALID_ARGUMENT, UNSUPPORTED (this library was built without CUDA), NOT_FOUND
/// (no driver, or no such device), UNAVAILABLE (the driver refused), DEADLINE_EXCEEDED (what was
/// attached before still is).
CAIRN_API cairn_code cairn_client_attach_device(cairn_client* client,
                                                const cairn_device_options* options,
                                                uint32_t deadline_ms);

/// Waits for copies that are late, unmaps what was mapped and gives the device up; nothing to do if
/// none is attached. After it nothing is written to a target any more, unless the device failed,
/// which get_device told, and callbacks are not called. Errors: INVALID_ARGUMENT, DEADLINE_EXCEEDED
/// (it is still attached).
CAIRN_API cairn_code cairn_client_detach_device(cairn_client* client, uint32_t deadline_ms);

typedef struct cairn_device_info {
  size_t struct_size;
  uint32_t attached;        ///< 1 if a device is.
  uint32_t reads_gpu_tier;  ///< 1 if objects in the daemon's GPU memory are copied from there.
  char why_not[496];        ///< Why they are not, and what to do; "" if they are.
} cairn_device_info;

/// As of the latest call on the client that asked the daemon anything. Never waits.
/// Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_client_get_device(const cairn_client* client, cairn_device_info* info);

// Namespaces: what may share state.

/// All that must agree before one request may use another's state. A string that is NULL is empty.
typedef struct cairn_namespace_spec {
  size_t struct_size;
  const char* tenant;            ///< "default" if NULL. By TLS the daemon takes the tenant of the
                                 ///< certificate; NULL, or that one, is what it accepts then.
  const char* model;             ///< Not empty.
  const char* revision;          ///< Of the weights.
  const char* dtype;             ///< Of KV, state and convolution window.
  const char* layout;            ///< The engine's name for how objects are laid out.
  const char* kernel;            ///< The engine's name for what computes them.
  const char* adapter;           ///< LoRA and the like.
  const char* salt;              ///< Anything: requests of different salts share nothing.
  uint64_t kv_bytes_per_token;   ///< 0: purely recurrent.
  uint64_t checkpoint_bytes;     ///< 0: attention only.
  uint32_t block_tokens;         ///< 1 to 65,536.
  uint32_t grid_tokens;          ///< Checkpoints are planned at multiples only; 0: block_tokens.
  uint32_t tp_rank;              ///< Below tp_size.
  uint32_t tp_size;              ///< 0: 1.
  const char* checkpoint_shape;  ///< How a checkpoint divides into matrices, "f32[48x128x128]"
                                 ///< (docs/models.md), for lossy codecs; NULL: not declared.
  const char* kv_shape;          ///< The same of a KV block, "bf16[32xtx1024]".
  int32_t fidelity;              ///< CAIRN_FIDELITY_*.
  uint32_t reserved;             ///< Must be 0.
} cairn_namespace_spec;

/// Sets model, dtype, tp_size, block_tokens, the two sizes, fidelity and shapes of `spec` from
/// `model`, and leaves the rest. `spec` then points into `model`, which must outlive its use.
/// Errors: INVALID_ARGUMENT; UNSUPPORTED: the model is not exact, and the caller's spec has no room
/// for that.
CAIRN_API cairn_code cairn_namespace_from_model(const cairn_model* model, uint32_t block_tokens,
                                                cairn_namespace_spec* spec);

/// Opens a namespace; `name_space` gets its number, valid for this client and as long as it.
/// Errors: INVALID_ARGUMENT naming the field, DEADLINE_EXCEEDED, UNAVAILABLE, OVERLOADED,
/// PERMISSION_DENIED, UNSUPPORTED (a fidelity that the daemon or the library does not know).
CAIRN_API cairn_code cairn_namespace_open(cairn_client* client, const cairn_namespace_spec* spec,
                                          uint32_t deadline_ms, uint32_t* name_space);

// Prompts.

/// Copies the tokens and computes their keys (about 1 ns a byte); to be ended with
/// cairn_prompt_free. `request` is the engine's number for the request, for diagnosis.
/// Errors: INVALID_ARGUMENT: an unknown namespace, `token_count` 0 or above 2^32 - 1.
CAIRN_API cairn_code cairn_prompt_make(cairn_client* client, uint32_t name_space, uint64_t request,
                                       const uint32_t* tokens, size_t token_count,
                                       cairn_prompt** prompt);

/// Writes the key of a position in [0, token_count] to `key`; that of 0 is the namespace's seed.
/// Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_key_at(const cairn_prompt* prompt, uint32_t position,
                                  uint8_t key[CAIRN_KEY_BYTES]);

/// NULL is allowed. Hits of the prompt stay valid.
CAIRN_API void cairn_prompt_free(cairn_prompt* prompt);

// Reading.

/// Asks from where the prompt can resume. Without a boundary it succeeds too: resume_at is then 0,
/// and the hit has the plan. Never resumes at the prompt's full length. The hit is to be ended with
/// cairn_hit_free; release its lease before that.
/// Errors: INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNAVAILABLE, OVERLOADED (too many leases held).
CAIRN_API cairn_code cairn_match(const cairn_prompt* prompt, uint32_t deadline_ms, cairn_hit** hit);

typedef struct cairn_hit_info {
  size_t struct_size;
  uint64_t bytes;           ///< Checkpoint and KV of [0, resume_at).
  uint32_t resume_at;       ///< Position chosen; 0 is a cold start.
  uint32_t overlap_tokens;  ///< Longest prefix of the prompt that was seen before, stored or not.
  uint32_t boundary_count;  ///< For cairn_hit_boundary.
  uint32_t plan_count;      ///< For cairn_hit_plan.
  int32_t tier;             ///< CAIRN_TIER_*: the slowest that any of the bytes come from.
  uint32_t reserved;
} cairn_hit_info;

CAIRN_API cairn_code cairn_hit_get_info(const cairn_hit* hit, cairn_hit_info* info);

typedef struct cairn_boundary {
  size_t struct_size;
  uint64_t bytes;              ///< Checkpoint and KV of [0, position).
  uint32_t position;           ///< At least 1, below the prompt's length.
  uint32_t estimated_load_us;  ///< To the daemon's memory and from it.
  int32_t tier;                ///< CAIRN_TIER_*.
  uint32_t inside_block;       ///< 1 if `position` is not at a block's end.
} cairn_boundary;

/// Boundary `index` of those that hold for this prompt, shallow to deep; 0 to boundary_count - 1.
/// Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_hit_boundary(const cairn_hit* hit, size_t index,
                                        cairn_boundary* boundary);

/// Positions beyond resume_at at which to emit checkpoints, ascending; `*count` of them. Owned by
/// the hit. NULL, and `*count` 0, if there are none or an argument is NULL.
CAIRN_API const uint32_t* cairn_hit_plan(const cairn_hit* hit, size_t* count);

/// Resumes at boundary `index` instead, where loading the one chosen does not pay; resume_at, bytes
/// and tier change. The lease covers what is not deeper than the first choice: a deeper boundary
/// may turn out NOT_FOUND at the load. Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_hit_choose(cairn_hit* hit, size_t index);

/// One piece of what is stored: KV of the `tokens` tokens that end at `position`, or the checkpoint
/// at `position` (`tokens` is 0). The layout of the bytes is the engine's own.
typedef struct cairn_object {
  size_t struct_size;
  uint64_t bytes;
  int32_t kind;  ///< CAIRN_KIND_*.
  uint32_t position;
  uint32_t tokens;
  uint32_t reserved;
} cairn_object;

/// How many objects a load from `from_position` brings, and their bytes in all; both 0 after a
/// miss. `total_bytes` may be NULL. Asks nobody. Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_hit_object_count(const cairn_hit* hit, uint32_t from_position,
                                            size_t* count, uint64_t* total_bytes);

/// Object `index` of those, in the order of loading. Errors: INVALID_ARGUMENT.
CAIRN_API cairn_code cairn_hit_object(const cairn_hit* hit, uint32_t from_position, size_t index,
                                      cairn_object* object);

/// Gives memory for `object`: at least object->bytes of it, any alignment, valid until the load
/// returns. NULL ends the load with NO_SPACE. Called on the loading thread. Must not call anything
/// with a deadline on the same client: it would wait for itself.
typedef void* (*cairn_target)(void* context, const cairn_object* object);

typedef struct cairn_loaded {
  size_t struct_size;
  uint64_t bytes;
  uint64_t objects;
  uint64_t device_objects;  ///< Of them out of the daemon's GPU memory (cairn_load_device).
} cairn_loaded;

/// Copies the boundary to the engine's memory: KV blocks shallow to deep, then KV of the part of a
/// block if resume_at is inside one, then the checkpoint, each verified. KV objects that end at or
/// before `from_position` are left out: the engine has them already. All or nothing: after an error
/// none of the bytes may be used. May be called again while the lease lasts. `loaded` may be NULL.
/// Errors: INVALID_ARGUMENT (a hit without boundary, too), NOT_FOUND, EXPIRED, CORRUPT, NO_SPACE,
/// OVERLOADED, DEADLINE_EXCEEDED, UNAVAILABLE, INTERNAL (`target` threw).
CAIRN_API cairn_code cairn_load(const cairn_hit* hit, uint32_t from_position, cairn_target target,
                                void* context, uint32_t deadline_ms, cairn_loaded* loaded);

/// The same into `count` buffers, in the order of cairn_hit_object: `buffers[i]` has `sizes[i]`
/// bytes, at least those of object i. Errors: as cairn_load; INVALID_ARGUMENT if they do not fit.
CAIRN_API cairn_code cairn_load_into(const cairn_hit* hit, uint32_t from_position,
                                     void* const* buffers, const size_t* sizes, size_t count,
                                     uint32_t deadline_ms, cairn_loaded* loaded);

/// Gives an address on the attached device for `object`: room for object->bytes, any alignment. 0
/// ends the load with NO_SPACE. Otherwise as cairn_target.
typedef uint64_t (*cairn_device_target)(void* context, const cairn_object* object);

/// cairn_load to the attached device: from the daemon's GPU memory, device to device, what is there
/// and can be read there; through host memory what is not, or whose copy failed. So it ends with
/// all bytes in place, or with an error. Those that pass through host memory are verified here; of
/// others the daemon verified the copy it made, and nobody else but engines of the same tenant
/// writes there (docs/decisions/0010-gpu-tier.md). `loaded` may be NULL.
/// Errors: as cairn_load; INVALID_ARGUMENT without a device; UNAVAILABLE if the device is lost:
/// cairn_load still works, under the same lease.
CAIRN_API cairn_code cairn_load_device(const cairn_hit* hit, uint32_t from_position,
                                       cairn_device_target target, void* context,
                                       uint32_t deadline_ms, cairn_loaded* loaded);

/// The same to `count` addresses, in the order of cairn_hit_object: `addresses[i]` has `sizes[i]`
/// bytes, at least those of object i. Errors: as cairn_load_device; INVALID_ARGUMENT if they do not
/// fit.
CAIRN_API cairn_code cairn_load_device_into(const cairn_hit* hit, uint32_t from_position,
                                            const uint64_t* addresses, const size_t* sizes,
                                            size_t count, uint32_t deadline_ms,
                                            cairn_loaded* loaded);

/// Ends the lease, so that what it held may be evicted. Nothing to do, and CAIRN_OK, if it is
/// released already, there was none, or its connection is gone.
/// Errors: INVALID_ARGUMENT, EXPIRED, DEADLINE_EXCEEDED, UNAVAILABLE; it then ends by itself.
CAIRN_API cairn_code cairn_hit_release(cairn_hit* hit, uint32_t deadline_ms);

/// Frees the handle; NULL is allowed. A lease that was not released lasts until its time is over.
CAIRN_API void cairn_hit_free(cairn_hit* hit);

// Writing.

typedef struct cairn_store_item {
  size_t struct_size;  ///< The same in all items of an array: it is their distance.
  const void* data;
  uint64_t bytes;     ///< Exactly what the namespace says: tokens * kv_bytes_per_token, or
                      ///< checkpoint_bytes.
  int32_t kind;       ///< CAIRN_KIND_*.
  uint32_t position;  ///< KV: where it ends; it begins at its block's start, so it is a whole block
                      ///< or, for a position inside a block, the first part of one.
} cairn_store_item;

typedef struct cairn_stored {
  size_t struct_size;
  uint64_t bytes;    ///< Of the objects written.
  uint32_t written;  ///< Objects.
  uint32_t present;  ///< There already, or another writer is at it.
  uint32_t refused;
  uint32_t reserved;
} cairn_stored;

/// Stores objects of the prompt, in order of position. Visible to others when the call returns,
/// never in part. `durable` not 0: return once what was written survives a kill of the daemon and a
/// loss of power. CAIRN_OK says that each object was dealt with, not that each was written: `codes`
/// (NULL, or `item_count` of them) gets OK, EXISTS, IN_PROGRESS, NO_SPACE, OVERLOADED (a limit; or
/// durable, but without an SSD tier or with a full queue: then it is readable, but not promised to
/// last), NOT_FOUND (the prefix before it is not known), EXPIRED. `stored` may be NULL. Errors:
/// INVALID_ARGUMENT naming item and field (nothing is stored then), DEADLINE_EXCEEDED, UNAVAILABLE.
CAIRN_API cairn_code cairn_store(const cairn_prompt* prompt, const cairn_store_item* items,
                                 size_t item_count, int32_t durable, uint32_t deadline_ms,
                                 cairn_stored* stored, cairn_code* codes);

/// What came of a request; it calibrates load-or-recompute and feeds the statistics.
typedef struct cairn_observation {
  size_t struct_size;
  uint32_t prompt_tokens;
  uint32_t overlap_tokens;  ///< As matched.
  uint32_t resumed_at;
  uint32_t gap_tokens;    ///< Recomputed although seen before.
  uint32_t load_us;       ///< Microseconds.
  uint32_t recompute_us;  ///< Microseconds, for gap_tokens.
  int32_t tier;           ///< CAIRN_TIER_* that was loaded from.
  uint32_t failed;        ///< Not 0: the load failed, the request was prefilled cold.
} cairn_observation;

/// Errors: INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNAVAILABLE.
CAIRN_API cairn_code cairn_observe(const cairn_prompt* prompt, const cairn_observation* observation,
                                   uint32_t deadline_ms);

#ifdef __cplusplus
}  // extern "C"
#endif
