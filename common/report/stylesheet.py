"""How a page looks, in light and in dark."""

STYLESHEET = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --card: #ffffff; --ink: #1d2126; --soft: #667079; --line: #dedfdc; --tint: #f2f1ec;
  --series-1: #0b63a5; --series-2: #c4541a; --series-3: #0a8065; --series-4: #a4467d;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --serif: Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #e9e7e2; --soft: #9aa4ad; --line: #343a40; --tint: #22272b;
    --series-1: #5fb2ee; --series-2: #f2905a; --series-3: #3cc5a2; --series-4: #e08bbd;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 var(--sans); font-variant-numeric: tabular-nums;
}
main { max-width: 62rem; margin: 0 auto; padding: 4.5rem 2rem 6rem; }
h1, h2 { font-family: var(--serif); font-weight: 600; letter-spacing: -0.012em; line-height: 1.15; }
h1 { font-size: 2.9rem; margin: 0 0 0.9rem; }
h2 { font-size: 1.6rem; margin: 0 0 0.6rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 2.2rem 0 0.3rem; }
section { margin-top: 4.5rem; }
p { max-width: 42rem; margin: 0 0 1.2rem; }
.lead { font-size: 1.15rem; color: var(--soft); max-width: 46rem; }
.kicker { font-size: 0.8rem; letter-spacing: 0.09em; text-transform: uppercase; color: var(--soft); margin: 0 0 1rem; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 2rem 2.5rem;
  margin: 2.8rem 0 2.2rem; padding: 1.9rem 0 1.7rem; border: solid var(--line); border-width: 1px 0;
}
.figures div { display: flex; flex-direction: column; gap: 0.25rem; }
.figures .number { font: 600 3.2rem/1 var(--serif); letter-spacing: -0.03em; }
.figures .number small { font-size: 1.2rem; letter-spacing: 0; color: var(--soft); font-weight: 400; margin-left: 0.15rem; }
.figures .what { font-size: 0.92rem; color: var(--soft); line-height: 1.4; }
.series-1 { color: var(--series-1); } .series-2 { color: var(--series-2); }
.series-3 { color: var(--series-3); } .series-4 { color: var(--series-4); }
figure { margin: 1.4rem 0 0; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figcaption { font-size: 0.9rem; color: var(--soft); margin-top: 0.8rem; max-width: 46rem; }
.key { display: inline-block; width: 1.3em; height: 0; border-top: 3px solid; vertical-align: 0.22em; margin: 0 0.35em 0 0.1em; }
dl {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1.1rem 2rem; margin: 1.4rem 0 0;
}
dl div { border-top: 1px solid var(--line); padding-top: 0.5rem; }
dt { font-size: 0.82rem; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin-top: 1.4rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.42rem 0.8rem 0.42rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--soft); font-size: 0.82rem; vertical-align: bottom; }
th:first-child, td:first-child, .text { text-align: left; }
tbody tr:hover { background: var(--tint); }
tr.mean td { font-weight: 600; border-bottom-width: 2px; }
.missing { color: var(--series-2); }
.dot { display: inline-block; width: 0.6em; height: 0.6em; border-radius: 50%; background: currentColor; margin-right: 0.5em; }
details { margin-top: 1.4rem; }
details .scroll { margin-top: 0.6rem; }
summary { cursor: pointer; width: fit-content; font-size: 0.9rem; color: var(--soft); }
summary:hover { color: var(--ink); }
footer { margin-top: 5rem; padding-top: 1.4rem; border-top: 1px solid var(--line); font-size: 0.85rem; color: var(--soft); }
code { font: 0.92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 40rem) { main { padding: 2.5rem 1.1rem 4rem; } h1 { font-size: 2.1rem; } section { margin-top: 3.2rem; } }
@media print { body { background: none; } main { max-width: none; padding: 0; } section { break-inside: avoid-page; } }
"""
