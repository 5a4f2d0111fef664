import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { AmplifierReport } from './amplifier-report.js';
import { BoundedOutput } from './bounded-output.js';
import { threadStacks } from './diagnose.js';
import { type Expect, isFailure, type Outcome, outcomeOf } from './outcome.js';
import { type ProcessGroup, spawnGroup } from './process-group.js';
import { type SignatureMatch, SignatureScanner } from './signatures.js';

/** What one run is to do. */
export interface RunSpec {
  readonly command: readonly string[];
  readonly cwd: string;
  /** The whole environment, but for what `runOnce` adds. */
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly expect: Expect;
}

/** What is kept of every run. */
export interface RunRecord {
  /** Counted from 1. */
  readonly run: number;
  readonly outcome: Outcome;
  /** It did not end as expected; where anything is expected: it was not clean. */
  readonly failed: boolean;
  /** Milliseconds from start to the end of its main process, or to the timeout. */
  readonly durationMs: number;
  /** The program said that its work was over. */
  readonly workDone: boolean;
  /** Milliseconds from "work done" to the end of its main process; `null` when it didn't say, or hung. */
  readonly exitMs: number | null;
  /** The fatal signature in its output, with whatever outcome. */
  readonly signature: SignatureMatch | null;
  /** Command lines of processes that outlived it and were killed. Empty for a hang, which is killed whole. */
  readonly leaked: readonly string[];
  /** How it was perturbed, as `--perturb` takes it to repeat that; `null` when nothing was asked for. */
  readonly perturbation: string | null;
  /** What the exit amplifier did; `null` when this run was not amplified. */
  readonly amplifier: AmplifierReport | null;
}

/** What a run leaves to look at. */
export interface Evidence {
  /** At most 64 KiB each: the beginning and the end. */
  readonly stdout: string;
  readonly stderr: string;
  /** Of a hang: the stacks of its threads, where they were taken. */
  readonly stacks: string | null;
}

const HALF_OUTPUT_BYTES = 32 * 1024;
const LINGER_MS = 100;
const DRAIN_MS = 1_000;
const DONE_FD = 3;

/** How a run is accompanied. */
export interface RunOnceOptions {
  /** Whether to take the stacks of a hang before it is killed. */
  readonly stacks: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a command once, in its own process group, and decides how it ended. Whatever is left of it afterwards is
 * killed. The program gets `QUIESCE_DONE_FD`, `QUIESCE_RUN` (the run's number) and `QUIESCE_RUN_ID` (unique).
 * @throws the signal's reason when aborted; EnvironmentError when the system can't start a process.
 */
export async function runOnce(
  spec: RunSpec,
  run: number,
  options: RunOnceOptions,
): Promise<{ record: RunRecord; evidence: Evidence }> {
  const { signal } = options;
  signal?.throwIfAborted();
  const marker = `QUIESCE_RUN_ID=${randomUUID()}`;
  const startedAt = performance.now();
  const group = await spawnGroup(spec.command, {
    cwd: spec.cwd,
    env: {
      ...spec.env,
      QUIESCE_DONE_FD: String(DONE_FD),
      QUIESCE_RUN: String(run),
      QUIESCE_RUN_ID: marker.slice(marker.indexOf('=') + 1),
    },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const kill = (): void => group.kill('SIGKILL');
  signal?.addEventListener('abort', kill);
  if (signal?.aborted) kill();
  try {
    const output = collect(group);
    const ended = group.exited.then((status) => ({ status, at: performance.now() }));
    const timeout = new AbortController();
    const hung = await Promise.race([
      ended.then(() => false),
      delay(spec.timeoutMs, true, { signal: timeout.signal }).catch(() => false),
    ]);
    timeout.abort();
    let stacks: string | null = null;
    const hungAt = performance.now();
    if (hung) {
      if (options.stacks) stacks = await threadStacks(group.members(), signal);
      kill();
    }
    const { status, at } = await ended;
    const leaked = await endGroup(group, output.closed, marker);
    signal?.throwIfAborted();

    const stderr = output.stderr.toString();
    const signature = output.errors.match ?? output.prints.match;
    const seen = { status, hung, signature, stderrBytes: output.stderr.totalBytes };
    const outcome = outcomeOf(seen, spec.expect);
    const doneAt = output.doneAt();
    const record: RunRecord = {
      run,
      outcome,
      failed: isFailure(outcome, status, spec.expect),
      durationMs: (hung ? hungAt : at) - startedAt,
      // Of a quick exit both are seen in one turn of the event loop, in either order.
      exitMs: hung || doneAt === undefined ? null : Math.max(0, at - doneAt),
      workDone: doneAt !== undefined,
      signature: signature ?? null,
      leaked: hung ? [] : leaked,
      perturbation: null,
      amplifier: null,
    };
    return { record, evidence: { stdout: output.stdout.toString(), stderr, stacks } };
  } catch (error) {
    kill();
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
    group.release();
  }
}

interface Collected {
  readonly stdout: BoundedOutput;
  readonly stderr: BoundedOutput;
  readonly prints: SignatureScanner;
  readonly errors: SignatureScanner;
  /** When the line `done` arrived. */
  doneAt(): number | undefined;
  /** Resolves when every holder of the pipes has closed them. */
  readonly closed: Promise<void>;
}

function collect({ child }: ProcessGroup): Collected {
  const stdout = new BoundedOutput(HALF_OUTPUT_BYTES, HALF_OUTPUT_BYTES);
  const stderr = new BoundedOutput(HALF_OUTPUT_BYTES, HALF_OUTPUT_BYTES);
  const prints = new SignatureScanner();
  const errors = new SignatureScanner();
  let doneAt: number | undefined;
  let said = '';
  const [, out, err, done] = child.stdio;
  out?.on('data', (chunk: Buffer) => {
    stdout.push(chunk);
    prints.push(chunk);
  });
  err?.on('data', (chunk: Buffer) => {
    stderr.push(chunk);
    errors.push(chunk);
  });
  done?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('latin1')).slice(-64);
    if (/^done\n/m.test(said)) doneAt ??= performance.now();
  });
  for (const stream of [out, err, done]) stream?.on('error', () => {});
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return { stdout, stderr, prints, errors, doneAt: () => doneAt, closed };
}

/** Waits for the rest of the group and its output, kills what lingers, and names it. */
async function endGroup(group: ProcessGroup, closed: Promise<void>, marker: string): Promise<string[]> {
  const quiet = Promise.all([closed, group.gone(LINGER_MS)]).then(([, gone]) => gone);
  if (await Promise.race([quiet, delay(LINGER_MS, false)])) return [];
  // One that left the group, as a daemon does, is known by its environment.
  const lingering = group.members(marker);
  group.kill('SIGKILL');
  for (const { pid } of lingering) killProcess(pid);
  await group.gone(DRAIN_MS);
  await Promise.race([closed, delay(DRAIN_MS)]);
  for (const stream of group.child.stdio) stream?.destroy();
  return lingering.map(({ command }) => command);
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}
