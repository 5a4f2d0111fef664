import { StoreReplacedError } from '../errors.js';
import { answer } from '../json.js';
import { type Call, idempotentCall } from '../rpc/call.js';
import { KVService } from '../rpc/generated/etcdserverpb/methods.js';
import type { RangeRequest, RangeResponse } from '../rpc/generated/etcdserverpb/rpc.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { describeCall, type Rpc } from '../rpc/rpc.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import { isFutureRevision } from '../server-errors.js';
import { positiveInteger } from '../util/kinds.js';
import type { RangeBytes } from './key-range.js';
import {
  type RangeOptions,
  type RangeResult,
  rangeHints,
  rangeKinds,
  rangeRequest,
  rangeResult,
  type ToEntry,
} from './kv.js';

/**
 * Options of `iterate` and `pages`. For each page etcd counts all that is left of the range, and with a filter on
 * revisions it reads all of that, too: for hundreds of thousands of keys take larger pages. `timeoutMs` is the deadline of each page.
 */
export interface PageOptions extends Omit<RangeOptions, 'limit' | 'sortBy' | 'sortOrder' | 'countOnly'> {
  /** Most keys to ask for at once. At most two such pages are held in memory. Default 1 000. */
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
  /** The revision that all pages are read at: `watch` from the one after it to see what changed since. */
  readonly revision: bigint;
  readonly kvs: Entry[];
  /** Whether there is another page. */
  readonly more: boolean;
}

interface FetchedPage<Entry> extends RangeResult<Entry> {
  /** Where the next page begins: right after the last key of this one. */
  readonly next: Uint8Array | undefined;
}

/**
 * The pages of a range, each asked for while the one before it is being used.
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
  return pagesOf(rpc, range, options, toEntry);
}

async function* pagesOf<Entry>(
  rpc: Rpc,
  { key, rangeEnd }: RangeBytes,
  { pageSize = 1_000, ...rest }: PageOptions,
  toEntry: ToEntry<Entry>,
): AsyncGenerator<RangePage<Entry>, void, void> {
  const { serializable = false } = rest;
  const call = pageCall(toEntry);
  const fetch = (start: Uint8Array, revision: RangeOptions['revision']): Promise<FetchedPage<Entry>> => {
    const request = { ...rest, limit: pageSize, ...(revision !== undefined && { revision }) };
    return rpc.call(call, () => rangeRequest({ key: start, rangeEnd }, request), rest);
  };
  let page = await fetch(key, rest.revision);
  const wanted = BigInt(rest.revision ?? 0n);
  const revision = wanted === 0n ? page.revision : wanted;
  const { header: first } = page;
  for (;;) {
    const { kvs, next } = page;
    if (next === undefined) {
      yield answer({ revision, kvs, more: false });
      return;
    }
    const following = fetch(next, revision).catch((error: unknown) => {
      // A member that lags may not have reached this revision.
      if (serializable || !isFutureRevision(error)) throw error;
      throw new StoreReplacedError(first, unknownState, { cause: error });
    });
    // Its failure is reported when it is its turn, if that comes.
    following.catch(() => {});
    yield answer({ revision, kvs, more: true });
    page = await following;
    if (!serializable && isReplaced(first, page.header)) throw new StoreReplacedError(first, page.header);
  }
}

function pageCall<Entry>(toEntry: ToEntry<Entry>): Call<RangeRequest, RangeResponse, FetchedPage<Entry>> {
  return idempotentCall(
    KVService.range,
    (response) => {
      const last = response.kvs.at(-1)?.key;
      const next = response.more && last !== undefined ? Buffer.concat([last, Uint8Array.of(0)]) : undefined;
      return { ...rangeResult(response, toEntry), next };
    },
    pageOptions,
  );
}
