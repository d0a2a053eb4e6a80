#pragma once

#include <string_view>

namespace cairn::sim {

/// The style sheet of reports. Colours are Okabe and Ito's, which the colour-blind can tell apart,
/// darker on white and lighter on black; beyond five, lines are dashed as well.
std::string_view HtmlStyle();

}  // namespace cairn::sim
