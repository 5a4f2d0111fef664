import { StoreReplacedError } from '../errors.js';
import { answer } from '../json.js';
import { idempotentCall } from '../rpc/call.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { RangeMessage } from '../rpc/messages/range-response.js';
import { describeCall, type Rpc } from '../rpc/rpc.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import { isFutureRevision } from '../server-errors.js';
import { Leavable } from '../util/item-iterator.js';
import { positiveInteger } from '../util/kinds.js';
import { LinkedSignal } from '../util/linked-signal.js';
import type { RangeBytes } from './key-range.js';
import {
  knownHeader,
  type RangeOptions,
  rangeHints,
  rangeKinds,
  rangeMethod,
  rangeRequest,
  type ToEntry,
} from './kv.js';

/**
 * Options of `iterate` and `pages`. For each page etcd counts the rest of the range, and with a filter on revisions it
 * also reads all of it. So use larger pages for hundreds of thousands of keys. `timeoutMs` is the deadline of each
 * page.
 */
export interface PageOptions extends Omit<RangeOptions, 'limit' | 'sortBy' | 'sortOrder' | 'countOnly'> {
  /** Largest number of keys in one request. At most two such pages are held in memory. Default 1 000. */
  readonly pageSize?: number | undefined;
}

const { limit: _, sortBy: _by, sortOrder: _order, countOnly: _count, ...pageKinds } = rangeKinds;
const pageOptions = describeCall<PageOptions>(
  'iterate() or pages()',
  { ...pageKinds, pageSize: positiveInteger },
  {
    hints: { ...rangeHints, limit: 'leave the loop, or did you mean pageSize?' },
    example: '{ pageSize: 100 }',
  },
);

/** Some consecutive keys of a range. */
export interface RangePage<Entry = KeyValue> {
  /** The revision at which all pages are read. To see later changes, `watch` from the next revision. */
  readonly revision: bigint;
  readonly kvs: Entry[];
  /** Whether there is another page. */
  readonly more: boolean;
}

/** A page whose keys may not be decoded yet. */
interface Page {
  readonly revision: bigint;
  readonly kvs: RangeMessage['kvs'];
  readonly more: boolean;
}

/**
 * How many keys are decoded at a time where they are wanted one by one. Only that many keys of a page exist as objects
 * at a time.
 */
const PORTION = 64;

/**
 * The pages of a range. Each page is requested while the one before it is being used.
 *
 * @throws InvalidArgumentError at once.
 * @internal
 */
export function rangePages<Entry>(
  rpc: Rpc,
  range: RangeBytes,
  options: PageOptions,
  toEntry: ToEntry<Entry>,
): AsyncGenerator<RangePage<Entry>, void, void> {
  pageOptions.check(options);
  return leavable((left) => decodedPages(pagesOf(rpc, range, options, left), toEntry));
}

/**
 * The keys of a range in portions. Each portion is decoded when it is needed.
 *
 * @throws InvalidArgumentError at once.
 * @internal
 */
export function rangePortions<Entry>(
  rpc: Rpc,
  range: RangeBytes,
  options: PageOptions,
  toEntry: ToEntry<Entry>,
): AsyncGenerator<Entry[], void, void> {
  pageOptions.check(options);
  return leavable((left) => decodedPortions(pagesOf(rpc, range, options, left), toEntry));
}

function leavable<T>(
  make: (left: AbortSignal) => AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  const leaving = new AbortController();
  return new Leavable(make(leaving.signal), () => leaving.abort());
}

async function* decodedPages<Entry>(
  pages: AsyncGenerator<Page, void, void>,
  toEntry: ToEntry<Entry>,
): AsyncGenerator<RangePage<Entry>, void, void> {
  for await (const { revision, kvs, more } of pages) {
    const all = Array.isArray(kvs) ? kvs : kvs.take(Number.POSITIVE_INFINITY);
    yield answer({ revision, kvs: all.map(toEntry), more });
  }
}

async function* decodedPortions<Entry>(
  pages: AsyncGenerator<Page, void, void>,
  toEntry: ToEntry<Entry>,
): AsyncGenerator<Entry[], void, void> {
  for await (const { kvs } of pages) {
    if (Array.isArray(kvs)) {
      yield kvs.map(toEntry);
      continue;
    }
    for (let some = kvs.take(PORTION); some.length > 0; some = kvs.take(PORTION)) yield some.map(toEntry);
  }
}

async function* pagesOf(
  rpc: Rpc,
  { key, rangeEnd }: RangeBytes,
  { pageSize = 1_000, ...rest }: PageOptions,
  left: AbortSignal,
): AsyncGenerator<Page, void, void> {
  using linked = new LinkedSignal([rest.signal, left]);
  const { signal } = linked;
  const { serializable = false } = rest;
  const fetch = (start: Uint8Array, revision: RangeOptions['revision']): Promise<RangeMessage> => {
    const request = { ...rest, limit: pageSize, ...(revision !== undefined && { revision }) };
    return rpc.call(pageCall, () => rangeRequest({ key: start, rangeEnd }, request), { ...rest, signal });
  };
  let page = await fetch(key, rest.revision);
  const first = knownHeader(page.header);
  const wanted = BigInt(rest.revision ?? 0n);
  const revision = wanted === 0n ? first.revision : wanted;
  for (;;) {
    const next = nextStart(page);
    if (next === undefined) {
      yield { revision, kvs: page.kvs, more: false };
      return;
    }
    const following = fetch(next, revision).catch((error: unknown) => {
      // A member that lags may not have reached this revision.
      if (serializable || !isFutureRevision(error)) throw error;
      throw new StoreReplacedError(first, unknownState, { cause: error });
    });
    // Its failure is reported when it is its turn, if that turn comes.
    following.catch(() => {});
    yield { revision, kvs: page.kvs, more: true };
    page = await following;
    const header = knownHeader(page.header);
    if (!serializable && isReplaced(first, header)) throw new StoreReplacedError(first, header);
  }
}

const pageCall = idempotentCall(rangeMethod, (message: RangeMessage) => message, pageOptions);

/** Where the next page begins, if there is one: right after the last key of this page. */
function nextStart({ kvs, more }: RangeMessage): Uint8Array | undefined {
  if (!more) return undefined;
  const last = Array.isArray(kvs) ? kvs.at(-1) : kvs.last;
  return last && Buffer.concat([last.key, Uint8Array.of(0)]);
}
