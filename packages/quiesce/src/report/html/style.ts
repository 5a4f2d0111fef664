/** Style sheet of the HTML report. */
export const STYLE = `
:root {
  --bg: #ffffff; --panel: #f6f7f9; --text: #1c2330; --faint: #5c6675; --line: #d9dee6; --link: #0b57b7;
  --good: #1a7f4b; --bad: #b3261e; --warn: #8a5a00; --bar: #5b7fb5; --on-badge: #ffffff;
  --k-expected: #b9dcc6; --k-exit-code: #e08a00; --k-signal: #c62828; --k-hang: #6a3fb5;
  --k-dirty-output: #0277a8; --k-threads-left: #8d6e63; --k-unclean: #ad1479;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #14181f; --panel: #1c222c; --text: #e3e8ef; --faint: #9aa5b4; --line: #333c49; --link: #82b4ff;
    --good: #5ecb8f; --bad: #ff8a80; --warn: #f0b95a; --bar: #7d9fd6; --on-badge: #14181f;
    --k-expected: #2c5a40; --k-exit-code: #ffb74d; --k-signal: #ff6659; --k-hang: #b39ddb;
    --k-dirty-output: #4fc3f7; --k-threads-left: #bcaaa4; --k-unclean: #f48fb1;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; background: var(--bg); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
h1, h2, summary, code, th { overflow-wrap: anywhere; }
a { color: var(--link); }
code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .5rem .75rem; margin: .25rem 0 .75rem;
  overflow-x: auto; max-height: 30rem; }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
.badge { display: inline-block; font-size: .8rem; line-height: 1.4; padding: 0 .5rem; border-radius: 1rem; color: var(--on-badge);
  vertical-align: middle; white-space: nowrap; }
.badge.good { background: var(--good); } .badge.bad { background: var(--bad); } .badge.warn { background: var(--warn); }
.facts, .scale, footer, figcaption, .where, .bound { color: var(--faint); font-size: .87rem; }
.facts { margin: .25rem 0; } .facts > * { margin-right: 1rem; }
.scale { margin: .25rem 0; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .75rem; }
.remark { border-left: 3px solid var(--warn); padding-left: .75rem; overflow-wrap: anywhere; }
.trouble h2 { color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; font-weight: normal; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--faint); font-size: .87rem; }
.group { color: var(--faint); font-size: .87rem; display: block; }
.filter { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .5rem 0; } .filter label { cursor: pointer; }
main:has(#show-failed:checked) :is(.of-ok, .of-other), main:has(#show-other:checked) :is(.of-ok, .of-failed),
main:has(#show-ok:checked) :is(.of-failed, .of-other) { display: none; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bound { white-space: nowrap; }
.rate { display: block; position: relative; height: .8rem; min-width: 6rem; background: var(--panel); margin-top: .35rem; }
.rate-bar { position: absolute; left: 0; top: 0; bottom: 0; background: var(--bar); }
.rate-interval { position: absolute; top: calc(50% - 1px); height: 2px; background: var(--text); min-width: 2px; }
.rate-interval::before, .rate-interval::after { content: ""; position: absolute; top: -3px; height: 8px; width: 2px; background: var(--text); }
.rate-interval::before { left: 0; } .rate-interval::after { right: 0; }
.comparison { margin-bottom: 1.5rem; } .comparison .wide { width: 50%; } .sides th { white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem 2rem; align-items: start; }
figure { margin: .5rem 0; max-width: 30rem; }
figcaption { margin-bottom: .4rem; }
.legend > span { display: inline-block; margin-left: .75rem; } .legend i { display: inline-block; width: .7rem; height: .7rem; margin-right: .3rem; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font: 11px system-ui, sans-serif; fill: var(--faint); }
.chart .gap { stroke: var(--bg); } .chart .axis { stroke: var(--line); } .chart .bar { fill: var(--bar); }
.chart .mark { stroke: var(--text); stroke-dasharray: 3 2; } .chart .mark-name { fill: var(--text); }
${['expected', 'exit-code', 'signal', 'hang', 'dirty-output', 'threads-left', 'unclean']
  .map((kind) => `.k-${kind} { fill: var(--k-${kind}); background: var(--k-${kind}); }`)
  .join('\n')}
.timelines { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .5rem 2rem; align-items: start; }
figure.timeline { max-width: 46rem; min-width: 0; break-inside: avoid; } .timeline .legend { display: block; } .timeline .legend > span { margin: 0 .75rem 0 0; }
.says { margin: .25rem 0 .5rem; font-weight: 600; overflow-wrap: anywhere; }
.exit-timeline { display: block; overflow: visible; print-color-adjust: exact; }
.exit-timeline text { font: 11px system-ui, sans-serif; fill: var(--text); paint-order: stroke; stroke: var(--bg); stroke-width: 3px; stroke-linejoin: round; }
.t-ran { fill: var(--bar); background: var(--bar); } .t-waited { fill: var(--k-hang); background: var(--k-hang); }
.t-slept, .t-unseen, .t-mark { fill: var(--faint); background: var(--faint); stroke: none; } .t-held { fill: var(--k-exit-code); background: var(--k-exit-code); }
.t-mark, .t-unseen, .t-axis { stroke: var(--faint); } .t-unseen { stroke-dasharray: 2 3; }
.t-phase { fill: var(--k-expected); stroke: var(--good); stroke-width: .5; } rect.t-torn { fill: var(--warn); }
.timeline .legend i.t-slept { height: 2px; vertical-align: middle; } .timeline .legend i.t-waited { height: 4px; vertical-align: middle; }
.t-break { fill: var(--panel); } .t-flag { stroke: var(--faint); stroke-dasharray: 3 2; } .t-flag.t-torn { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: none; }
.t-flag.t-crash { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: none; } .t-cross { stroke: var(--bad); stroke-width: 3; fill: none; }
.exit-timeline text.t-crash { fill: var(--bad); font-weight: 600; } .exit-timeline text.t-torn { fill: var(--warn); font-weight: 600; }
.parts td { overflow-wrap: anywhere; } .parts { font-size: .87rem; }
details { margin: .4rem 0; } summary { cursor: pointer; }
.failure { border: 1px solid var(--line); border-left: 3px solid var(--bad); border-radius: 4px; padding: .4rem .75rem; }
.failure p { margin: .35rem 0; overflow-wrap: anywhere; }
.failure:target { outline: 2px solid var(--link); }
.stack { margin: .25rem 0; padding-left: 2.5rem; } .stack li { overflow-wrap: anywhere; } .stack .where { margin-left: .5rem; }
@media (max-width: 40rem) {
  .summary thead { display: none; }
  .summary tr, .sides tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .summary th, .summary td, .sides th, .sides td { display: block; border: 0; padding: .1rem 0; text-align: left; width: auto; }
  .summary th[scope=row], .sides th { font-weight: 600; }
  .summary td:empty { display: none; }
  [data-label]::before { content: attr(data-label) ": "; color: var(--faint); }
  .comparison .wide { width: auto; }
}
@media print {
  body { max-width: none; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details:not([open]) > :not(summary) { display: none; }
  .filter { display: none; }
  pre { max-height: none; white-space: pre-wrap; overflow-wrap: anywhere; }
  h1, h2, h3, summary, figcaption { break-after: avoid; }
  tr, figure, .failure > summary { break-inside: avoid; }
}
`;
