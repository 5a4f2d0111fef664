// etcd's own benchmark tool under measurement, with the same command line as the other programs.
import { execFile } from 'node:child_process';
import { parseArgs, promisify } from 'node:util';
import { KEY_PREFIX, type Measurement, type Op } from '../cell.js';
import { parseWorkload } from './measure.js';

/** Requests of the run that finds out how many requests fill the time, and the most bytes of their values. */
const TRIAL = { requests: 2000, bytes: 64 * 2 ** 20 };

const { values } = parseArgs({ options: { tool: { type: 'string' } }, strict: false });
const workload = parseWorkload();
const trial = await load(Math.min(TRIAL.requests, Math.ceil(TRIAL.bytes / workload.valueBytes)));
const timed = await load(Math.ceil(Math.max(trial.ops / trial.seconds, 1) * workload.seconds));
const { op, concurrency, valueBytes, connections } = workload;
const measurement: Measurement = {
  client: 'etcd benchmark',
  op,
  concurrency,
  valueBytes,
  connections,
  ...timed,
  maxRssMiB: 0,
  idleRssMiB: 0,
  maxStallMs: 0,
  maxOwnStallMs: 0,
};
console.log(JSON.stringify(measurement));

interface Load {
  readonly ops: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** Makes this many requests. The tool can't be given a duration. */
async function load(total: number): Promise<Load> {
  const endpoint = new URL(workload.endpoint).host;
  const flags = {
    endpoints: endpoint,
    conns: workload.connections,
    clients: workload.concurrency,
    total,
    ...flagsOf(workload.op),
  };
  const tool = [String(values.tool), ...commandOf(workload.op)];
  for (const [name, value] of Object.entries(flags)) tool.push(`--${name}=${value}`);
  // The shell reports the CPU time of its children, which Node doesn't.
  const { stdout } = await promisify(execFile)('sh', ['-c', '"$@" && times', 'sh', ...tool], {
    maxBuffer: 64 * 2 ** 20,
    timeout: 10 * 60_000,
  });
  const found = (pattern: RegExp): number => {
    const text = pattern.exec(stdout)?.[1];
    if (text === undefined)
      throw new Error(`etcd's benchmark tool printed no ${pattern}:\n${stdout.slice(-2000)}`);
    return Number(text);
  };
  if (/^Error distribution:/m.test(stdout)) throw new Error(`requests failed:\n${stdout.slice(-2000)}`);
  return {
    ops: total,
    seconds: found(/^\s*Total:\s*([\d.]+) secs/m),
    cpuSeconds: childSeconds(stdout),
    p50Micros: found(/^\s*50% in ([\d.]+) secs/m) * 1e6,
    p99Micros: found(/^\s*99% in ([\d.]+) secs/m) * 1e6,
  };
}

function commandOf(op: Op): string[] {
  switch (op) {
    case 'get':
      return ['range', `${KEY_PREFIX}0000`];
    case 'range':
      // Up to the key after the prefix: "/" + 1.
      return ['range', KEY_PREFIX, `${KEY_PREFIX.slice(0, -1)}0`];
    case 'put':
      return ['put', '--sequential-keys'];
    case 'txn':
      return ['txn-put'];
  }
}

function flagsOf(op: Op): Record<string, number> {
  if (op === 'get' || op === 'range') return {};
  return { 'key-size': 10, 'key-space-size': workload.keys, 'val-size': workload.valueBytes };
}

/** The second line of `times`: user and system time of the shell's children, as `0m1.234s 0m0.567s`. */
function childSeconds(stdout: string): number {
  const times = [...stdout.slice(-200).matchAll(/(\d+)m([\d.]+)s/g)].slice(-2);
  return times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}
