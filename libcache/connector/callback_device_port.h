#pragma once

#include <memory>

#include "libcache/base/result.h"
#include "libcache/connector/cairn.h"
#include "libcache/connector/device_port.h"

namespace cairn {

/// A port of the engine's own, given as functions (cairn.h says what they must do). `functions` is
/// copied; its kind too. What a function throws is an error of that call. A function that said
/// CAIRN_UNAVAILABLE of a mapping or a copy from one is not asked for mappings again.
///
/// Errors: kInvalidArgument naming the field that is missing.
Result<std::unique_ptr<DevicePort>> MakeCallbackPort(const cairn_device_port& functions);

}  // namespace cairn
