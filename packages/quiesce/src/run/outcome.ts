import { signalName } from '../process/signal-names.js';
import type { ExitStatus } from '../process/started-program.js';
import type { SignatureMatch } from './signatures.js';

/** How one run ended: exactly one of these. */
export type Outcome =
  /** Exit code 0, nothing fatal in the output. */
  | { readonly kind: 'clean' }
  | { readonly kind: 'exit-code'; readonly code: number }
  /** Ended by a signal; `exitCode` is set when a shell or wrapper reported it as 128 + n. */
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals; readonly exitCode: number | null }
  /** Still running at the timeout, and killed with its process group. */
  | { readonly kind: 'hang' }
  /**
   * The exit status was as expected, but the output wasn't: it had a fatal signature, or stderr should have been empty.
   */
  | { readonly kind: 'dirty-output'; readonly because: 'signature' | 'stderr' }
  /** It ended as expected, but threads still ran, and `strict` was set. */
  | { readonly kind: 'threads-left'; readonly threads: number };

/**
 * How a scenario's runs should end: `'clean'` (the default: exit code 0, nothing fatal in the output), `'any'` (for a
 * known-bad control: shown, but never a failure), or a particular exit code or signal. `stderr: 'empty'` also requires
 * that nothing is written to stderr.
 */
export type Expect =
  | 'clean'
  | 'any'
  | { readonly exitCode?: number; readonly signal?: NodeJS.Signals; readonly stderr?: 'empty' | 'any' };

/** How the process ended, as far as its outcome depends on it. */
export interface Observation {
  readonly status: ExitStatus;
  readonly hung: boolean;
  readonly signature: SignatureMatch | undefined;
  readonly stderrBytes: number;
  /** Threads that were left at exit and must not be; 0 without `strict`. */
  readonly threadsLeft: number;
}

/** Decides how a run ended. The expectation matters only because an unexpected status takes precedence over dirty output. */
export function outcomeOf(seen: Observation, expect: Expect): Outcome {
  if (seen.hung) return { kind: 'hang' };
  const ended = outcomeOfStatus(seen.status);
  if (statusMatches(ended, seen.status.code, expect)) {
    if (seen.signature !== undefined) return { kind: 'dirty-output', because: 'signature' };
    const mustBeEmpty = typeof expect === 'object' && expect.stderr === 'empty';
    if (mustBeEmpty && seen.stderrBytes > 0) return { kind: 'dirty-output', because: 'stderr' };
    if (seen.threadsLeft > 0) return { kind: 'threads-left', threads: seen.threadsLeft };
  }
  return ended;
}

/**
 * Whether a run counts as failed: it didn't end as expected. If a scenario expects `'any'`, every run that isn't clean
 * counts, so that its rate can be shown.
 */
export function isFailure(outcome: Outcome, status: ExitStatus, expect: Expect): boolean {
  if (outcome.kind === 'hang' || outcome.kind === 'dirty-output' || outcome.kind === 'threads-left')
    return true;
  return !statusMatches(outcome, status.code, expect);
}

/** The same for a run in a report, which has an outcome and no exit status. */
export function countsAsFailed(outcome: Outcome, expect: Expect): boolean {
  const code =
    outcome.kind === 'clean'
      ? 0
      : outcome.kind === 'exit-code'
        ? outcome.code
        : outcome.kind === 'signal'
          ? outcome.exitCode
          : null;
  return isFailure(outcome, { code, signal: null }, expect);
}

/** An outcome in a word or two: `clean`, `exit code 3`, `SIGABRT`, `hang`, `dirty output`. */
export function outcomeLabel(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'exit-code':
      return `exit code ${outcome.code}`;
    case 'signal':
      return outcome.signal;
    case 'dirty-output':
      return 'dirty output';
    case 'threads-left':
      return 'threads left';
    default:
      return outcome.kind;
  }
}

/** An expectation in a few words, for a reader. */
export function expectLabel(expect: Expect): string {
  if (typeof expect === 'string') return expect;
  const status = expect.signal ?? (expect.exitCode ? `exit code ${expect.exitCode}` : 'clean');
  return expect.stderr === 'empty' ? `${status}, nothing on stderr` : status;
}

function outcomeOfStatus({ code, signal }: ExitStatus): Outcome {
  if (signal !== null) return { kind: 'signal', signal, exitCode: null };
  if (code === 0) return { kind: 'clean' };
  const reported = signalName((code ?? 0) - 128);
  if (reported !== undefined) return { kind: 'signal', signal: reported, exitCode: code };
  return { kind: 'exit-code', code: code ?? -1 };
}

function statusMatches(ended: Outcome, code: number | null, expect: Expect): boolean {
  if (typeof expect === 'string') return ended.kind === 'clean';
  if (expect.signal !== undefined) return ended.kind === 'signal' && ended.signal === expect.signal;
  return code === (expect.exitCode ?? 0);
}
