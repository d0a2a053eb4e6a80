#pragma once

#include "libcache/base/mutex.h"

namespace cairn {

/// Lets many in together, or one alone. Unlike a lock it may be held during I/O: whoever holds it
/// holds no mutex. Those who want in alone go first, so a stream of others cannot starve them.
class SsdGate {
 public:
  void EnterShared() CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    while (alone_ || waiting_alone_ > 0) {
      changed_.Wait(mu_);
    }
    ++sharing_;
  }
  void LeaveShared() CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    --sharing_;
    changed_.NotifyAll();
  }
  void EnterAlone() CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    ++waiting_alone_;
    while (alone_ || sharing_ > 0) {
      changed_.Wait(mu_);
    }
    --waiting_alone_;
    alone_ = true;
  }
  void LeaveAlone() CAIRN_EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    alone_ = false;
    changed_.NotifyAll();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int sharing_ CAIRN_GUARDED_BY(mu_) = 0;
  int waiting_alone_ CAIRN_GUARDED_BY(mu_) = 0;
  bool alone_ CAIRN_GUARDED_BY(mu_) = false;
};

class SharedTurn {
 public:
  explicit SharedTurn(SsdGate& gate) : gate_(gate) { gate_.EnterShared(); }
  ~SharedTurn() { gate_.LeaveShared(); }
  SharedTurn(const SharedTurn&) = delete;
  SharedTurn& operator=(const SharedTurn&) = delete;

 private:
  SsdGate& gate_;
};

class SoleTurn {
 public:
  explicit SoleTurn(SsdGate& gate) : gate_(gate) { gate_.EnterAlone(); }
  ~SoleTurn() { gate_.LeaveAlone(); }
  SoleTurn(const SoleTurn&) = delete;
  SoleTurn& operator=(const SoleTurn&) = delete;

 private:
  SsdGate& gate_;
};

}  // namespace cairn
