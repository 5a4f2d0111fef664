import { StoreReplacedError } from '../errors.js';
import { answer } from '../json.js';
import { idempotentCall } from '../rpc/call.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import type { RangeMessage } from '../rpc/messages/range-response.js';
import { describeCall, type Rpc } from '../rpc/rpc.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import { isFutureRevision } from '../server-errors.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { Leavable } from '../util/item-iterator.js';
import { positiveInteger } from '../util/kinds.js';
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
import { NearEnds } from './near-ends.js';
import { type Answered, type Page, PageAssembler } from './page-assembler.js';

/** Options of `iterate` and `pages`. `timeoutMs` is the deadline of each request. */
export interface PageOptions extends Omit<RangeOptions, 'limit' | 'sortBy' | 'sortOrder' | 'countOnly'> {
  /**
   * Largest number of keys in one request. About two such pages are held in memory: the one that is used, and the next.
   * Default 1 000.
   */
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

const PAGE_SIZE = 1_000;

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
  const { pageSize = PAGE_SIZE, signal } = options;
  return leavable((left) => decodedPages(listsOf(rpc, range, options, left), pageSize, maker), signal);
}

/**
 * The keys of a range in portions. Each portion is decoded when it is needed. The signal is for those who take the keys one by one to
 * check.
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
  return leavable((left) => decodedPortions(listsOf(rpc, range, options, left), maker));
}

function leavable<T>(
  make: (left: AbortSignal) => AsyncGenerator<T, void, void>,
  signal?: AbortSignal,
): AsyncGenerator<T, void, void> {
  const leaving = new AbortController();
  return new Leavable(make(leaving.signal), () => leaving.abort(), signal);
}

async function* decodedPages<Entry>(
  answers: AsyncGenerator<Listed, void, void>,
  pageSize: number,
  maker: EntryMaker<Entry>,
): AsyncGenerator<RangePage<Entry>, void, void> {
  const assembler = new PageAssembler(pageSize);
  for await (const listed of answers) {
    const pages = assembler.take(listed);
    while (pages.length > 0) yield nextPage(pages, listed.revision, maker);
  }
}

async function* decodedPortions<Entry>(
  answers: AsyncGenerator<Listed, void, void>,
  maker: EntryMaker<Entry>,
): AsyncGenerator<Entry[], void, void> {
  for await (const listed of answers) {
    while (listed.keys !== undefined) yield nextPortion(listed, maker);
  }
}

// Functions of their own, so that no variable of a generator holds keys while the next ones are awaited.

/** Takes the first of these pages, and decodes it. */
function nextPage<Entry>(pages: Page[], revision: bigint, maker: EntryMaker<Entry>): RangePage<Entry> {
  const { parts, more } = pages.shift() as Page;
  const kvs = parts.flatMap(({ keys, length }) =>
    Array.isArray(keys) ? keys.map((kv) => maker.entry(kv)) : keys.take(length, maker),
  );
  return answer({ revision, kvs, more });
}

/** Takes the next keys of an answer, and decodes them. */
function nextPortion<Entry>(listed: Listed, maker: EntryMaker<Entry>): Entry[] {
  const { keys = [] } = listed;
  const isEncoded = !Array.isArray(keys);
  const portion = isEncoded ? keys.take(PORTION, maker) : keys.map((kv) => maker.entry(kv));
  if (!isEncoded || keys.isTaken) listed.keys = undefined;
  return portion;
}

/** Some consecutive keys of a range. */
interface Listed extends Answered {
  readonly revision: bigint;
}

/** All keys of a range. The next ones are requested while those before them are being used. */
async function* listsOf(
  rpc: Rpc,
  range: RangeBytes,
  { pageSize = PAGE_SIZE, ...rest }: PageOptions,
  left: AbortSignal,
): AsyncGenerator<Listed, void, void> {
  using linked = new LinkedSignal([rest.signal, left]);
  const { signal } = linked;
  const { serializable = false } = rest;
  const fetch = (keys: RangeBytes, revision: RangeOptions['revision']): Promise<RangeMessage> => {
    const request = { ...rest, limit: pageSize, ...(revision !== undefined && { revision }) };
    return rpc.call(pageCall, () => rangeRequest(keys, request), { ...rest, signal });
  };
  const ends = new NearEnds(range, pageSize);
  // In functions of their own, so that no variable holds an answer while the next one is awaited.
  const taken = (message: RangeMessage, revision: bigint) => {
    const next = ends.after(message);
    return { listed: { revision, keys: message.kvs, more: message.more, isEnd: next === undefined }, next };
  };
  const opened = (message: RangeMessage) => {
    const first = knownHeader(message.header);
    const revision = BigInt(rest.revision ?? 0n) || first.revision;
    return { first, revision, ...taken(message, revision) };
  };
  let { first, revision, listed, next } = opened(await fetch(range, rest.revision));
  while (next !== undefined) {
    const following = fetch(next, revision);
    // Its failure is reported when it is its turn, if that turn comes.
    following.catch(() => {});
    // Otherwise the request would be sent only when a loop over keys that are there has come to their end.
    await endOfTurn();
    yield listed;
    ({ listed, next } = taken(await ofSameStore(following, first, serializable), revision));
  }
  yield listed;
}

/** The answer, if it comes from the store that gave the first one. */
async function ofSameStore(
  answer: Promise<RangeMessage>,
  first: ResponseHeader,
  serializable: boolean,
): Promise<RangeMessage> {
  let message: RangeMessage;
  try {
    message = await answer;
  } catch (error) {
    // A member that lags may not have reached this revision.
    if (serializable || !isFutureRevision(error)) throw error;
    throw new StoreReplacedError(first, unknownState, { cause: error });
  }
  if (serializable) return message;
  const header = knownHeader(message.header);
  if (isReplaced(first, header)) throw new StoreReplacedError(first, header);
  return message;
}

const pageCall = idempotentCall(rangeMethod, (message: RangeMessage) => message, pageOptions);
