// The same random requests over both transports, each to an etcd of its own, and to a model of the store: all three
// must agree after each step. DIFFERENTIAL_SEED=<n> repeats a run; its seed is in the message of a failure.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { randomFrom, startEtcd } from '@quiesce/test-services';
import {
  allKeys,
  type Compare,
  compare,
  connect,
  type EtcdClient,
  EtcdError,
  fromKey,
  type Keys,
  keyRange,
  type Op,
  op,
  type PutOptions,
  prefix,
  type RangeOptions,
  type Txn,
} from '../src/index.js';
import type { KeyRange } from '../src/kv/key-range.js';
import { KeyValue } from '../src/rpc/messages/key-value.js';
import { ModelError, REFUSED_BY_CLIENT, StoreModel } from './support/store-model.js';
import { transports } from './support/transports.js';

const STEPS = 400;
// At most 12: etcd sorts unstably, but Go's sort keeps the order of equal elements in lists as short as that.
const keys = ['a', 'a/1', 'a/2', 'a0', 'b', 'b\0', 'b/1', 'b/2', 'c', 'c~', 'd'];
const values = ['', '0', '1', '10', '2'];
const leases = [101n, 102n, 103n];

/** Random choices that follow from a seed. */
class Random {
  /** From 0 up to, but without, what it is given. */
  readonly below: (end: number) => number;

  constructor(seed: number) {
    this.below = randomFrom(seed);
  }

  chance(probability: number): boolean {
    return this.below(1_000_000) < probability * 1_000_000;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  /** Up to so many of what `make` makes. */
  list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

/** One request, for the model and for a client. */
interface Step {
  readonly call: string;
  readonly args: readonly unknown[];
  readonly onModel: (model: StoreModel) => unknown;
  readonly onClient: (etcd: EtcdClient) => Promise<unknown>;
}

/** Makes requests; mostly sensible ones, and some of each kind that is refused. */
class Requests {
  readonly #random: Random;
  readonly #model: StoreModel;

  constructor(random: Random, model: StoreModel) {
    this.#random = random;
    this.#model = model;
  }

  next(): Step {
    const r = this.#random;
    const key = r.of(keys);
    const range = this.#keys();
    const options = this.#rangeOptions();
    const putOptions = this.#putOptions();
    const value = putOptions.ignoreValue && r.chance(0.9) ? '' : r.of(values);
    const deleteOptions = r.chance(0.5) ? { prevKv: true } : {};
    const lease = r.of(leases);
    const kind = r.below(100);
    if (kind < 30) {
      return {
        call: 'put',
        args: [key, value, putOptions],
        onModel: (model) => model.put(key, value, putOptions),
        onClient: (etcd) => etcd.put(key, value, putOptions),
      };
    }
    if (kind < 38) {
      return {
        call: 'delete',
        args: [range, deleteOptions],
        onModel: (model) => model.delete(range as string, deleteOptions),
        onClient: (etcd) => etcd.delete(range, deleteOptions),
      };
    }
    if (kind < 43) {
      return {
        call: 'get',
        args: [key, options.revision],
        onModel: (model) => model.get(key, this.#readOptions(options)),
        onClient: (etcd) => etcd.get(key, this.#readOptions(options)),
      };
    }
    if (kind < 63) {
      return {
        call: 'range',
        args: [range, options],
        onModel: (model) => model.range(range as string, options),
        onClient: (etcd) => etcd.range(range, options),
      };
    }
    if (kind < 68) {
      const pageSize = 1 + r.below(4);
      return {
        call: 'iterate',
        args: [range, pageSize],
        onModel: (model) => model.range(range as string, {}).kvs,
        onClient: async (etcd) => {
          const kvs: KeyValue[] = [];
          for await (const kv of etcd.iterate(range, { pageSize })) kvs.push(kv);
          return kvs;
        },
      };
    }
    if (kind < 90) {
      const txn = this.#txn(2);
      return {
        call: 'txn',
        args: [txn],
        onModel: (model) => model.txn(txn),
        onClient: (etcd) => etcd.txn(txn),
      };
    }
    if (kind < 92) {
      const low = this.#model.compacted > 0n ? this.#model.compacted : 1n;
      const spread = Number(this.#model.revision - low);
      // Mostly so that some history is left to read.
      const revision = low + BigInt(r.chance(0.8) ? Math.floor(spread / 2) : r.below(spread + 3));
      return {
        call: 'compact',
        args: [revision],
        onModel: (model) => model.compact(revision),
        onClient: (etcd) => etcd.compact(revision, { physical: r.chance(0.5) }),
      };
    }
    if (kind < 96) {
      return {
        call: 'grant',
        args: [lease],
        onModel: (model) => model.grant(lease),
        onClient: async (etcd) => void (await etcd.lease.grant(3_600, { id: lease })),
      };
    }
    return {
      call: 'revoke',
      args: [lease],
      onModel: (model) => model.revoke(lease),
      onClient: (etcd) => etcd.lease.revoke(lease),
    };
  }

  #keys(): Keys {
    const r = this.#random;
    switch (r.below(6)) {
      case 0:
        return allKeys();
      case 1:
        return prefix(r.of(keys));
      case 2:
        return fromKey(r.of(keys));
      case 3: {
        const [start, end] = [r.of(keys), r.of(keys)].sort() as [string, string];
        return start === end ? start : keyRange(start, end);
      }
      default:
        return r.of(keys);
    }
  }

  #readOptions({ revision }: RangeOptions): RangeOptions {
    return revision === undefined ? {} : { revision };
  }

  #revision(): bigint {
    const r = this.#random;
    const { revision, compacted } = this.#model;
    if (r.chance(0.1)) return BigInt(1 + r.below(Number(revision) + 3));
    const low = compacted > 0n ? compacted : 1n;
    return low + BigInt(r.below(Number(revision - low) + 1));
  }

  #rangeOptions(): RangeOptions {
    const r = this.#random;
    return {
      ...(r.chance(0.25) && { revision: this.#revision() }),
      ...(r.chance(0.3) && { limit: r.below(5) }),
      ...(r.chance(0.3) && {
        sortBy: r.of(['key', 'version', 'createRevision', 'modRevision', 'value'] as const),
      }),
      ...(r.chance(0.3) && { sortOrder: r.of(['ascend', 'descend'] as const) }),
      ...(r.chance(0.1) && { keysOnly: true }),
      ...(r.chance(0.1) && { countOnly: true }),
      ...(r.chance(0.1) && { serializable: true }),
      ...(r.chance(0.1) && { minModRevision: this.#revision() }),
      ...(r.chance(0.1) && { maxModRevision: this.#revision() }),
      ...(r.chance(0.1) && { minCreateRevision: this.#revision() }),
      ...(r.chance(0.1) && { maxCreateRevision: this.#revision() }),
    };
  }

  #putOptions(): PutOptions {
    const r = this.#random;
    return {
      ...(r.chance(0.3) && { lease: r.of(leases) }),
      ...(r.chance(0.3) && { prevKv: true }),
      ...(r.chance(0.1) && { ignoreValue: true }),
      ...(r.chance(0.1) && { ignoreLease: true }),
    };
  }

  #txn(depth: number): Txn<string, string> {
    const r = this.#random;
    return {
      compare: r.list(2, () => this.#compare()),
      success: r.list(4, () => this.#op(depth)),
      failure: r.list(3, () => this.#op(depth)),
    };
  }

  #compare(): Compare<string, string> {
    const r = this.#random;
    const range = this.#keys() as string | KeyRange;
    const operator = r.of(['=', '!=', '<', '>'] as const);
    switch (r.below(6)) {
      case 0:
        return compare.version(range, operator, r.below(4));
      case 1:
        return compare.createRevision(range, operator, this.#revision());
      case 2:
        return compare.modRevision(range, operator, this.#revision());
      case 3:
        return compare.lease(range, operator, r.of([0n, ...leases]));
      case 4:
        return r.chance(0.5) ? compare.missing(range) : compare.exists(r.of(keys));
      default:
        return compare.value(range, operator, r.of(values));
    }
  }

  #op(depth: number): Op<string, string> {
    const r = this.#random;
    const range = this.#keys() as string | KeyRange;
    switch (r.below(depth > 0 ? 9 : 8)) {
      case 0:
        return op.get(r.of(keys), this.#readOptions(this.#rangeOptions()));
      case 1:
      case 2:
        return op.range(range, this.#rangeOptions());
      case 3:
        return op.delete(range, r.chance(0.5) ? { prevKv: true } : {});
      case 8:
        return op.txn(this.#txn(depth - 1));
      default: {
        const options = this.#putOptions();
        return op.put(r.of(keys), options.ignoreValue ? '' : r.of(values), options);
      }
    }
  }
}

/** A result without what only a real cluster has, and in plain values. */
function plain(result: unknown): unknown {
  if (result instanceof KeyValue) {
    const { createRevision, modRevision, version, lease } = result;
    return { key: result.keyText(), value: result.text(), createRevision, modRevision, version, lease };
  }
  if (Array.isArray(result)) return result.map(plain);
  if (typeof result !== 'object' || result === null) return result;
  const { header, ...rest } = result as { header?: { revision: bigint } };
  if (header !== undefined) assert.equal(header.revision, (rest as { revision?: bigint }).revision);
  return Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, plain(value)]));
}

/** What a client or the model answers: a result, or etcd's words of refusal. */
async function answer(ask: () => unknown): Promise<unknown> {
  try {
    return { result: plain(await ask()) };
  } catch (error) {
    if (error instanceof EtcdError) return { refused: error.sent ? error.details : REFUSED_BY_CLIENT };
    if (error instanceof ModelError) return { refused: error.message };
    throw error;
  }
}

/** The model leaves out the revision of inner transactions, which is the outer one's. */
function withInnerRevisions(result: unknown, revision?: bigint): unknown {
  if (typeof result !== 'object' || result === null || !('responses' in result)) return result;
  const { responses, ...rest } = result as { responses: unknown[]; revision?: bigint };
  const own = rest.revision ?? revision;
  return {
    ...rest,
    revision: own,
    responses: responses.map((response) => withInnerRevisions(response, own)),
  };
}

const native = transports.find(({ name }) => name === 'native');

test(`${STEPS} random requests get the same answers over each transport as from the model`, {
  timeout: 240_000,
}, async (t) => {
  const seed = Number(process.env.DIFFERENTIAL_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`DIFFERENTIAL_SEED=${seed}`);
  const names = native?.skip ? (['grpc-js'] as const) : (['native', 'grpc-js'] as const);
  const servers = await Promise.all(names.map(() => startEtcd()));
  const clients: EtcdClient[] = [];
  try {
    for (const [index, transport] of names.entries()) {
      clients.push(await connect({ endpoints: servers[index]?.endpoint as string, transport }));
    }
    const model = new StoreModel();
    const requests = new Requests(new Random(seed), model);
    const counts = { answered: 0, refused: new Map<string, number>() };
    for (let index = 0; index < STEPS; index++) {
      const step = requests.next();
      const expected = await answer(() => withInnerRevisions(step.onModel(model)));
      const actual = await Promise.all(clients.map((etcd) => answer(() => step.onClient(etcd))));
      for (const [i, name] of names.entries()) {
        assert.deepEqual(
          actual[i],
          expected,
          `DIFFERENTIAL_SEED=${seed}, step ${index}, ${name}: ${step.call}(${inspect(step.args, { depth: 9 })})
${inspect({ actual: actual[i], expected }, { depth: 12 })}`,
        );
      }
      const { refused } = expected as { refused?: string };
      if (refused === undefined) counts.answered += 1;
      else counts.refused.set(refused, (counts.refused.get(refused) ?? 0) + 1);
    }
    for (const [i, etcd] of clients.entries()) {
      const left = (await etcd.range(allKeys())).kvs;
      assert.deepEqual(plain(left), model.range(allKeys() as KeyRange, {}).kvs, `at the end, ${names[i]}`);
    }
    t.diagnostic(`${counts.answered} answered; ${inspect(counts.refused)}`);
    // A run that only ever asks for nonsense would prove nothing.
    assert.ok(counts.answered > STEPS / 2, `${counts.answered} answered`);
    assert.ok(counts.refused.size >= 3, inspect(counts.refused));
  } finally {
    await Promise.all(clients.map((etcd) => etcd.close()));
    await Promise.all(servers.map((server) => server.stop()));
  }
});
