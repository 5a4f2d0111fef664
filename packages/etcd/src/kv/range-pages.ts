import { StoreReplacedError } from '../errors.js';
import { answer } from '../json.js';
import { idempotentCall } from '../rpc/call.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import type { RangeMessage } from '../rpc/messages/range-response.js';
import { describeCall, type Rpc } from '../rpc/rpc.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import { isFutureRevision } from '../server-errors.js';
import { Leavable } from '../util/item-iterator.js';
import { positiveInteger } from '../util/kinds.js';
import { LinkedSignal } from '../util/linked-signal.js';
import { endOfTurn } from '../util/timers.js';
import type { RangeBytes } from './key-range.js';
import {
  knownHeader,
  type RangeOptions,
  type ResponseHeader,
  rangeHints,
  rangeKinds,
  rangeMethod,
  rangeRequest,
} from './kv.js';
import { type Page, PageAssembler } from './page-assembler.js';

/** Options of `iterate` and `pages`. `timeoutMs` is the deadline of each request. */
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
  maker: EntryMaker<Entry>,
): AsyncGenerator<RangePage<Entry>, void, void> {
  pageOptions.check(options);
  return leavable((left) => decodedPages(pagesOf(rpc, range, options, left), maker));
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
  maker: EntryMaker<Entry>,
): AsyncGenerator<Entry[], void, void> {
  pageOptions.check(options);
  return leavable((left) => decodedPortions(pagesOf(rpc, range, options, left), maker));
}

function leavable<T>(
  make: (left: AbortSignal) => AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  const leaving = new AbortController();
  return new Leavable(make(leaving.signal), () => leaving.abort());
}

async function* decodedPages<Entry>(
  pages: AsyncGenerator<Page, void, void>,
  maker: EntryMaker<Entry>,
): AsyncGenerator<RangePage<Entry>, void, void> {
  for await (const { revision, parts, more } of pages) {
    const kvs = parts.flatMap((part) =>
      Array.isArray(part) ? part.map((kv) => maker.entry(kv)) : part.take(Number.POSITIVE_INFINITY, maker),
    );
    yield answer({ revision, kvs, more });
  }
}

async function* decodedPortions<Entry>(
  pages: AsyncGenerator<Page, void, void>,
  maker: EntryMaker<Entry>,
): AsyncGenerator<Entry[], void, void> {
  for await (const { parts } of pages) {
    // Removed, so that they aren't in memory while the next page is awaited.
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      if (Array.isArray(part)) {
        yield part.map((kv) => maker.entry(kv));
        continue;
      }
      for (let some = part.take(PORTION, maker); some.length > 0; some = part.take(PORTION, maker))
        yield some;
    }
  }
}

async function* pagesOf(
  rpc: Rpc,
  range: RangeBytes,
  { pageSize = 1_000, ...rest }: PageOptions,
  left: AbortSignal,
): AsyncGenerator<Page, void, void> {
  using linked = new LinkedSignal([rest.signal, left]);
  const { signal } = linked;
  const { serializable = false } = rest;
  const fetch = (
    keys: RangeBytes,
    limit: number,
    revision: RangeOptions['revision'],
  ): Promise<RangeMessage> => {
    const request = { ...rest, limit, ...(revision !== undefined && { revision }) };
    return rpc.call(pageCall, () => rangeRequest(keys, request), { ...rest, signal });
  };
  // No variable holds an answer while the next one is awaited.
  const { first, revision, assembler, ready } = open(
    await fetch(range, pageSize, rest.revision),
    range,
    pageSize,
    rest.revision,
  );
  for (let { next } = assembler; next !== undefined; next = assembler.next) {
    // There are two if it wasn't known at first that the one before isn't the last. No more than two are held.
    if (ready.length > 1) yield ready.shift() as Page;
    const following = fetch(next, next.limit, revision).catch((error: unknown) => {
      // A member that lags may not have reached this revision.
      if (serializable || !isFutureRevision(error)) throw error;
      throw new StoreReplacedError(first, unknownState, { cause: error });
    });
    // Its failure is reported when it is its turn, if that turn comes.
    following.catch(() => {});
    // Otherwise the request would be sent only when a loop over keys that are there has come to their end.
    await endOfTurn();
    while (ready.length > 0) yield ready.shift() as Page;
    ready.push(...assembler.take(serializable ? await following : ofSameStore(first, await following)));
  }
  while (ready.length > 0) yield ready.shift() as Page;
}

function open(
  message: RangeMessage,
  range: RangeBytes,
  pageSize: number,
  revision: RangeOptions['revision'],
) {
  const first = knownHeader(message.header);
  const wanted = BigInt(revision ?? 0n);
  const actual = wanted === 0n ? first.revision : wanted;
  const assembler = new PageAssembler(range, pageSize, actual);
  return { first, revision: actual, assembler, ready: assembler.take(message) };
}

function ofSameStore(first: ResponseHeader, message: RangeMessage): RangeMessage {
  const header = knownHeader(message.header);
  if (isReplaced(first, header)) throw new StoreReplacedError(first, header);
  return message;
}

const pageCall = idempotentCall(rangeMethod, (message: RangeMessage) => message, pageOptions);
