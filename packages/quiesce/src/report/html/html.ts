import type { Sample } from '../../compare/compare.js';
import { formatMs } from '../../duration.js';
import { UsageError } from '../../errors.js';
import {
  type FailureGroup,
  type PlanResult,
  requireResult,
  type ScenarioResult,
} from '../../results/result.js';
import { expectLabel, outcomeLabel } from '../../run/outcome.js';
import { folded, formatInterpreted, type ThreadStack } from '../../run/stack-trace.js';
import { VERSION } from '../../version.js';
import { formatP, type NamedComparison } from '../comparison.js';
import { reproduceCommand } from '../reproduce.js';
import { scenarioRemarks } from '../terminal.js';
import {
  blank,
  childEndText,
  childIsSure,
  failureCounts,
  levelText,
  percent,
  rateText,
  shellLine,
} from '../text.js';
import { verdictOf } from '../verdict.js';
import {
  CELL_NAMES,
  type CellKind,
  cellKind,
  exitHistogram,
  outcomeGrid,
  percentText,
  rateBar,
} from './charts.js';
import { STYLE } from './style.js';
import { Html, html } from './text.js';
import { timelineFigure } from './timeline.js';

const PHASE_TEXT = { work: 'at work', exit: 'at exit', unknown: '' } as const;

/**
 * A result, or comparisons, or both, as one HTML page. It needs neither a network nor a script. It follows the reader's
 * light or dark theme, and is readable at a phone's width.
 * @throws UsageError when there is neither.
 */
export function htmlReport(result: PlanResult | null, comparisons: readonly NamedComparison[] = []): string {
  if (result === null && comparisons.length === 0)
    throw new UsageError('there is neither a result nor a comparison to show');
  if (result !== null) requireResult(result, 'what to report');
  // In a comparison, the side "before" is expected to fail.
  const judged = result !== null && comparisons.length === 0;
  const title = judged ? verdictText(result) : 'comparison';
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Quiesce: ${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<header>
<h1>Quiesce${judged && html` <span class="badge ${badgeClass(result)}">${title}</span>`}</h1>
${result !== null && html`<p class="facts">${facts(result).map((fact) => html`<span>${fact}</span> `)}</p>`}
</header>
<main>
${comparisons.length > 0 && html`<section id="comparisons"><h2>Before and after</h2>${comparisons.map(comparisonHtml)}</section>`}
${result !== null && resultHtml(result)}
</main>
<footer>Made by quiesce ${VERSION}. Rates: the bound is one-sided and the interval two-sided, both exact (Clopper-Pearson). Exit time: from the program's “work done” to the end of its process.</footer>
</body>
</html>
`;
  return page.text;
}

function resultHtml(result: PlanResult): Html {
  const { serviceFailures, scenarios, planFile } = result;
  return html`${serviceFailures.map(({ service, message }) => html`<section class="trouble"><h2>Service ${service} failed</h2><pre>${message}</pre></section>`)}
<section id="scenarios"><h2>Scenarios</h2>${scenarios.length > 1 && filterHtml(scenarios)}${summaryTable(result)}</section>
${failuresFirst(scenarios).map(({ scenario, i }) => scenarioHtml(scenario, i, planFile))}`;
}

/** How a scenario counts when the reader chooses which scenarios are shown. */
type Shown = 'failed' | 'other' | 'ok';

const SHOWN_NAMES: Readonly<Record<Shown, string>> = {
  failed: 'failed',
  other: 'known bad, stopped or not run',
  ok: 'as expected',
};

function shownAs(scenario: ScenarioResult): Shown {
  const verdict = verdictOf(scenario);
  return verdict === 'FAILED' ? 'failed' : verdict === 'ok' ? 'ok' : 'other';
}

/** Lets the reader choose which scenarios are shown, by how they ended. The style sheet does that, without a script. */
function filterHtml(scenarios: readonly ScenarioResult[]): Html {
  const choice = (value: string, name: string, count: number): Html =>
    html`<label><input type="radio" name="show" id="show-${value}"${value === 'all' && new Html(' checked')}> ${name} (${count})</label>`;
  const counts = (Object.keys(SHOWN_NAMES) as Shown[]).map((kind) => ({
    kind,
    count: scenarios.filter((scenario) => shownAs(scenario) === kind).length,
  }));
  return html`<form class="filter" aria-label="Which scenarios are shown">${choice('all', 'all', scenarios.length)}${counts.map(({ kind, count }) => count > 0 && choice(kind, SHOWN_NAMES[kind], count))}</form>`;
}

/** Scenarios with their places in the plan: those that failed, then those with something else to show, then the rest. */
function failuresFirst(
  scenarios: readonly ScenarioResult[],
): readonly { readonly scenario: ScenarioResult; readonly i: number }[] {
  const order = Object.keys(SHOWN_NAMES);
  const rank = (scenario: ScenarioResult): number => order.indexOf(shownAs(scenario));
  return scenarios
    .map((scenario, i) => ({ scenario, i }))
    .sort((a, b) => rank(a.scenario) - rank(b.scenario));
}

function verdictText(result: PlanResult): string {
  if (result.interrupted) return 'interrupted';
  return result.ok ? 'all as expected' : 'not as expected';
}

function badgeClass(result: PlanResult): string {
  return result.interrupted ? 'warn' : result.ok ? 'good' : 'bad';
}

function facts(result: PlanResult): string[] {
  const seeds = new Set(result.scenarios.flatMap(({ scenario }) => scenario.perturb?.seed ?? []));
  const shards = new Set(
    result.scenarios.flatMap(({ scenario: { shard } }) => (shard ? `${shard.index} of ${shard.count}` : [])),
  );
  return [
    `${result.startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    `took ${formatMs(result.durationMs)}`,
    ...(result.planFile === null ? [] : [`plan ${result.planFile}`]),
    ...result.hosts.map(
      ({ platform, arch, cpus, node }) => `${platform} ${arch}, ${cpus} cores, Node ${node}`,
    ),
    ...(shards.size === 0 ? [] : [`shard ${[...shards].join(', ')}`]),
    ...(seeds.size === 0 ? [] : [`seed ${[...seeds].join(', ')}`]),
  ];
}

function summaryTable(result: PlanResult): Html {
  const most = scaleOf(result.scenarios.map(({ rate }) => rate.interval.upper));
  const grouped = new Set(result.scenarios.map(({ scenario }) => scenario.group)).size > 1;
  const rows = failuresFirst(result.scenarios).map(({ scenario, i }) => {
    const { rate, runs, failed, exitMs } = scenario;
    const { group } = scenario.scenario;
    const verdict = verdictOf(scenario);
    const done = runs.length === scenario.scenario.runs ? '' : ` of ${scenario.scenario.runs}`;
    return html`<tr class="of-${shownAs(scenario)}">
<th scope="row">${grouped && group !== null && html`<span class="group">${group}</span> `}<a href="#s${i}">${scenario.scenario.name}</a></th>
<td class="number" data-label="runs">${runs.length}${done}</td>
<td data-label="failed">${failed === 0 ? 'none' : failureCounts(scenario)}</td>
<td data-label="failure rate">${runs.length > 0 && html`${rateBar(failed / runs.length, rate.interval, most)}<span class="bound">${rateText(scenario)}</span>`}</td>
<td class="number" data-label="exit time">${exitMs === null ? '' : `${formatMs(exitMs.median)} / ${formatMs(exitMs.p99)}`}</td>
<td data-label="verdict"><span class="badge ${verdictClass(scenario)}">${verdict}</span></td>
</tr>`;
  });
  const levels = [...new Set(result.scenarios.map(({ scenario }) => percent(scenario.confidence)))].join(
    ', ',
  );
  return html`<table class="summary"><thead><tr><th scope="col">scenario</th><th scope="col" class="number">runs</th><th scope="col">failed</th><th scope="col">failure rate, at ${levels}</th><th scope="col" class="number">exit time: median / 99 %</th><th scope="col">verdict</th></tr></thead><tbody>${rows}</tbody></table><p class="scale">Scale of the bars: 0 to ${percentText(most)}.</p>`;
}

function verdictClass(scenario: ScenarioResult): string {
  const verdict = verdictOf(scenario);
  return verdict === 'ok' ? 'good' : verdict === 'FAILED' ? 'bad' : 'warn';
}

function scenarioHtml(result: ScenarioResult, index: number, planFile: string | null): Html {
  const { scenario, runs, exitMs, cleanTimeline } = result;
  const groupOf = new Map(
    result.failures.flatMap((failure, k) => failure.runs.map((run) => [run, k] as const)),
  );
  const link = (run: number): string | undefined => {
    const group = groupOf.get(run);
    return group === undefined ? undefined : `s${index}f${group}`;
  };
  const kinds = [...new Set(runs.map(cellKind))];
  const times = runs.flatMap((run) => run.exitMs ?? []);
  const perturbed = [...new Set(runs.flatMap((run) => run.perturbation ?? []))].length > 0;
  return html`<section id="s${index}" class="scenario of-${shownAs(result)}">
<h2>${scenario.name} <span class="badge ${verdictClass(result)}">${verdictOf(result)}</span></h2>
<p class="facts"><code>${shellLine(scenario.command)}</code> <span>expected: ${expectLabel(scenario.expect)}</span>${scenario.jobs > 1 && html` <span>${scenario.jobs} runs at a time</span>`}${perturbed && html` <span>perturbed</span>`}</p>
${scenarioRemarks(result).map((remark) => html`<p class="remark">${remark}</p>`)}
<div class="charts">
${runs.length > 0 && html`<figure class="outcomes"><figcaption>Outcome of each run, in their order${legend(kinds)}</figcaption>${outcomeGrid(runs, link)}</figure>`}
${exitMs !== null && html`<figure class="exit-times"><figcaption>Exit time: median ${formatMs(exitMs.median)}, 99 % within ${formatMs(exitMs.p99)}, longest ${formatMs(exitMs.max)}</figcaption>${exitHistogram(times, exitMs)}</figure>`}
</div>
${result.failures.length === 0 && cleanTimeline !== null && timelineFigure(cleanTimeline, `s${index}c`, `The exit of run ${cleanTimeline.run}`)}
${result.failures.map((failure, k) => failureHtml(result, failure, `s${index}f${k}`, planFile))}
</section>`;
}

function legend(kinds: readonly CellKind[]): Html {
  return html`<span class="legend">${kinds.map((kind) => html` <span><i class="k-${kind}"></i>${CELL_NAMES[kind]}</span>`)}</span>`;
}

function failureHtml(
  result: ScenarioResult,
  failure: FailureGroup,
  id: string,
  planFile: string | null,
): Html {
  const { evidence, signature, kind } = failure;
  const again = reproduceCommand(result, failure, planFile);
  const { threads } = evidence;
  const count = `${failure.runs.length} of ${result.runs.length}`;
  return html`<details class="failure" id="${id}"${failure === result.failures[0] && new Html(' open')}>
<summary><strong>${count} ${outcomeLabel(failure.outcome)}</strong> ${PHASE_TEXT[failure.phase]}${failure.diedIn !== null && !evidence.child && ` in thread ${failure.diedIn}`}${signature !== null && `: ${signature.title}`}</summary>
${evidence.child && html`<p>A child process ${childEndText(failure, evidence.child)}: <code>${evidence.child.command}</code></p>`}
${kind !== null && html`<p>${childIsSure(failure) ? 'Likely' : 'If so, likely'}: <a href="${kind.page}">${kind.title}</a>${kind.detail !== null && ` (${kind.detail})`}</p>`}
${kind?.or && html`<p>Or: <a href="${kind.or.page}">${kind.or.title}</a>. What decides: ${kind.or.decide}.</p>`}
${signature !== null && signature.line !== '' && html`<p>Found: <code>${signature.line}</code></p>`}
<p>Runs ${runList(failure.runs)}</p>
${again !== null && html`<p>To see it again:</p><pre class="command">${again}</pre>`}
${timelines(result, failure, id)}
${threads.length > 0 && html`<h3>Threads</h3>${threads.map((thread, i) => threadHtml(thread, i === 0))}`}
${threads.length === 0 && evidence.stacks !== null && html`<h3>Threads</h3><pre>${evidence.stacks}</pre>`}
${evidence.stderr !== '' && html`<details open><summary>stderr</summary><pre>${evidence.stderr.trimEnd() || `only white space, ${blank(evidence.stderr)}`}</pre></details>`}
${evidence.stdout.trim() !== '' && html`<details><summary>stdout</summary><pre>${evidence.stdout.trimEnd()}</pre></details>`}
</details>`;
}

/** The exit of a failed run. For the first kind of failure, the exit of a clean run is shown beside it. */
function timelines(
  { failures, cleanTimeline }: ScenarioResult,
  failure: FailureGroup,
  id: string,
): Html | null {
  const { timeline } = failure.evidence;
  if (timeline == null) return null;
  const clean = failure === failures[0] ? cleanTimeline : null;
  return html`<h3>The exit as it happened</h3><div class="timelines">${timelineFigure(timeline, `${id}t`, `Run ${timeline.run}: ${outcomeLabel(failure.outcome)}`)}${clean && timelineFigure(clean, `${id}c`, `Beside it, run ${clean.run}: as expected`)}</div>`;
}

function threadHtml(thread: ThreadStack, open: boolean): Html {
  const { main, faulting, busy, halted, frames } = thread;
  const notes = [main && 'main', faulting && 'died', busy && 'burns CPU', halted].filter(Boolean).join(', ');
  const own = formatInterpreted(thread);
  return html`<details class="thread"${open && new Html(' open')}><summary>${thread.ownName || thread.name || 'unnamed'}${notes !== '' && ` (${notes})`}</summary>${own.length > 0 && html`<pre>${own.join('\n')}</pre>`}<ol start="0" class="stack">${folded(frames).map(frameHtml)}</ol></details>`;
}

function frameHtml({
  frame: { name, library, source },
  first,
  times,
}: ReturnType<typeof folded>[number]): Html {
  return html`<li value="${first}"><code>${name ?? '??'}</code>${source !== null && html` <span class="where">${source}</span>`}${library !== null && html` <span class="where">${library}</span>`}${times > 1 && html` <span class="where">x${times}</span>`}</li>`;
}

const MOST_NUMBERS = 40;

function runList(runs: readonly number[]): string {
  const more = runs.length - MOST_NUMBERS;
  return `${runs.slice(0, MOST_NUMBERS).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function comparisonHtml(comparison: NamedComparison): Html {
  const { before, after, names, p, adjustedP, confidence, verdict, runsToProve } = comparison;
  const most = scaleOf([before.interval.upper, after.interval.upper]);
  const row = (side: string, name: string, { failed, runs, interval }: Sample): Html =>
    html`<tr><th scope="row">${side}</th><td><code>${name}</code></td><td class="number" data-label="failed">${failed} of ${runs}</td><td class="wide" data-label="rate">${rateBar(runs === 0 ? 0 : failed / runs, interval, most)}<span class="bound">${runs === 0 ? '' : percentText(failed / runs)} (${percentText(interval.lower)} to ${percentText(interval.upper)})</span></td></tr>`;
  const said = { better: 'after fails less', worse: 'after fails more', 'not-proven': 'not proven' }[verdict];
  const badge = { better: 'good', worse: 'bad', 'not-proven': 'warn' }[verdict];
  return html`<div class="comparison"><p><span class="badge ${badge}">${said}</span> <span class="facts">Fisher's exact test: p = ${formatP(p.twoSided)}${adjustedP > p.twoSided && `, ${formatP(adjustedP)} after Holm's adjustment`}; level ${levelText(confidence)}</span></p>
<table class="sides"><tbody>${row('before', names.before, before)}${row('after', names.after, after)}</tbody></table>
<p class="scale">Scale: 0 to ${percentText(most)}; the line is the ${percent(confidence)} interval.${runsToProve !== null && ` If these are the true rates, ${runsToProve} runs of each prove it with a chance of 80 %.`}</p></div>`;
}

/** The end of a scale of rates: the smallest of these round numbers that isn't below any rate. */
function scaleOf(rates: readonly number[]): number {
  const most = Math.max(...rates);
  return [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find((end) => end >= most) ?? 1;
}
