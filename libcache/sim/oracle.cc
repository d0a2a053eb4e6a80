#include "libcache/sim/simulator.h"

namespace cairn::sim {

Result<Report> RunOracle(TraceReader&, const Options&) {
  return Fail(ErrorCode::kUnsupported, "strategy 'oracle' is not built in yet");
}

}  // namespace cairn::sim
