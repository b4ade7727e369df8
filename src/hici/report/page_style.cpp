// SPDX-License-Identifier: Apache-2.0
#include "hici/report/page_style.h"

namespace hici::report {

const char* const kPageStyle = R"(
:root {
  color-scheme: light dark;
  --ground: #fdfdfb; --ink: #1b1f24; --soft: #57606a; --rule: #1b1f24; --hair: #d9dcdf; --grid: #e7e9eb;
  --series-1: #0064a8; --series-2: #c24e00; --series-3: #00805b; --series-4: #a8388a; --series-5: #7a6200; --series-6: #5a54c4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171b; --ink: #e8eaed; --soft: #a5adb6; --rule: #c4c9cf; --hair: #343a41; --grid: #272c32;
    --series-1: #5cb3f2; --series-2: #f2924e; --series-3: #3cc79b; --series-4: #e58fca; --series-5: #dcc04a; --series-6: #aaa5f7;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 17px/1.55 Charter, "Bitstream Charter", "Source Serif 4", Cambria, Georgia, serif;
}
main { max-width: 820px; margin: 0 auto; padding: 48px 20px 64px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; font-weight: 600; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; font-weight: 600; }
p { margin: 0 0 1rem; }
.byline, figcaption, caption, footer { color: var(--soft); font-size: .88rem; line-height: 1.45; }
b.number { color: var(--ink); font-weight: 600; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0; padding: 0; font-size: .95rem; }
a { color: var(--series-1); text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--series-1); outline-offset: 2px; }
footer { margin-top: 3.5rem; border-top: 1px solid var(--hair); padding-top: .8rem; }
figure { margin: 1.4rem 0 2rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: .5rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; }
.pair figure { margin-top: .4rem; min-width: 0; }
.narrow, figure svg.narrow, ul.legend.narrow { display: none; }
.scroll { overflow-x: auto; margin: 1.2rem 0 1.6rem; container-type: inline-size; }
table { border-collapse: collapse; border-top: 1.5px solid var(--rule); border-bottom: 1.5px solid var(--rule);
        font-variant-numeric: tabular-nums lining-nums; font-size: .9rem; }
table.full { width: 100%; }
caption { caption-side: top; text-align: left; padding-bottom: .5rem; }
caption > span { display: block; position: sticky; left: 0; width: 100cqi; }
th, td { padding: .28rem .55rem; text-align: right; white-space: nowrap; font-weight: 400; }
thead th { border-bottom: 1px solid var(--rule); vertical-align: bottom; }
thead th.words { white-space: normal; }
thead th.words span { white-space: nowrap; }
tbody th.text { white-space: normal; overflow-wrap: break-word; min-width: 9em; max-width: 18em; }
th:first-child { position: sticky; left: 0; background: var(--ground); }
th.text, td.text { text-align: left; }
th:first-child, td:first-child { padding-left: .1rem; }
th:last-child, td:last-child { padding-right: .1rem; }
td.best { font-weight: 700; }
td small { display: block; color: var(--soft); font-weight: 400; font-size: .8em; line-height: 1.2; }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0 0 .4rem; padding: 0;
            font: 13px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
ul.legend li { display: flex; align-items: center; gap: .45rem; overflow-wrap: anywhere; }
ul.legend svg { flex: none; }
ul.notes { margin: 0; padding-left: 1.2rem; font-size: .9rem; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  main { padding: 28px 20px 48px; }
  body { font-size: 16px; }
  h1 { font-size: 1.5rem; }
  .pair { grid-template-columns: 1fr; }
  .wide { display: none !important; }
  figure svg.narrow { display: block; }
  ul.legend.narrow { display: flex; }
  table { font-size: .85rem; }
  th, td { padding: .25rem .4rem; }
  tbody th.text { min-width: 7em; max-width: 9em; }
}
@media print { main { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } .scroll { overflow: visible; } }
)";

const char* const kSvgStyle = R"(
svg text { font: 12px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--soft);
           font-variant-numeric: tabular-nums; }
svg text.label { fill: var(--ink); }
svg text.series { fill: var(--ink); font-size: 12.5px; paint-order: stroke; stroke: var(--ground); stroke-width: 4px;
                  stroke-linejoin: round; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .axis, svg line.tick { stroke: var(--soft); stroke-width: 1; fill: none; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .faint { fill: none; stroke-width: 1; opacity: .32; stroke-linejoin: round; }
svg .leader { fill: none; stroke-width: 1; opacity: .55; }
svg .marker { stroke: var(--ground); stroke-width: 1.25; }
)";

}  // namespace hici::report
