#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <utility>

#include "libcache/base/mutex.h"

namespace cairn::server {

/// Connections that have yet to show that they are worth their place, in order of arrival. Where
/// there are as many as may be, the oldest goes for the one that comes, so that peers which connect
/// and do nothing shut nobody out. Thread-safe.
class Crowd {
 public:
  /// A place among them; given up when the object goes.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept : crowd_(std::exchange(other.crowd_, nullptr)), at_(other.at_) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(crowd_, other.crowd_);
      std::swap(at_, other.at_);
      return *this;
    }
    Slot(const Slot&) = delete;
    ~Slot() {
      if (crowd_ != nullptr) {
        crowd_->Leave(at_);
      }
    }

   private:
    friend class Crowd;
    Crowd* crowd_ = nullptr;
    std::list<std::function<void()>>::iterator at_;
  };
  /// `drop` closes the connection; it is called from any thread, at most once, and may come just
  /// after the slot has gone.
  Slot Enter(std::function<void()> drop) CAIRN_EXCLUDES(mu_);
  /// Drops the oldest that was not dropped before. It leaves by itself once it is closed. False:
  /// there is none.
  bool DropOldest() CAIRN_EXCLUDES(mu_);
  /// Those dropped that have not left yet included.
  [[nodiscard]] std::size_t size() const CAIRN_EXCLUDES(mu_);

 private:
  void Leave(std::list<std::function<void()>>::iterator at) CAIRN_EXCLUDES(mu_);

  mutable Mutex mu_;
  std::list<std::function<void()>> members_ CAIRN_GUARDED_BY(mu_);  // Empty: dropped already.
};

}  // namespace cairn::server
