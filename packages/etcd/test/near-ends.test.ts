// How far the requests for pages reach: on a model of etcd's ranges, which counts what etcd would visit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomFrom } from '@quiesce/test-services';
import { isEndless, type RangeBytes } from '../src/kv/key-range.js';
import { FEWEST_OF_HALF, type ListRequest, ListRequests } from '../src/kv/list-requests.js';
import { SPARE } from '../src/kv/near-ends.js';
import { PageAssembler } from '../src/kv/page-assembler.js';
import { KeyValue } from '../src/rpc/messages/key-value.js';
import type { RangeMessage } from '../src/rpc/messages/range-response.js';
import { keyShapes, keysOfShape } from './support/key-shapes.js';

const KEYS = 6_000;
const MANY_KEYS = 30_000;
const SEED = Number(process.env.NEAR_ENDS_SEED ?? 7);

const everything: RangeBytes = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

interface Listing {
  readonly pages: readonly (readonly Uint8Array[])[];
  readonly requests: number;
  /** How many of them were sent with the one before. */
  readonly seconds: number;
  /** How many keys etcd has sent twice. */
  readonly again: number;
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
  const requests = new ListRequests(range, pageSize);
  const assembler = new PageAssembler(pageSize);
  const pages: Uint8Array[][] = [];
  const figures = { requests: 0, seconds: 0, again: 0, visits: 0 };
  let mayContinue = true;
  const ask = ({ key, rangeEnd, limit }: ListRequest): RangeMessage => {
    const [from, to] = [indexOf(keys, key), isEndless({ rangeEnd }) ? keys.length : indexOf(keys, rangeEnd)];
    assert.ok(from <= to && Buffer.compare(key, range.key) >= 0, 'a request leaves the range');
    assert.ok(limit > 0 && limit <= pageSize, 'a request is for more than a page');
    figures.requests += 1;
    if (figures.requests > 1) figures.visits += to - from;
    const found = keys.slice(from, to).filter(isMatch);
    const kvs = found.slice(0, limit).map(keyValue);
    return { header: undefined, kvs, more: found.length > limit, count: BigInt(to - from) };
  };
  let next: readonly ListRequest[] | undefined = [{ ...range, limit: pageSize }];
  while (next !== undefined) {
    const [first, second]: readonly ListRequest[] = next;
    if (second !== undefined) {
      figures.seconds += 1;
      assert.deepEqual(first?.rangeEnd, second.key, 'two requests at a time have a gap');
    }
    const answers = next.map(ask);
    if (answers[0]?.more) figures.again += answers[1]?.kvs.length ?? 0;
    const listed = requests.take(answers);
    next = requests.next;
    for (const { parts, more } of assembler.take(listed, next === undefined)) {
      assert.ok(mayContinue, 'there is a page after the last one');
      mayContinue = more;
      pages.push(parts.flatMap(({ keys }) => (keys as KeyValue[]).map(({ key }) => key)));
    }
  }
  assert.ok(!mayContinue, 'the last page says that there are more');
  return { pages, ...figures };
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
          const { pages, requests, seconds } = list(some, range, pageSize);
          const name = `${shape}, ${pageSize} a page, seed ${SEED}`;
          assert.deepEqual(pages, pagesOf(some, pageSize), name);
          const most = Math.ceil(some.length / pageSize) * (1 + SPARE.perPage) + SPARE.first + 1;
          assert.ok(requests - seconds <= most, `${name}: ${requests} requests, not ${most}`);
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
  ['far apart crowds', 8],
  ['many 0xff bytes', 3],
]);

test('one range of few pages is asked for as a whole', () => {
  const keys = keysOfShape('decimal numbers', 400, randomFrom(SEED));
  const { visits, requests } = list(keys, everything, 100);
  assert.deepEqual([visits, requests], [300 + 200 + 100, 4]);
});

test('a server that tells no count is asked for the rest, and one without keys for nothing', () => {
  const requests = new ListRequests(everything, 1);
  const kvs = [keyValue(Buffer.from('a'))];
  assert.equal(requests.take([{ header: undefined, kvs, more: true, count: 0n }]).parts.length, 1);
  assert.deepEqual(requests.next?.[0]?.rangeEnd, everything.rangeEnd);
  assert.equal(requests.take([{ header: undefined, kvs: [], more: true, count: 0n }]).parts.length, 0);
  assert.equal(requests.next, undefined);
});

for (const shape of Object.keys(keyShapes)) {
  test(`a long page is asked for by two requests at a time: ${shape}`, () => {
    const keys = keysOfShape(shape, MANY_KEYS, randomFrom(SEED), 'p/');
    const range = { key: Buffer.from('p/'), rangeEnd: Buffer.from('p0') };
    assert.equal(list(keys, range, 2 * FEWEST_OF_HALF - 2).seconds, 0);
    for (const pageSize of [2 * FEWEST_OF_HALF, 4_000, 16_000]) {
      const { pages, requests, seconds, again } = list(keys, range, pageSize);
      assert.deepEqual(pages, pagesOf(keys, pageSize));
      // The first page is asked for as a whole.
      const pairs = Math.max(0, pages.length - 1);
      const least = unforeseeable.has(shape) ? 0 : (pairs * 2) / 3;
      assert.ok(
        seconds >= least,
        `${pageSize}: ${seconds} of ${requests} requests for ${pages.length} pages`,
      );
      assert.ok(again <= keys.length / 10, `${pageSize}: ${again} keys came twice`);
    }
  });
}

/** Keys between which no key can be calculated. */
const unforeseeable: ReadonlySet<string> = new Set(['many 0xff bytes']);
