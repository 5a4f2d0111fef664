// Ten thousand runs, and what they leave in the tester: npm run bench -- tester-soak [RUNS].
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { makeTemporaryDirectory } from '../src/files/temporary-directory.js';
import { run } from '../src/index.js';

/** What is left after many runs. */
export interface Soaked {
  readonly runs: number;
  readonly failed: number;
  /** Runs that left a process behind, which was killed. */
  readonly leaking: number;
  /** Growth of the heap for each run made after the first tenth, in bytes. */
  readonly heapBytesPerRun: number;
  /** Resident set at the end, in bytes. */
  readonly rss: number;
  /** Growth since the start: open file descriptors, child processes, files in the temporary directory. */
  readonly descriptors: number;
  readonly processes: number;
  readonly files: number;
  readonly ms: number;
}

/**
 * Runs a program that reports "work done" and prints 4 KiB. Every 40th run fails, and every 400th leaves a process
 * behind.
 * Linux only.
 */
export async function soak(runs: number): Promise<Soaked> {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const scratch = makeTemporaryDirectory('quiesce-soak');
  const heap = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const program = `head -c 4096 /dev/zero; echo done >&$QUIESCE_DONE_FD
    if [ $((QUIESCE_RUN % 400)) = 0 ]; then sleep 600 & fi
    [ $((QUIESCE_RUN % 40)) != 0 ]`;
  // Node opens /dev/null once when it starts its first process, and keeps it.
  await run({ command: ['true'], runs: 2 });
  const before = { descriptors: descriptors(), processes: children() };
  const early = Math.floor(runs / 10);
  let earlyHeap = 0;
  const start = performance.now();
  const result = await run({
    command: ['sh', '-c', program],
    runs,
    env: { TMPDIR: scratch.path },
    onProgress: (event) => {
      if (event.type === 'run' && event.completed === early) earlyHeap = heap();
    },
  });
  const ms = performance.now() - start;
  const soaked = {
    runs: result.runs.length,
    failed: result.failed,
    leaking: result.runs.filter(({ leaked }) => leaked.length > 0).length,
    heapBytesPerRun: (heap() - earlyHeap) / (runs - early),
    rss: process.memoryUsage().rss,
    descriptors: descriptors() - before.descriptors,
    processes: children() - before.processes,
    files: readdirSync(scratch.path).length,
    ms,
  };
  scratch.remove();
  return soaked;
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Processes that this one started and that still exist, including zombies. */
function children(): number {
  return readdirSync('/proc').filter((id) => {
    if (!/^\d+$/.test(id)) return false;
    try {
      const stat = readFileSync(`/proc/${id}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) === process.pid;
    } catch {
      return false;
    }
  }).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const soaked = await soak(Number(process.argv[2] ?? 10_000));
  const { descriptors, processes, files } = soaked;
  console.log(soaked);
  process.exitCode = descriptors === 0 && processes === 0 && files === 0 ? 0 : 1;
}
