import { startEtcd } from '@quiesce/test-services';
import { isAvailable, livingCommand, SUBJECT } from '../clients.js';
import { LISTED_KEYS, writeListed } from '../list.js';
import { startLiving } from '../living.js';
import { writeKeys } from '../operations.js';
import { writeJson } from '../report.js';
import { figureTable } from '../table.js';
import { BESIDE_GO, type Floor, isRate, type Subject } from './floors.js';
import { type CellResult, judgeCell, type Sample } from './judge.js';
import { type Pair, pairedBatches, pairedLeases, pairedStarts } from './measure.js';
import { counted, mostRate, type Spent } from './server-share.js';

/** How thorough the gate is. */
export interface GateOptions {
  /** Batches of each client in each cell. */
  readonly rounds: number;
  /** About how long a batch takes. */
  readonly batchMs: number;
  /** Cells to judge, by the beginning of their names; default: all. */
  readonly cells?: readonly string[];
  /** By how many percent to slow this client down: the gate must find that. */
  readonly slower: number;
  readonly json?: string;
}

const PEER = 'clientv3';
const VALUE_BYTES = 32;
const KEYS = 1000;

/** Judges each cell in comparison with Go. The exit code is 1 if a cell is below its floor, also at a second look. */
export async function gate(options: GateOptions): Promise<number> {
  if (!isAvailable(PEER)) throw new Error("the gate compares with Go's client, and Go is missing");
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, VALUE_BYTES);
  const startRevision = await writeListed(server.endpoint, LISTED_KEYS);
  const living = { endpoint: server.endpoint, keys: KEYS, valueBytes: VALUE_BYTES, startRevision };
  await using subject = startLiving(SUBJECT, livingCommand(SUBJECT, { ...living, slower: options.slower }));
  await using other = startLiving(PEER, livingCommand(PEER, living));
  const results: CellResult[] = [];
  const table = figureTable(['cell', 'figure', 'now', 'floor', 'measured', 'target', '']);
  const shares = figureTable(['cell', 'etcd ms/op', `etcd ms/op, ${PEER}`, 'without a client: rate']);
  for (const floors of cells(BESIDE_GO)) {
    const name = nameOf((floors[0] as Floor).subject);
    if (options.cells?.some((cell) => name.startsWith(cell)) === false) continue;
    const own = counted(subject, server.pid);
    const others = counted(other, server.pid);
    const pair = { subject: own.client, other: others.client };
    const result = await judgeCell(
      floors,
      measurer((floors[0] as Floor).subject, pair, server.endpoint, options),
    );
    results.push(result);
    if (own.spent.server > 0) {
      const millis = ({ server: seconds, ops }: Spent): string => ((seconds * 1e3) / ops).toFixed(3);
      shares.push([
        name,
        millis(own.spent),
        millis(others.spent),
        mostRate(own.spent, others.spent).toFixed(2),
      ]);
    }
    for (const { figure, now, bound, measured, target, met } of result.figures) {
      const shown = (value: number): string => value.toFixed(2);
      table.push([
        name,
        figure,
        shown(now),
        `${isRate(figure) ? '≥' : '≤'} ${shown(bound)}`,
        shown(measured),
        target === undefined ? '' : `${isRate(figure) ? '≥' : '≤'} ${shown(target)}`,
        met ? (result.twice ? 'met, measured twice' : '') : 'NOT met',
      ]);
    }
  }
  console.log(`\n${SUBJECT}, times ${PEER}; cold start: times an empty Node program\n${table.toString()}`);
  console.log(`\nCPU time of etcd, and the rate that it leaves to a client without any, times ${PEER}`);
  console.log(shares.toString());
  writeJson(options.json, { peer: PEER, results });
  return results.every(({ figures }) => figures.every(({ met }) => met)) ? 0 : 1;
}

function measurer(
  { op: name, concurrency }: Subject,
  pair: Pair,
  endpoint: string,
  { batchMs, rounds }: GateOptions,
): () => Promise<readonly Sample[]> {
  if (concurrency !== undefined) return pairedBatches(pair, name, concurrency, batchMs, rounds);
  return name === 'leases' ? pairedLeases(endpoint, PEER) : pairedStarts(endpoint, rounds);
}

function nameOf({ op: name, concurrency }: Subject): string {
  return concurrency === undefined ? name : `${name} x${concurrency}`;
}

/** The floors of each cell, grouped. */
function cells(floors: readonly Floor[]): Floor[][] {
  const of = new Map<string, Floor[]>();
  for (const floor of floors)
    of.set(nameOf(floor.subject), [...(of.get(nameOf(floor.subject)) ?? []), floor]);
  return [...of.values()];
}
