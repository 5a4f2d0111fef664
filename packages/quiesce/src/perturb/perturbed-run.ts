import { preloadPath } from '../files/preload-path.js';
import { spawnGroup } from '../process/process-group.js';
import { type AmplifierReport, createReport } from '../run/amplifier-report.js';
import { type EndedRun, type RunOnceOptions, type RunSpec, runOnce } from '../run/run.js';
import {
  AMPLIFIER_FILE,
  drawPerturbation,
  type Perturbation,
  type PerturbChoice,
  perturbationText,
} from './perturb.js';

/** What a scenario's runs are perturbed by, and from which seed. */
export interface Perturbing {
  readonly choice: PerturbChoice;
  readonly seed: number;
}

/** How the runs of a report were perturbed. */
export interface RecordedPerturbing extends Pick<Perturbing, 'choice'> {
  /** `null`: it was merged from sessions with different seeds. */
  readonly seed: number | null;
}

/**
 * Like `runOnce`, perturbed as drawn for this run. The record says how. With `null`, the run isn't perturbed.
 * @throws the errors of `runOnce`.
 */
export async function runPerturbed(
  spec: RunSpec,
  run: number,
  perturbing: Perturbing | null,
  options: RunOnceOptions,
): Promise<EndedRun> {
  if (perturbing === null) return await runOnce(spec, run, options);
  const perturbation = drawPerturbation(perturbing.choice, perturbing.seed, run);
  const perturbed = await perturb(spec, perturbation);
  try {
    const ended = await runOnce(perturbed.spec, run, options);
    const amplifier = await perturbed.end();
    return { ...ended, record: { ...ended.record, perturbation: perturbationText(perturbation), amplifier } };
  } finally {
    await perturbed.end();
  }
}

/** A run that is prepared for its perturbation. */
interface PerturbedRun {
  /** The command to run instead of the original. */
  readonly spec: RunSpec;
  /** Must be called after the run. Ends what accompanied it, and reports what the amplifier did. Idempotent. */
  end(): Promise<AmplifierReport | null>;
}

/** Hold and linger budgets of the amplifier. They extend the timeout, so that its delays don't make a run a hang. */
const AMPLIFIER_MOST_MS = 2_000 + 200;
/** A program that shares its CPU may take that much longer. */
const CONTENTION_FACTOR = 2;

/**
 * Wraps a run's command and environment, and starts the load that belongs to it. The timeout is raised by what the
 * perturbation may cost.
 * @throws EnvironmentError when the system can't start the load.
 */
async function perturb(spec: RunSpec, perturbation: Perturbation): Promise<PerturbedRun> {
  const { affinity, load, nice, allocator, tokio, amplify } = perturbation;
  const wrapper: string[] = [];
  const env = { ...spec.env };
  let timeoutMs = spec.timeoutMs;
  const report = amplify === undefined ? undefined : createReport();
  if (nice !== undefined) wrapper.push('nice', '-n', String(nice));
  if (affinity !== undefined) wrapper.push('taskset', '-c', String(affinity));
  if (allocator !== undefined) Object.assign(env, allocatorEnvironment(allocator));
  if (tokio !== undefined) env.TOKIO_WORKER_THREADS = String(tokio);
  if (nice !== undefined || affinity !== undefined || load !== undefined) timeoutMs *= CONTENTION_FACTOR;
  if (report !== undefined) {
    // Set for the program only, not for the wrappers.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own
    const script = 'LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$1"; export LD_PRELOAD; shift; exec "$@"';
    wrapper.push('/bin/sh', '-c', script, 'sh', preloadPath(AMPLIFIER_FILE));
    env.QUIESCE_AMPLIFY_SEED = String(amplify);
    env.QUIESCE_AMPLIFY_REPORT = report.file;
    // AddressSanitizer refuses to start behind another preload library, though this one does no harm.
    env.ASAN_OPTIONS = [env.ASAN_OPTIONS, 'verify_asan_link_order=0'].filter(Boolean).join(':');
    timeoutMs += AMPLIFIER_MOST_MS;
  }
  const command = [...wrapper, ...spec.command];
  let background: { end(): Promise<void> } | undefined;
  try {
    background = load === undefined ? undefined : await startLoad(load, affinity);
  } catch (error) {
    report?.take();
    throw error;
  }
  let ended: Promise<AmplifierReport | null> | undefined;
  const end = async (): Promise<AmplifierReport | null> => {
    await background?.end();
    return report?.take() ?? null;
  };
  return { spec: { ...spec, command, env, timeoutMs }, end: () => (ended ??= end()) };
}

/**
 * glibc fills new and freed memory with a byte, so that stale values don't look right. Few arenas make threads share
 * them. With half of the values, Python uses this allocator for its objects, too.
 */
function allocatorEnvironment(byte: number): Record<string, string> {
  return {
    MALLOC_PERTURB_: String(byte),
    MALLOC_ARENA_MAX: String(1 + (byte % 2) * 3),
    ...((byte >> 1) % 2 === 1 && { PYTHONMALLOC: 'malloc' }),
  };
}

// A busy loop that ends when the tester is gone, even if the tester was killed.
const BUSY = 'while kill -0 "$1" 2>/dev/null; do i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; done';

async function startLoad(processes: number, cpu: number | undefined): Promise<{ end(): Promise<void> }> {
  const pinned = cpu === undefined ? [] : ['taskset', '-c', String(cpu)];
  const start = `n=$2; while [ $n -gt 1 ]; do (${BUSY}) & n=$((n-1)); done; ${BUSY}`;
  const command = [...pinned, '/bin/sh', '-c', start, 'sh', String(process.pid), String(processes)];
  const group = await spawnGroup(command, { cwd: '/', env: process.env, outputs: 0 });
  return {
    async end() {
      group.kill('SIGKILL');
      await group.exited;
      await group.gone(1_000);
      group.release();
    },
  };
}
