import { invalidArgument, StatusCode, UnavailableError } from '../errors.js';
import { answer } from '../json.js';
import { idempotentCall, writeCall } from '../rpc/call.js';
import { ClusterService } from '../rpc/generated/etcdserverpb/methods.js';
import { Member as MemberMessage } from '../rpc/generated/etcdserverpb/rpc.js';
import { type CallControl, describeCall, type Rpc } from '../rpc/rpc.js';
import { parseEndpoint } from '../transport/endpoint.js';
import { toUint64 } from '../util/int64.js';
import { arrayOf, checkArgument, flag, type Kind, shown } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { withoutSecrets } from '../util/secrets.js';

/** One member of the cluster: etcd's `Member`. */
export interface Member {
  /** Unsigned 64-bit; etcdctl writes it in hexadecimal: `id.toString(16)`. */
  readonly id: bigint;
  /** Empty until the member has started. */
  readonly name: string;
  /** URLs at which other members reach it. */
  readonly peerUrls: readonly string[];
  /** URLs at which clients reach it; empty until the member has started. */
  readonly clientUrls: readonly string[];
  /** Whether the member is a learner, which receives the log but has no vote. */
  readonly isLearner: boolean;
}

/** Options of `memberList`. */
export interface MemberListOptions extends CallControl {
  /** `false` lets the member that receives the request answer on its own. Default true. */
  readonly linearizable?: boolean | undefined;
}

/** Options of `memberAdd`. */
export interface MemberAddOptions extends CallControl {
  /** Add the member without a vote. It can be promoted once it has caught up. Default false. */
  readonly isLearner?: boolean | undefined;
}

const memberListOptions = describeCall<MemberListOptions>('memberList()', { linearizable: flag });
const memberAddOptions = describeCall<MemberAddOptions>('memberAdd()', { isLearner: flag });

/** The result of `memberAdd`. */
export interface MemberAddResult {
  /** The new member. It has a name only once it has started. */
  readonly member: Member;
  /** All members, including the new one. */
  readonly members: Member[];
}

/**
 * The members of the cluster: etcd's service `Cluster`, available as `cluster` of a client.
 *
 * A refused change rejects with an `EtcdError`. Its code is `NOT_FOUND` for an unknown id; `FAILED_PRECONDITION` for a
 * change that would cost the quorum, for a peer URL of another member, and for promoting a member that isn't a learner
 * or hasn't caught up; `UNAVAILABLE` while the cluster is too unhealthy for a change. Its `details` are the server's
 * message.
 *
 * Reads are sent again while no server answers, changes only if the attempt before was certainly not applied.
 */
export class Cluster {
  readonly #rpc: Rpc;

  static {
    guardMethods<Cluster>(Cluster, (it) => #rpc in it, {
      promised: {
        memberList: 1,
        memberAdd: 2,
        memberPromote: 2,
        memberUpdate: 3,
        memberRemove: 2,
        syncEndpoints: 1,
      },
      direct: {},
    });
  }

  /** @internal */
  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  /** All members. etcd: `Cluster.MemberList`. */
  memberList(options: MemberListOptions = {}): Promise<Member[]> {
    const request = () => ({ linearizable: options.linearizable ?? true });
    return this.#rpc.call(calls.memberList, request, options);
  }

  /**
   * Adds a member to the configuration. Start it afterwards, with `--initial-cluster-state=existing`. etcd:
   * `Cluster.MemberAdd`.
   *
   * @param peerUrls the URLs at which the other members will reach it, such as `http://10.0.0.4:2380`.
   */
  memberAdd(peerUrls: readonly string[], options: MemberAddOptions = {}): Promise<MemberAddResult> {
    const request = () => ({
      peerURLs: checkPeerUrls(peerUrls),
      isLearner: options.isLearner ?? false,
    });
    return this.#rpc.call(calls.memberAdd, request, options);
  }

  /** Gives a vote to a learner that has caught up. Resolves with all members. etcd: `Cluster.MemberPromote`. */
  memberPromote(id: bigint, options: CallControl = {}): Promise<Member[]> {
    const request = () => ({ ID: toUint64('id', id) });
    return this.#rpc.call(calls.memberPromote, request, options);
  }

  /** Changes where other members reach a member. Resolves with all members. etcd: `Cluster.MemberUpdate`. */
  memberUpdate(id: bigint, peerUrls: readonly string[], options: CallControl = {}): Promise<Member[]> {
    const request = () => ({ ID: toUint64('id', id), peerURLs: checkPeerUrls(peerUrls) });
    return this.#rpc.call(calls.memberUpdate, request, options);
  }

  /** Removes a member for good. Resolves with the remaining members. etcd: `Cluster.MemberRemove`. */
  memberRemove(id: bigint, options: CallControl = {}): Promise<Member[]> {
    const request = () => ({ ID: toUint64('id', id) });
    return this.#rpc.call(calls.memberRemove, request, options);
  }

  /**
   * Replaces the client's endpoints with those that the members advertise to clients (`--advertise-client-urls`),
   * without learners. `autoSyncIntervalMs` of `connect()` does that regularly. etcd's Go client: `Sync`.
   *
   * @returns the endpoints.
   * @throws UnavailableError when no member advertises any. The endpoints then stay as they were.
   */
  async syncEndpoints(options: MemberListOptions = {}): Promise<string[]> {
    const members = await this.memberList(options);
    const endpoints = members
      .filter(({ name, isLearner }) => name !== '' && !isLearner)
      .flatMap(({ clientUrls }) => clientUrls);
    if (endpoints.length === 0) {
      throw new UnavailableError('no member of the cluster advertises a client URL', {
        code: StatusCode.UNAVAILABLE,
        method: ClusterService.memberList.path,
        sent: true,
      });
    }
    return this.#rpc.setEndpoints(endpoints);
  }
}

const PEER_URL = 'a URL such as http://10.0.0.4:2380, without a path';

const peerUrl: Kind<string> = {
  // etcd accepts no path, not even an empty one.
  fits: (value) =>
    typeof value === 'string' && parseEndpoint(value)?.scheme !== undefined && !/:\/\/.*\//.test(value),
  explain: (name, value) => {
    const what = typeof value === 'string' ? JSON.stringify(withoutSecrets(value)) : shown(value);
    return `${name} is ${what}; it must be ${PEER_URL}`;
  },
};

const somePeerUrls = arrayOf(peerUrl, `an array of at least one: ${PEER_URL}`);

function checkPeerUrls(urls: readonly string[]): string[] {
  checkArgument('peerUrls', somePeerUrls, urls);
  if (urls.length === 0) throw invalidArgument(`peerUrls is []; it must have at least one: ${PEER_URL}`);
  return [...urls];
}

function toMember({
  ID: id,
  name,
  peerURLs: peerUrls,
  clientURLs: clientUrls,
  isLearner,
}: MemberMessage): Member {
  return answer({ id, name, peerUrls, clientUrls, isLearner });
}

/** The result of an answer that lists the members. */
function toMembers({ members }: { readonly members: MemberMessage[] }): Member[] {
  return members.map(toMember);
}

const calls = {
  memberList: idempotentCall(ClusterService.memberList, toMembers, memberListOptions),
  memberPromote: writeCall(ClusterService.memberPromote, toMembers),
  memberUpdate: writeCall(ClusterService.memberUpdate, toMembers),
  memberRemove: writeCall(ClusterService.memberRemove, toMembers),
  memberAdd: writeCall(
    ClusterService.memberAdd,
    ({ member, members }): MemberAddResult => ({
      member: toMember(member ?? MemberMessage.fromPartial({})),
      members: members.map(toMember),
    }),
    memberAddOptions,
  ),
};
