#include "services/cairn-sim/html_style.h"

namespace cairn::sim {
namespace {

constexpr std::string_view kStyle = R"css(
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b1d21; --soft: #5b616b; --rule: #dfe2e7; --card: #f6f7f9;
  --c1: #0072b2; --c2: #c84e00; --c3: #00875f; --c4: #b5558f; --c5: #a87500;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #121417; --ink: #e8eaed; --soft: #a2a8b2; --rule: #33373e; --card: #1a1d22;
    --c1: #56b4e9; --c2: #ff8a4a; --c3: #2ec79c; --c4: #e39ac6; --c5: #e6b03c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 84rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
h1, h2, h3, p, li, td, th, dd, pre { overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; color: var(--soft); max-width: 46rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .85rem; }
code, li, h1, h2, h3, td, th { unicode-bidi: isolate; }
pre {
  margin: .5rem 0 1rem; padding: .75rem 1rem; white-space: pre-wrap;
  background: var(--card); border: 1px solid var(--rule); border-radius: 6px;
}
figure { margin: 0; min-width: 0; }
figure p { font-size: .85rem; margin-bottom: .5rem; }
.nothing { padding: 1rem 0; }
.cards { display: grid; gap: 2rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.wide { margin-bottom: 2rem; }
.card { min-width: 0; }

/* Plots stretch with the page; what is written beside them keeps its size. */
.panel { display: grid; grid-template-columns: 3rem minmax(0, 1fr); margin-right: 2rem; }
.plot { display: block; width: 100%; height: 12rem; overflow: visible; }
.y-title { margin: .75rem 0 .5rem; font-size: .8rem; color: var(--soft); }
.y, .x { position: relative; font-size: .75rem; line-height: 1; color: var(--soft); }
.y span, .x span { position: absolute; white-space: nowrap; }
.y span { right: .5rem; transform: translateY(50%); }
.x { height: 1.2rem; margin: .35rem 2rem 0 3rem; }
.x span { transform: translateX(-50%); }
.x-title { font-size: .8rem; color: var(--soft); text-align: center; margin: 0 2rem .5rem 3rem; }

path { vector-effect: non-scaling-stroke; fill: none; stroke: none; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.line { stroke: var(--c); stroke-width: 1.75; stroke-linejoin: round; }
.dot { stroke: var(--c); stroke-width: 6.5; stroke-linecap: round; }
.line.strong { stroke-width: 3.5; }
.dot.strong { stroke-width: 9; }
.line.d1 { stroke-dasharray: 5 4; }
.line.d2 { stroke-dasharray: 1.5 3.5; }
.line.limit { stroke-dasharray: 2 3; stroke-width: 1.25; }
.bar { fill: var(--c); }
.bar.all { opacity: .38; }
.column { fill: transparent; pointer-events: all; }
.column:hover { fill: var(--ink); fill-opacity: .12; }
.c0 { --c: var(--ink); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .limit { --c: var(--soft); }

.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: .25rem 0 0; padding: 0 0 0 3rem; font-size: .8rem; }
.legend li { display: flex; align-items: center; gap: .4rem; min-width: 0; }
.sample { flex: none; width: 22px; height: 10px; overflow: visible; margin-right: .4rem; }
.legend .sample { margin: 0; }

.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; vertical-align: baseline; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; }
tbody th { font-weight: 400; }
.matrix { font-size: .8rem; }
.matrix td, .matrix th { white-space: nowrap; overflow-wrap: normal; }
.figures td:last-child { white-space: nowrap; }
.figures th { min-width: 8rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .25rem; }
.best { font-weight: 700; }
.failed { color: var(--c2); }
details { margin: .5rem 0; }
summary { cursor: pointer; font-size: .9rem; padding: .2rem 0; }
details figure { margin-top: .75rem; }
footer { margin-top: 2.5rem; font-size: .8rem; color: var(--soft); }
@media (min-width: 60rem) { .wide .plot { height: 15rem; } }
@media print { body { max-width: none; } .card, figure { break-inside: avoid; } }
)css";

}  // namespace

std::string_view HtmlStyle() { return kStyle; }

}  // namespace cairn::sim
