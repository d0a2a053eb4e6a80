#include "libcache/base/unique_fd.h"

#include <unistd.h>

namespace cairn {

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

}  // namespace cairn
