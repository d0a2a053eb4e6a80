#include "services/cairnd/crowd.h"

#include <algorithm>

namespace cairn::server {

Crowd::Slot Crowd::Enter(std::function<void()> drop) {
  Slot slot;
  const MutexLock lock(mu_);
  slot.at_ = members_.insert(members_.end(), std::move(drop));
  slot.crowd_ = this;
  return slot;
}

bool Crowd::DropOldest() {
  std::function<void()> drop;  // Called, and gone, outside of the lock.
  {
    const MutexLock lock(mu_);
    const auto oldest = std::find_if(members_.begin(), members_.end(),
                                     [](const auto& member) { return member != nullptr; });
    if (oldest == members_.end()) {
      return false;
    }
    drop = std::exchange(*oldest, nullptr);
  }
  drop();
  return true;
}

std::size_t Crowd::size() const {
  const MutexLock lock(mu_);
  return members_.size();
}

void Crowd::Leave(std::list<std::function<void()>>::iterator at) {
  std::function<void()> unused;  // It goes outside of the lock.
  const MutexLock lock(mu_);
  unused = std::move(*at);
  members_.erase(at);
}

}  // namespace cairn::server
