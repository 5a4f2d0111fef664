import { errorOfCode, StatusCode } from '../errors.js';
import { answer } from '../json.js';
import { idempotentCall, nothing, readCall, writeCall } from '../rpc/call.js';
import { ClusterService, MaintenanceService } from '../rpc/generated/etcdserverpb/methods.js';
import {
  type AlarmMember,
  type AlarmRequest,
  AlarmRequest_AlarmAction,
  AlarmType as AlarmTypeMessage,
  DowngradeRequest_DowngradeAction,
  type HashKVResponse,
  type StatusResponse,
} from '../rpc/generated/etcdserverpb/rpc.js';
import { type CallControl, callControl, describeCall, type Rpc } from '../rpc/rpc.js';
import { isNotLeader } from '../server-errors.js';
import { type Int64, int64, optionalInt64, toUint64, uint64 } from '../util/int64.js';
import { checkArgument, type Kind, kind, oneOf } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { Description } from '../util/options.js';
import { monotonicMs } from '../util/timers.js';
import { pause } from '../util/wait.js';
import {
  checkFile,
  Snapshot,
  type SnapshotInfo,
  type SnapshotOptions,
  snapshotOptions,
  writeSnapshot,
} from './snapshot.js';

/** The state that one member reports: etcd's `StatusResponse`. */
export interface MemberStatus {
  /** Id of the cluster. */
  readonly clusterId: bigint;
  /** Id of the member that answered. */
  readonly memberId: bigint;
  /** Revision of its store. */
  readonly revision: bigint;
  /** Version of its etcd, such as `3.6.6`. */
  readonly version: string;
  /** Version of its database file's format, such as `3.6.0`; empty before etcd 3.6. */
  readonly storageVersion: string;
  /** Size of its database file, in bytes. */
  readonly dbSize: bigint;
  /** How much of the file is in use, in bytes. `defragment` frees the rest. */
  readonly dbSizeInUse: bigint;
  /** Size at which the alarm `nospace` is raised, in bytes; 0 before etcd 3.6. */
  readonly dbSizeQuota: bigint;
  /** Id of the leader, as far as the member knows; 0 for none. */
  readonly leader: bigint;
  /** Whether it is a learner, which has no vote. */
  readonly isLearner: boolean;
  readonly raftTerm: bigint;
  /** Last committed entry of the raft log. */
  readonly raftIndex: bigint;
  /** The last entry that the member has applied. */
  readonly raftAppliedIndex: bigint;
  /** Active alarms, and a missing leader, as etcd words them. */
  readonly errors: readonly string[];
  /** The version to which the cluster is being downgraded; `undefined` if it isn't. */
  readonly downgradeTo: string | undefined;
}

/** `nospace`: the quota is used up, and only reads and deletes are served. `corrupt`: the members' data differ. */
export type AlarmType = 'nospace' | 'corrupt';

/** An alarm of one member: etcd's `AlarmMember`. */
export interface Alarm {
  readonly memberId: bigint;
  readonly type: AlarmType;
}

/** Options of `hashKV`. */
export interface HashKVOptions extends CallControl {
  /** Hash the changes up to this revision. Default: all. */
  readonly revision?: Int64 | undefined;
}

const hashKvOptions = describeCall<HashKVOptions>('hashKV()', { revision: int64 });

/** A member's hash of its keys' history. For equal revisions, members in step have equal hashes. */
export interface HashKVResult {
  /** Id of the member that answered. */
  readonly memberId: bigint;
  /** CRC-32, unsigned. */
  readonly hash: number;
  /** Revision up to which the hash was taken. */
  readonly hashRevision: bigint;
  /**
   * Revision to which the store was compacted at that time; -1 where it never was. Hashes can be compared only if these
   * revisions are equal, too.
   */
  readonly compactRevision: bigint;
}

/** How soon {@link Maintenance.moveLeader} looks for the leader again, in ms. */
const LEADER_MS = 50;

/**
 * Maintenance of members: etcd's service `Maintenance`, available as `maintenance` of a client. Calls for one member
 * take its endpoint, which need not be one of the client's endpoints. As in clientv3, they use a separate connection,
 * which stays until the client closes.
 *
 * Reads are sent again while no server answers, changes only if the attempt before was certainly not applied.
 */
export class Maintenance {
  readonly #rpc: Rpc;

  static {
    guardMethods<Maintenance>(Maintenance, (it) => #rpc in it, {
      promised: {
        status: 2,
        alarmList: 1,
        alarmArm: 2,
        alarmDisarm: 2,
        alarmDisarmAll: 1,
        defragment: 2,
        hash: 2,
        hashKV: 2,
        snapshotTo: 2,
        moveLeader: 2,
        downgradeValidate: 2,
        downgradeEnable: 2,
        downgradeCancel: 1,
      },
      direct: { snapshot: 1 },
    });
  }

  /** @internal */
  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  /** Reads the state of one member. With authentication on, etcd answers only users. etcd: `Maintenance.Status`. */
  async status(endpoint: string, options: CallControl = {}): Promise<MemberStatus> {
    return this.#rpc.at(endpoint).call(calls.status, () => ({}), options);
  }

  /** Lists the active alarms of all members. etcd: `Maintenance.Alarm` with action `GET`. */
  alarmList(options: CallControl = {}): Promise<Alarm[]> {
    const request = () => alarmRequest(AlarmRequest_AlarmAction.GET, undefined);
    return this.#rpc.call(calls.alarmList, request, options);
  }

  /**
   * Raises an alarm as etcd itself does, for testing code that depends on it. Resolves with the raised alarms. etcd:
   * `Maintenance.Alarm` with action `ACTIVATE`.
   */
  alarmArm(alarm: Alarm, options: CallControl = {}): Promise<Alarm[]> {
    const request = () => alarmRequest(AlarmRequest_AlarmAction.ACTIVATE, checkAlarm(alarm));
    return this.#rpc.call(calls.alarmChange, request, options);
  }

  /**
   * Clears an alarm. Remove its cause first: for `nospace`, compact and {@link defragment}. Resolves with the cleared
   * alarms: none if it wasn't active. etcd: `Maintenance.Alarm` with action `DEACTIVATE`.
   */
  alarmDisarm(alarm: Alarm, options: CallControl = {}): Promise<Alarm[]> {
    const request = () => alarmRequest(AlarmRequest_AlarmAction.DEACTIVATE, checkAlarm(alarm));
    return this.#rpc.call(calls.alarmChange, request, options);
  }

  /** Clears all alarms, one after another. Resolves with the cleared alarms. */
  async alarmDisarmAll(options: CallControl = {}): Promise<Alarm[]> {
    const cleared: Alarm[] = [];
    for (const alarm of await this.alarmList(options)) {
      cleared.push(...(await this.alarmDisarm(alarm, options)));
    }
    return cleared;
  }

  /**
   * Returns the unused space of one member's database file to its file system. The member answers no other call
   * meanwhile, so defragment one member after another. Give a `timeoutMs` that fits the size: a few seconds for each
   * GiB. After that time the member finishes anyway. etcd: `Maintenance.Defragment`.
   */
  async defragment(endpoint: string, options: CallControl = {}): Promise<void> {
    return this.#rpc.at(endpoint).call(calls.defragment, () => ({}), options);
  }

  /**
   * Reads the CRC-32 of one member's whole database. The database isn't locked meanwhile, so this is for tests on a
   * store at rest. Use {@link hashKV} to compare members in use. etcd: `Maintenance.Hash`.
   */
  async hash(endpoint: string, options: CallControl = {}): Promise<number> {
    return this.#rpc.at(endpoint).call(calls.hash, () => ({}), options);
  }

  /** Reads the hash of one member's keys and their history, to compare members. etcd: `Maintenance.HashKV`. */
  async hashKV(endpoint: string, options: HashKVOptions = {}): Promise<HashKVResult> {
    const request = () => ({ revision: optionalInt64(options.revision) });
    return this.#rpc.at(endpoint).call(calls.hashKV, request, options);
  }

  /**
   * Copies a member's whole database in its present state, as a stream of bytes for one loop. Its SHA-256 is verified
   * at the end. {@link snapshotTo} writes it to a file. There is no deadline unless one is given. etcd:
   * `Maintenance.Snapshot`.
   *
   * If no server answers, the loop asks again until `timeoutMs` has passed, or the client's `timeoutMs` if none is
   * given. It asks another member if there is one. A snapshot that breaks after its first bytes have arrived isn't
   * taken again.
   *
   * @throws InvalidArgumentError and ClosedError, at once. The loop throws other errors.
   */
  snapshot(options: SnapshotOptions = {}): Snapshot {
    snapshotOptions.check(options);
    const { endpoint, signal, timeoutMs } = options;
    const rpc = endpoint === undefined ? this.#rpc : this.#rpc.at(endpoint);
    const control = { ...(signal && { signal }), ...(timeoutMs !== undefined && { timeoutMs }) };
    const deadline = monotonicMs() + (timeoutMs ?? Number.POSITIVE_INFINITY);
    return new Snapshot({
      signal,
      open: () => {
        const left = timeoutMs !== undefined && { timeoutMs: Math.max(1, deadline - monotonicMs()) };
        return rpc.stream(MaintenanceService.snapshot, { ...control, ...left });
      },
      mayReopen: (stream, error, attempts, since, until) => {
        const last = Math.min(deadline, since + rpc.timeoutOf(options));
        return rpc.mayReopen(stream, error, attempts, last, until);
      },
      inWords: (stream, error, answered) => rpc.inWordsOf(stream, error, control, answered),
    });
  }

  /**
   * Saves a {@link snapshot} to a file that `etcdutl snapshot restore` accepts. The file is created or replaced only
   * once the snapshot is complete, verified and on disk. Until then it is written beside it, as `<file>.part-…`. Only
   * its owner may read the file, because it holds all keys and password hashes. Through a symbolic link, the file that it
   * leads to is replaced.
   *
   * @throws CorruptSnapshotError; InvalidArgumentError when no file can be created under that name, or when it names a
   * directory, a device or a pipe;
   * `RESOURCE_EXHAUSTED` when the disk is full, and `UNAVAILABLE` when the file can't be written for another reason,
   * with the file system's error as the cause.
   */
  async snapshotTo(file: string, options: SnapshotOptions = {}): Promise<SnapshotInfo> {
    checkFile(file);
    snapshotOptions.check(options);
    return await writeSnapshot(file, () => this.snapshot(options));
  }

  /**
   * Makes another member the leader. The request goes to the present leader, at the client URL that it advertises; if
   * that leads no more when the request comes, to its successor. Resolves once the other member leads. etcd:
   * `Maintenance.MoveLeader`.
   *
   * @param transfereeId id of the member to lead: see `memberId` of {@link status} and `cluster.memberList()`.
   * @throws UnavailableError when there is no leader.
   */
  async moveLeader(transfereeId: bigint, options: CallControl = {}): Promise<void> {
    callControl.check(options);
    const targetID = toUint64('transfereeId', transfereeId);
    const deadline = monotonicMs() + this.#rpc.timeoutOf(options);
    const request = () => ({ targetID });
    for (;;) {
      const endpoint = await this.#leaderEndpoint(options);
      const timeoutMs = Math.max(1, deadline - monotonicMs());
      try {
        return await this.#rpc.at(endpoint).call(calls.moveLeader, request, { ...options, timeoutMs });
      } catch (error) {
        if (!isNotLeader(error) || monotonicMs() + LEADER_MS >= deadline) throw error;
        await pause(LEADER_MS, options.signal);
      }
    }
  }

  /**
   * Checks whether the cluster can be downgraded to a version, one minor below its own, such as `3.5`. Resolves with
   * the cluster's version, or rejects with code `FAILED_PRECONDITION` or `INVALID_ARGUMENT` when it can't. etcd:
   * `Maintenance.Downgrade`.
   */
  downgradeValidate(version: string, options: CallControl = {}): Promise<string> {
    return this.#downgrade(DowngradeRequest_DowngradeAction.VALIDATE, version, options);
  }

  /**
   * Starts a downgrade. From then on, members of that version may replace the present ones, one by one. Resolves with
   * the cluster's version. etcd: `Maintenance.Downgrade`.
   */
  downgradeEnable(version: string, options: CallControl = {}): Promise<string> {
    return this.#downgrade(DowngradeRequest_DowngradeAction.ENABLE, version, options);
  }

  /** Ends a downgrade that hasn't finished. Resolves with the cluster's version. etcd: `Maintenance.Downgrade`. */
  downgradeCancel(options: CallControl = {}): Promise<string> {
    return this.#downgrade(DowngradeRequest_DowngradeAction.CANCEL, undefined, options);
  }

  #downgrade(
    action: DowngradeRequest_DowngradeAction,
    version: string | undefined,
    options: CallControl,
  ): Promise<string> {
    const request = () => ({
      action,
      version: action === DowngradeRequest_DowngradeAction.CANCEL ? '' : checkVersion(version),
    });
    return this.#rpc.call(calls.downgrade, request, options);
  }

  async #leaderEndpoint(options: CallControl): Promise<string> {
    const [{ leader }, members] = await Promise.all([
      this.#rpc.call(calls.status, () => ({}), options),
      this.#rpc.call(calls.clientUrls, () => ({ linearizable: true }), options),
    ]);
    const endpoint = members.get(leader)?.[0];
    if (endpoint !== undefined) return endpoint;
    throw errorOfCode('the cluster has no leader now; try again after an election', {
      code: StatusCode.UNAVAILABLE,
      method: MaintenanceService.moveLeader.path,
      sent: false,
    });
  }
}

const alarmTypes: Record<AlarmType, AlarmTypeMessage> = {
  nospace: AlarmTypeMessage.NOSPACE,
  corrupt: AlarmTypeMessage.CORRUPT,
};

function alarmRequest(action: AlarmRequest_AlarmAction, alarm: Alarm | undefined): AlarmRequest {
  return {
    action,
    memberID: alarm === undefined ? 0n : alarm.memberId,
    alarm: alarm === undefined ? AlarmTypeMessage.NONE : alarmTypes[alarm.type],
  };
}

const alarmFields = new Description<Alarm>(
  'an alarm',
  { memberId: uint64, type: oneOf('nospace', 'corrupt') },
  { required: ['memberId', 'type'], example: "{ memberId, type: 'nospace' }" },
);

function checkAlarm(alarm: Alarm): Alarm {
  alarmFields.check(alarm);
  return alarm;
}

const versionKind: Kind<string> = kind(
  (version) => typeof version === 'string' && /^\d+\.\d+(\.\d+)?$/.test(version),
  "such as '3.5'",
);

function checkVersion(version: string | undefined): string {
  checkArgument('version', versionKind, version);
  return version;
}

const calls = {
  status: idempotentCall(MaintenanceService.status, memberStatus),
  alarmList: readCall(MaintenanceService.alarm, ({ alarms }) => alarms.map(toAlarm)),
  alarmChange: writeCall(MaintenanceService.alarm, ({ alarms }) => alarms.map(toAlarm)),
  defragment: writeCall(MaintenanceService.defragment, nothing),
  hash: idempotentCall(MaintenanceService.hash, ({ hash }) => hash),
  hashKV: idempotentCall(MaintenanceService.hashKV, hashKVResult, hashKvOptions),
  moveLeader: writeCall(MaintenanceService.moveLeader, nothing),
  downgrade: writeCall(MaintenanceService.downgrade, ({ version }) => version),
  clientUrls: idempotentCall(
    ClusterService.memberList,
    ({ members }) => new Map(members.map(({ ID, clientURLs }) => [ID, clientURLs])),
  ),
};

function memberStatus({ header, downgradeInfo, ...status }: StatusResponse): MemberStatus {
  return answer({
    clusterId: header?.clusterId ?? 0n,
    memberId: header?.memberId ?? 0n,
    revision: header?.revision ?? 0n,
    ...status,
    downgradeTo: downgradeInfo?.enabled ? downgradeInfo.targetVersion : undefined,
  });
}

function toAlarm({ memberID: memberId, alarm }: AlarmMember): Alarm {
  return answer({ memberId, type: alarm === AlarmTypeMessage.CORRUPT ? 'corrupt' : 'nospace' });
}

function hashKVResult({ header, hash, hashRevision, compactRevision }: HashKVResponse): HashKVResult {
  return answer({ memberId: header?.memberId ?? 0n, hash, hashRevision, compactRevision });
}
