// report/: how results look to a reader or a machine: terminal, HTML, JUnit, TAP, GitHub, and the wording they share.
// results/ defines what a result is, and its JSON form.
import Table from 'cli-table3';
import pc from 'picocolors';
import type { Comparison, Sample } from '../compare/compare.js';
import { levelText, percent } from './text.js';

/** A comparison, and the names of its sides. */
export interface NamedComparison extends Comparison {
  readonly names: { readonly before: string; readonly after: string };
}

/** Comparisons for a reader. Each shows its two rates, and what they prove. */
export function comparisonReport(comparisons: readonly NamedComparison[], colour: boolean): string {
  const c = pc.createColors(colour);
  return `${comparisons.map((one) => `${table(one, c)}\n\n${sentence(one, c)}`).join('\n\n')}\n`;
}

/** A p value with two digits: `0.0061`, `1.0`, `< 0.000001`. */
export function formatP(p: number): string {
  if (p < 1e-6) return '< 0.000001';
  return p < 0.001 ? p.toFixed(6) : p.toPrecision(2);
}

type Colours = ReturnType<typeof pc.createColors>;

function table(comparison: NamedComparison, c: Colours): string {
  const interval = `${percent(comparison.confidence)} interval`;
  const { before, after } = comparison.names;
  const widest = Math.min(50, Math.max('command'.length, before.length, after.length));
  const out = new Table({
    head: ['', 'command', 'runs', 'failed', 'rate', interval].map((title) => c.bold(title)),
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right'],
    colWidths: [null, widest + 2, null, null, null, null],
    wordWrap: true,
    wrapOnWordBoundary: false,
    chars: {
      ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
      ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
      ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '' },
    },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
  });
  const row = (
    side: string,
    name: string,
    { failed, runs, interval: { lower, upper } }: Sample,
  ): string[] => [
    side,
    name,
    String(runs),
    String(failed),
    runs === 0 ? '' : oneDecimal(failed / runs),
    `${oneDecimal(lower)} to ${oneDecimal(upper)}`,
  ];
  out.push(row('before', before, comparison.before), row('after', after, comparison.after));
  return out.toString().replace(/[ \t]+$/gm, '');
}

function sentence({ p, adjustedP, confidence, verdict, runsToProve }: Comparison, c: Colours): string {
  const oneSided = Math.min(p.lower, p.higher);
  const adjusted = adjustedP > p.twoSided ? `, ${formatP(adjustedP)} after Holm's adjustment` : '';
  const test = `Fisher's exact test: p = ${formatP(p.twoSided)} two-sided${adjusted}, ${formatP(oneSided)} one-sided; level ${levelText(confidence)}`;
  switch (verdict) {
    case 'better':
      return `${c.green('Proven')}: after fails less than before (${test})`;
    case 'worse':
      return `${c.red('Proven')}: after fails more than before (${test})`;
    case 'not-proven': {
      const more =
        runsToProve === null
          ? ''
          : `\nIf these are the true rates, ${runsToProve} runs of each prove it with a chance of 80 %.`;
      return `${c.yellow('Not proven')}: that one fails less than the other (${test})${more}`;
    }
  }
}

const oneDecimal = (rate: number): string => `${(rate * 100).toFixed(1)} %`;
