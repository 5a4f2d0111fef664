// Where the client's CPU time goes: by thread and library (perf, if it is available), and by JavaScript function (V8's
// profiler).
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { startEtcd } from '@quiesce/test-services';
import Table from 'cli-table3';
import { keyCount, type Op } from './cell.js';
import { measureClient, programOf, SUBJECT } from './clients.js';
import { FLOOR_VALUE_BYTES } from './report.js';

/** What to profile. */
export interface ProfileOptions {
  readonly op: Op;
  readonly concurrency: number;
  readonly seconds: number;
}

const SHOWN = 15;

/** Profiles one operation twice, once with each profiler. */
export async function profile({ op, concurrency, seconds }: ProfileOptions): Promise<void> {
  await using server = await startEtcd();
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-profile-'));
  try {
    const workload = {
      endpoint: server.endpoint,
      op,
      concurrency,
      valueBytes: FLOOR_VALUE_BYTES,
      connections: 1,
      seconds,
      warmup: 0.5,
      keys: keyCount(FLOOR_VALUE_BYTES),
    };
    // This also writes the keys.
    await measureClient(SUBJECT, { ...workload, op: 'put', seconds: 0.5 });
    const [node, ...program] = programOf(SUBJECT, workload);
    if (hasPerf()) {
      const data = join(dir, 'perf.data');
      await promisify(execFile)('perf', ['record', '-q', '-F', '2000', '-o', data, '--', node, ...program]);
      console.log(`\nby thread and library (perf)\n${shares(data)}`);
    } else console.log('perf is missing: no shares of threads and libraries');
    await promisify(execFile)(node, ['--cpu-prof', `--cpu-prof-dir=${dir}`, ...program]);
    const file = readdirSync(dir).find((name) => name.endsWith('.cpuprofile'));
    if (file === undefined) throw new Error('Node wrote no profile');
    console.log(`\nby JavaScript function, main thread (--cpu-prof)\n${functions(join(dir, file))}`);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function hasPerf(): boolean {
  try {
    execFileSync('perf', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function shares(data: string): string {
  const text = execFileSync(
    'perf',
    ['report', '-i', data, '--no-children', '-s', 'comm,dso', '--stdio', '-g', 'none'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 * 2 ** 20 },
  );
  const table = newTable(['share', 'thread', 'library']);
  for (const [, share, thread, library] of text.matchAll(/^\s+(\d+\.\d+%)\s+(\S+)\s+(\S.*?)\s*$/gm)) {
    if (Number.parseFloat(share as string) >= 0.5) table.push([share, thread, library]);
  }
  return table.toString();
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { functionName: string; url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** The functions that took most of the non-idle time, without what they called. */
function functions(file: string): string {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
  const names = new Map(
    nodes.map(({ id, callFrame }) => [
      id,
      `${callFrame.functionName || '(anonymous)'} ${basename(callFrame.url)}`.trim(),
    ]),
  );
  const times = new Map<string, number>();
  for (const [i, id] of samples.entries()) {
    const name = names.get(id) ?? '';
    if (name === '(idle)') continue;
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i] ?? 0));
  }
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  const table = newTable(['share', 'function']);
  for (const [name, time] of [...times].sort((a, b) => b[1] - a[1]).slice(0, SHOWN)) {
    table.push([`${((100 * time) / total).toFixed(1)}%`, name]);
  }
  return table.toString();
}

function newTable(head: string[]): InstanceType<typeof Table> {
  return new Table({ head, style: { head: [], border: [], compact: true } });
}
