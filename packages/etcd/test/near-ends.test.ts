// How far the requests for pages reach: on a model of etcd's ranges, which counts what etcd would visit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomFrom } from '@quiesce/test-services';
import { isEndless, type RangeBytes } from '../src/kv/key-range.js';
import { NearEnds, SPARE } from '../src/kv/near-ends.js';
import { PageAssembler } from '../src/kv/page-assembler.js';
import { KeyValue } from '../src/rpc/messages/key-value.js';
import { keyShapes, keysOfShape } from './support/key-shapes.js';

const KEYS = 6_000;
const MANY_KEYS = 30_000;
const SEED = Number(process.env.NEAR_ENDS_SEED ?? 7);

const everything: RangeBytes = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

interface Listing {
  readonly pages: readonly (readonly Uint8Array[])[];
  readonly requests: number;
  /** How many keys etcd visits after the first request. */
  readonly visits: number;
}

/** Lists a range of sorted keys. */
function list(
  keys: readonly Buffer[],
  range: RangeBytes,
  pageSize: number,
  isMatch = (_: Uint8Array) => true,
): Listing {
  const ends = new NearEnds(range, pageSize);
  const assembler = new PageAssembler(pageSize);
  const pages: Uint8Array[][] = [];
  let next: RangeBytes | undefined = range;
  let requests = 0;
  let visits = 0;
  let mayContinue = true;
  while (next !== undefined) {
    const { key, rangeEnd }: RangeBytes = next;
    const [from, to] = [indexOf(keys, key), isEndless({ rangeEnd }) ? keys.length : indexOf(keys, rangeEnd)];
    assert.ok(from <= to && Buffer.compare(key, range.key) >= 0, 'a request leaves the range');
    requests += 1;
    if (requests > 1) visits += to - from;
    const found = keys.slice(from, to).filter(isMatch);
    const kvs = found.slice(0, pageSize).map(keyValue);
    const hasMore = found.length > pageSize;
    next = ends.after({ kvs, more: hasMore, count: BigInt(to - from) });
    for (const { parts, more } of assembler.take({ keys: kvs, more: hasMore, isEnd: next === undefined })) {
      assert.ok(mayContinue, 'there is a page after the last one');
      mayContinue = more;
      pages.push(parts.flatMap(({ keys }) => (keys as KeyValue[]).map(({ key }) => key)));
    }
  }
  assert.ok(!mayContinue, 'the last page says that there are more');
  return { pages, requests, visits };
}

const keyValue = (key: Uint8Array): KeyValue => new KeyValue(key, new Uint8Array(0), 1n, 1n, 1n, 0n);

function indexOf(keys: readonly Buffer[], key: Uint8Array): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Buffer.compare(keys[middle] as Buffer, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The pages that there must be. */
function pagesOf(keys: readonly Buffer[], pageSize: number): Buffer[][] {
  const pages: Buffer[][] = [];
  for (let i = 0; i < keys.length; i += pageSize) pages.push(keys.slice(i, i + pageSize));
  return pages.length > 0 ? pages : [[]];
}

for (const shape of Object.keys(keyShapes)) {
  test(`all keys come in pages of one size, by few requests more: ${shape}`, () => {
    const below = randomFrom(SEED);
    for (const start of ['', 'p/']) {
      const keys = keysOfShape(shape, KEYS, below, start);
      const ranges = [everything, { key: keys[7] as Buffer, rangeEnd: keys.at(-7) as Buffer }];
      for (const range of ranges) {
        const within = isEndless(range) ? keys : keys.slice(7, -7);
        for (const pageSize of [1, 30, 100, 999, 5000]) {
          const some = pageSize > 1 ? within : within.slice(0, 2000);
          const { pages, requests } = list(some, range, pageSize);
          const name = `${shape}, ${pageSize} a page, seed ${SEED}`;
          assert.deepEqual(pages, pagesOf(some, pageSize), name);
          const most = Math.ceil(some.length / pageSize) * (1 + SPARE.perPage) + SPARE.first + 1;
          assert.ok(requests <= most, `${name}: ${requests} requests, not ${most}`);
        }
      }
    }
  });

  test(`filters lose no key: ${shape}`, () => {
    const below = randomFrom(SEED);
    const keys = keysOfShape(shape, KEYS, below);
    for (const one of [2, 10, 500, 1e9]) {
      const chosen = new Set(keys.filter(() => below(one) === 0));
      for (const pageSize of [10, 300]) {
        const { pages, requests } = list(keys, everything, pageSize, (key) => chosen.has(key as Buffer));
        assert.deepEqual(
          pages,
          pagesOf(
            keys.filter((key) => chosen.has(key)),
            pageSize,
          ),
          `${shape}, one of ${one}`,
        );
        assert.ok(requests <= Math.ceil(chosen.size / pageSize) * (1 + SPARE.perPage) + SPARE.first + 1);
      }
    }
  });
}

test('etcd visits far fewer keys than if it counted the rest for each page', () => {
  const pageSize = 100;
  for (const shape of Object.keys(keyShapes)) {
    const keys = keysOfShape(shape, MANY_KEYS, randomFrom(SEED), 'p/');
    // Some shapes have few different keys, which are hardly worth it.
    if (keys.length < MANY_KEYS / 2) continue;
    const { visits } = list(keys, { key: Buffer.from('p/'), rangeEnd: Buffer.from('p0') }, pageSize);
    const ofAll = keys.length ** 2 / pageSize / 2;
    const most = ofAll / (uneven.get(shape) ?? 15);
    assert.ok(visits <= most, `${shape}: ${visits} visits, which is more than ${most}`);
  }
});

/** Where it is hard to foresee how far it is to the next keys: how many times fewer keys are visited at least. */
const uneven: ReadonlyMap<string, number> = new Map([
  ['far apart crowds', 7],
  ['a long start in common', 8],
  ['many 0xff bytes', 3],
]);

test('one range of few pages is asked for as a whole', () => {
  const keys = keysOfShape('decimal numbers', 400, randomFrom(SEED));
  const { visits, requests } = list(keys, everything, 100);
  assert.deepEqual([visits, requests], [300 + 200 + 100, 4]);
});

test('a server that tells no count is asked for the rest, and one without keys for nothing', () => {
  const ends = new NearEnds(everything, 1);
  const kvs = [keyValue(Buffer.from('a'))];
  assert.deepEqual(ends.after({ kvs, more: true, count: 0n })?.rangeEnd, everything.rangeEnd);
  assert.equal(ends.after({ kvs: [], more: true, count: 0n }), undefined);
});
