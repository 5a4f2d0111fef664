// @ts-check
import { readFileSync } from 'node:fs';
import { clopperPearson } from '../../packages/quiesce/dist/src/statistics/intervals.js';
import { table } from '../lib/markdown.mjs';
import { inRoot } from '../lib/paths.mjs';
import { cases, controls, stateOf } from './cases.mjs';

/**
 * @typedef {import('./cases.mjs').Case} Case
 * @typedef {import('./try.mjs').CaseResult} CaseResult
 * @typedef {import('./try.mjs').ControlResult} ControlResult
 * @typedef {import('./try.mjs').Tested} Tested
 * @typedef {{ cases: Record<string, CaseResult>, controls: Record<string, ControlResult> }} Results
 */

export const RESULTS = inRoot('scenarios', 'field', 'results.json');
export const PAGE = inRoot('docs', 'measurements', 'field.md');

/** @returns {Results} */
export const readResults = () => JSON.parse(readFileSync(RESULTS, 'utf8'));

/**
 * Subjects that haven't been measured, or were measured in another state.
 * @param {Results} results
 * @returns {string[]} names
 */
export function outdated(results) {
  return [
    ...cases().filter((one) => results.cases[one.name]?.state !== stateOf(one)),
    ...controls().filter((one) => results.controls[one.name]?.state !== stateOf(one)),
  ].map(({ name }) => name);
}

/** @param {CaseResult} result */
export const reproduced = ({ truth, plain, amplified }) => truth.failed + plain.failed + amplified.failed > 0;
/** @param {CaseResult} result */
const found = ({ plain, amplified }) => plain.failed + amplified.failed > 0;
/** @param {Tested[]} tested */
export const kindsOf = (...tested) => [...new Set(tested.flatMap(({ kinds }) => kinds))];

/**
 * @param {Case} one
 * @param {CaseResult} result
 */
export const namedRight = (one, { plain, amplified }) =>
  kindsOf(plain, amplified).every((kind) => one.kinds.includes(kind));
/** @param {CaseResult} result */
export const goodIsClean = ({ good }) => good === null || good.plain.failed + good.amplified.failed === 0;
/** @param {ControlResult} result */
export const accused = ({ plain, amplified, all }) => plain.failed + amplified.failed + all.failed > 0;

/**
 * @param {number} part
 * @param {number} whole
 */
function share(part, whole) {
  if (whole === 0) return 'none measured';
  const { lower, upper } = clopperPearson(part, whole);
  const percent = (/** @type {number} */ x) => (x * 100).toFixed(1);
  return `${part} of ${whole} (${percent(part / whole)} %, 95 % interval ${percent(lower)} to ${percent(upper)} %)`;
}

/** @param {(number | null)[]} firsts */
function median(firsts) {
  const known = firsts.map((first) => first ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const middle = known[Math.floor((known.length - 1) / 2)] ?? 0;
  return Number.isFinite(middle) ? String(middle) : 'none';
}

/**
 * The text of docs/measurements/field.md, according to the results.
 * @param {Results} results
 */
export function page(results) {
  const rows = cases().flatMap((one) => {
    const result = results.cases[one.name];
    return result === undefined ? [] : [{ one, result }];
  });
  const real = rows.filter(({ result }) => reproduced(result));
  const seen = real.filter(({ result }) => found(result));
  const within = real.filter(({ result }) => result.amplified.failed > 0);
  const named = seen.filter(({ one, result }) => namedRight(one, result));
  const good = rows.filter(({ result }) => result.good !== null);
  const correct = controls().flatMap((one) => {
    const result = results.controls[one.name];
    return result === undefined ? [] : [{ one, result }];
  });
  return `# Field report

How well does the tester find and name crashes that people have reported? This page takes public reports of crashes and hangs at exit in
npm and PyPI packages. \`scenarios/field\` has a program for each, written from its report. Each program runs three times over: alone (in a plain
loop, without the tester), under the tester, and under the tester with the exit amplifier. Where a fixed version is known, it must pass. As a
counterpart, popular packages are used as their documentation says, and the tester must not accuse any of them.

\`npm run field\` measures the cases that are missing or out of date, and writes this page. The right names of a case (column "named") were
derived from its report and its stack. The tester stops at a case's second failure, so the columns show the first run that failed.

## Figures

- Cases: ${rows.length}, of which ${real.length} fail on this machine.
- Found, of those that fail here: ${share(seen.length, real.length)}.
- Found in the amplified runs alone: ${share(within.length, real.length)}.
- First failure: plain in run ${median(real.map(({ result }) => result.plain.first))}, amplified in run ${median(real.map(({ result }) => result.amplified.first))} (medians of those that fail here).
- Named right, of those found: ${share(named.length, seen.length)}.
- Good versions that pass: ${share(good.filter(({ result }) => goodIsClean(result)).length, good.length)}.
- Correct programs accused: ${share(correct.filter(({ result }) => accused(result)).length, correct.length)}.

## Cases

${table([
  ['case', 'fails', 'host', 'alone', 'plain', 'amplified', 'named', 'right', 'good version'],
  ...rows.map(({ one, result }) => caseCells(one, result)),
])}

A dash under "plain" or "amplified" means that none of those runs failed. For a case that wasn't reproduced here, the columns show how often it was tried.

## Correct programs

${table([
  ['package', 'host', 'alone', 'plain', 'amplified', 'all', 'accused'],
  ...correct.map(({ one, result }) => [
    one.packages.length === 0 ? one.name : `${one.packages[0]} ${one.version}`,
    result.host,
    `${result.truth.failed} of ${result.truth.runs}`,
    ...[result.plain, result.amplified, result.all].map(({ failed, runs }) => `${failed} of ${runs}`),
    accused(result) ? `yes: ${kindsOf(result.plain, result.amplified, result.all).join(', ')}` : 'no',
  ]),
])}
`;
}

/**
 * @param {Case} one
 * @param {CaseResult} result
 */
function caseCells(one, result) {
  const { truth, plain, amplified } = result;
  const first = (/** @type {Tested} */ tested) =>
    tested.first === null ? `- (${tested.runs} runs)` : `run ${tested.first}`;
  return [
    one.report === null ? one.name : `[${one.name}](${one.report})`,
    one.packages.length === 0 ? 'the host itself' : `${one.packages[0]} ${one.bad}`,
    result.host,
    `${truth.failed} of ${truth.runs}`,
    first(plain),
    first(amplified),
    kindsOf(plain, amplified).join(', ') || '-',
    !reproduced(result)
      ? 'not reproduced'
      : !found(result)
        ? 'missed'
        : namedRight(one, result)
          ? 'yes'
          : `no: ${one.kinds.join(' or ')}`,
    result.good === null ? '-' : `${one.good}: ${goodIsClean(result) ? 'passes' : 'fails'}`,
  ];
}
