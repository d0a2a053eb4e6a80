#pragma once

#include <cstdio>
#include <cstdlib>

/// Programmer errors stop the process, in release builds too: a cache that goes on after a broken
/// invariant serves wrong bytes. Never put on input of a peer, a file or a user: those get an
/// Error.
#define CAIRN_CHECK(cond)                                                                 \
  do {                                                                                    \
    if (!(cond)) {                                                                        \
      std::fprintf(stderr, "%s:%d: CAIRN_CHECK(%s) failed\n", __FILE__, __LINE__, #cond); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

#ifdef NDEBUG
#define CAIRN_DCHECK(cond) static_cast<void>(0)
#else
#define CAIRN_DCHECK(cond) CAIRN_CHECK(cond)
#endif
