import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type ClusterMismatchError, StoreReplacedError, type StoreState } from '../errors.js';
import { ResponseHeader } from './generated/etcdserverpb/rpc.js';

/** Field 1 of every response of etcd, `header`. */
const HEADER_TAG = 0x0a;
/** Its field 1, `cluster_id`. */
const CLUSTER_ID_TAG = 0x08;
const MEMBER_ID_TAG = 0x10;
const REVISION_TAG = 0x18;

/** Integers of at most this many bytes are exact as a number. */
const EXACT_BYTES = 7;

/** The header of a response from etcd; `undefined` where there is none, or none that can be read. */
export function headerOf(message: Uint8Array): ResponseHeader | undefined {
  if (message[0] !== HEADER_TAG) return undefined;
  const reader = new BinaryReader(message);
  try {
    reader.uint32();
    return ResponseHeader.decode(reader, reader.uint32());
  } catch {
    // Whoever decodes the response reports that.
    return undefined;
  }
}

/**
 * What a client has seen of its store: the cluster, and the highest revision. From that, the parts of a client that
 * remember revisions learn when the store was replaced.
 */
export class Store {
  #clusterId = 0n;
  /** `cluster_id` as it is encoded in a header, with its tag; empty before the first response. */
  #clusterIdBytes = new Uint8Array(0);
  /** The highest revision that was seen. It is a number, since it is compared for each response. */
  #revision = 0;
  /** The last header on a stream from each member, for the member's raft term. */
  readonly #members = new Map<bigint, ResponseHeader>();
  readonly #listeners = new Set<(error: StoreReplacedError) => void>();

  /** 0 before the first response. */
  get clusterId(): bigint {
    return this.#clusterId;
  }

  /** The highest revision that was seen. */
  get revision(): bigint {
    return BigInt(this.#revision);
  }

  /** What was seen of the store, with the raft term of a member. */
  seenWith(memberId: bigint): MemberState {
    const raftTerm = this.#members.get(memberId)?.raftTerm ?? 0n;
    return { clusterId: this.#clusterId, memberId, revision: this.revision, raftTerm };
  }

  /**
   * Whether a response is from this cluster. If so, its revision has been seen. A response without a header passes.
   *
   * Called for each response, so it looks at the bytes and decodes nothing.
   */
  takes(message: Uint8Array): boolean {
    const id = this.#clusterIdBytes;
    const length = id.length;
    if (length === 0 || message[0] !== HEADER_TAG || message[2] !== CLUSTER_ID_TAG)
      return this.#takesUnknown(message);
    let at = 2;
    for (let i = 0; i < length; i++) if (message[at++] !== id[i]) return this.#takesUnknown(message);
    if (message[at] === MEMBER_ID_TAG) {
      at += 1;
      while ((message[at] as number) >= 0x80) at += 1;
      at += 1;
    }
    if (message[at] !== REVISION_TAG) return true;
    const headerEnd = 2 + (message[1] as number);
    let revision = 0;
    let scale = 1;
    for (const end = at + EXACT_BYTES; at < end; scale *= 0x80) {
      at += 1;
      const byte = message[at] as number;
      revision += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (revision > this.#revision && at < headerEnd) this.#revision = revision;
        break;
      }
    }
    return true;
  }

  /** The last response on a stream had this header. */
  sawLast(header: ResponseHeader): void {
    const known = this.#members.get(header.memberId)?.raftTerm ?? 0n;
    if (header.clusterId === this.#clusterId && header.raftTerm >= known) {
      this.#members.set(header.memberId, header);
    }
  }

  /** Reports to all parts that remember a revision that the store was replaced, or has gone back. */
  replacedBy(now: ResponseHeader, cause?: ClusterMismatchError): void {
    const seen = this.seenWith(now.memberId);
    // Where the term decides, the revision seen last is that of the new store.
    const byTerm = now.clusterId === seen.clusterId && now.revision >= seen.revision;
    const before = byTerm ? (this.#members.get(now.memberId) ?? seen) : seen;
    const error = new StoreReplacedError(stateOf(before), stateOf(now), { cause });
    this.#members.clear();
    this.#begin(now);
    for (const listener of [...this.#listeners]) listener(error);
  }

  /** Calls the listener whenever the store is replaced, until the returned function is called. */
  onReplaced(listener: (error: StoreReplacedError) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #takesUnknown(message: Uint8Array): boolean {
    const header = headerOf(message);
    if (header === undefined || header.clusterId === 0n) return true;
    if (this.#clusterId === 0n) this.#begin(header);
    return header.clusterId === this.#clusterId;
  }

  #begin({ clusterId, revision }: ResponseHeader): void {
    this.#clusterId = clusterId;
    this.#revision = Number(revision);
    this.#clusterIdBytes = ResponseHeader.encode(ResponseHeader.fromPartial({ clusterId })).finish();
  }
}

function stateOf({ clusterId, revision, raftTerm }: StoreState): StoreState {
  return { clusterId, revision, raftTerm };
}

/** The state of a store about which nothing is known. */
export const unknownState: StoreState = Object.freeze({ clusterId: 0n, revision: 0n, raftTerm: 0n });

/** The state of a store, as a member reports it. What isn't known is 0 or absent. */
export interface MemberState extends StoreState {
  readonly memberId?: bigint;
}

/**
 * Whether a later answer of the cluster shows that the store was replaced in between. The raft term decides only where
 * both answers are from one member: it is the term of the last applied entry, and a member that received a snapshot
 * doesn't know it.
 */
export function isReplaced(before: MemberState, now: MemberState): boolean {
  const lower = (was: bigint, is: bigint): boolean => was !== 0n && is !== 0n && is < was;
  return (
    (before.clusterId !== 0n && now.clusterId !== 0n && now.clusterId !== before.clusterId) ||
    lower(before.revision, now.revision) ||
    (now.memberId === before.memberId && lower(before.raftTerm, now.raftTerm))
  );
}
