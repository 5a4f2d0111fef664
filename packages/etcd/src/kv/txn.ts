import { EtcdError, invalidArgument, StatusCode } from '../errors.js';
import { Answer } from '../json.js';
import { type Call, readCall, writeCall } from '../rpc/call.js';
import { KVService } from '../rpc/generated/etcdserverpb/methods.js';
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type Compare as CompareMessage,
  type PutRequest,
  type RequestOp,
  type TxnRequest,
} from '../rpc/generated/etcdserverpb/rpc.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import { type OpMessage, TxnMessage } from '../rpc/messages/txn-response.js';
import { type CallControl, describeCall } from '../rpc/rpc.js';
import { type Int64, toInt64, toSignedInt64 } from '../util/int64.js';
import { anything, type Kind, list, oneOf, type Shape, shown } from '../util/kinds.js';
import { guardFunctions } from '../util/methods.js';
import { type CountFitting, Description, type Hints, type Kinds } from '../util/options.js';
import { isEndless, type KeyRange, oneKey } from './key-range.js';
import {
  type DeleteOptions,
  type DeleteResult,
  deleteRequest,
  deleteResult,
  type KvMapping,
  knownHeader,
  type OpOptions,
  opOptions,
  type PutOptions,
  type PutResult,
  putRequest,
  putResult,
  type RangeOptions,
  type RangeResult,
  type ReadOptions,
  type ResponseHeader,
  rangeRequest,
  rangeResult,
} from './kv.js';

/** How a comparison compares, in clientv3's words. */
export type CompareOperator = '=' | '!=' | '<' | '>';

/** The property of a key that is compared with a number. All are 0 if the key doesn't exist. */
export type CompareNumber = 'version' | 'createRevision' | 'modRevision' | 'lease';

/** A condition of a transaction, made by {@link compare}. On a range it must hold for each of its keys. */
export type Compare<Key, Value> = NumberCompare<Key> | ValueCompare<Key, Value>;

/** A comparison with a number. */
export interface NumberCompare<Key> {
  readonly target: CompareNumber;
  readonly keys: Key | KeyRange;
  readonly operator: CompareOperator;
  readonly operand: Int64;
}

/** A comparison of values, in byte order. It doesn't hold if the key doesn't exist. */
export interface ValueCompare<Key, Value> {
  readonly target: 'value';
  readonly keys: Key | KeyRange;
  readonly operator: CompareOperator;
  readonly operand: Value;
}

/** Reads one key in a transaction. */
export interface GetOp<Key> {
  readonly type: 'get';
  readonly key: Key;
  readonly options: OpOptions<ReadOptions>;
}

/** Reads a range in a transaction. */
export interface RangeOp<Key> {
  readonly type: 'range';
  readonly keys: Key | KeyRange;
  readonly options: OpOptions<RangeOptions>;
}

/** Writes a key in a transaction. */
export interface PutOp<Key, Value> {
  readonly type: 'put';
  readonly key: Key;
  readonly value: Value;
  readonly options: OpOptions<PutOptions>;
}

/** Deletes a key or a range in a transaction. */
export interface DeleteOp<Key> {
  readonly type: 'delete';
  readonly keys: Key | KeyRange;
  readonly options: OpOptions<DeleteOptions>;
}

/** A nested transaction. */
export interface TxnOp<Key, Value> extends Txn<Key, Value> {
  readonly type: 'txn';
}

/** An operation of a transaction, made by {@link op}. */
export type Op<Key, Value> =
  | GetOp<Key>
  | RangeOp<Key>
  | PutOp<Key, Value>
  | DeleteOp<Key>
  | TxnOp<Key, Value>;

/** A transaction, named as etcd's `TxnRequest` names its parts. */
export interface Txn<Key, Value> {
  /** Conditions that must all hold for `success`. Default: none, so `success` is carried out. */
  readonly compare?: readonly Compare<Key, Value>[] | undefined;
  /** Operations that are carried out, in order, if all conditions hold. */
  readonly success?: readonly Op<Key, Value>[] | undefined;
  /** Operations that are carried out, in order, otherwise. */
  readonly failure?: readonly Op<Key, Value>[] | undefined;
}

/** Refuses fields that a transaction doesn't have, such as a misspelt `success`: their type is `never`. */
export type NoOtherFields<T> = {
  readonly [Name in Exclude<keyof T, keyof TxnOp<unknown, unknown>>]: never;
};

const txnKinds: Kinds<Txn<unknown, unknown>> = {
  compare: list as Kind<readonly Compare<unknown, unknown>[]>,
  success: list as Kind<readonly Op<unknown, unknown>[]>,
  failure: list as Kind<readonly Op<unknown, unknown>[]>,
};

const txnHints: Hints = {
  ...Object.fromEntries([
    ['if', 'did you mean compare?'],
    ['then', 'did you mean success?'],
    ['else', 'did you mean failure?'],
  ]),
  compares: 'did you mean compare?',
  comparisons: 'did you mean compare?',
  conditions: 'did you mean compare?',
  onSuccess: 'did you mean success?',
  onFailure: 'did you mean failure?',
  timeoutMs: 'give it in the second argument',
  signal: 'give it in the second argument',
};

const count = (one: boolean, two: boolean, three: boolean, four = false): number =>
  Number(one) + Number(two) + Number(three) + Number(four);

const txnFields = new Description<Txn<unknown, unknown>>(
  'a transaction',
  txnKinds,
  { hints: txnHints, example: '{ compare: […], success: […], failure: […] }' },
  ({ compare, success, failure }) =>
    count(Array.isArray(compare), Array.isArray(success), Array.isArray(failure)),
);
const txnOpFields = new Description<TxnOp<unknown, unknown>>(
  'a transaction',
  { ...txnKinds, type: oneOf('txn') },
  { hints: txnHints, example: '{ compare: […], success: […], failure: […] }' },
);
const txnOptions = describeCall<CallControl>('txn()', {});

/** The result of one operation of a transaction whose view returns `Entry`. */
export type OpResult<Operation, Entry> = Operation extends { readonly type: 'get' }
  ? Entry | undefined
  : Operation extends { readonly type: 'range' }
    ? RangeResult<Entry>
    : Operation extends { readonly type: 'put' }
      ? PutResult<Entry>
      : Operation extends { readonly type: 'delete' }
        ? DeleteResult<Entry>
        : Operation extends { readonly type: 'txn' }
          ? TxnResult<Operation, Entry>
          : never;

/** The results of a list of operations, one for each, in order. */
export type OpResults<Operations, Entry> = Operations extends readonly unknown[]
  ? { [Index in keyof Operations]: OpResult<Operations[Index], Entry> }
  : [];

/** The result of a transaction. `succeeded` says which branch was carried out, for the types, too. */
export type TxnResult<T, Entry> =
  | TxnBranch<true, OpResults<'success' extends keyof T ? T['success'] : undefined, Entry>>
  | TxnBranch<false, OpResults<'failure' extends keyof T ? T['failure'] : undefined, Entry>>;

/** One of the two outcomes of a transaction. */
export interface TxnBranch<Succeeded extends boolean, Responses> {
  readonly header: ResponseHeader;
  /** Revision of the store after the transaction: the transaction's own if it changed anything. */
  readonly revision: bigint;
  /** Whether all conditions held, so that `success` was carried out and not `failure`. */
  readonly succeeded: Succeeded;
  /** The results of the branch that was carried out, one for each operation. */
  readonly responses: Responses;
}

const none = {};

/** Makes the operations of transactions. */
export const op = {
  /** Reads a key, as the call `get` does. */
  get<Key>(key: Key, options: OpOptions<ReadOptions> = none): GetOp<Key> {
    return { type: 'get', key, options };
  },
  /** Reads a range, as the call `range` does. */
  range<Key>(keys: Key | KeyRange, options: OpOptions<RangeOptions> = none): RangeOp<Key> {
    return { type: 'range', keys, options };
  },
  /** Sets the value of a key, as the call `put` does. One transaction can't write the same key twice. */
  put<Key, Value>(key: Key, value: Value, options: OpOptions<PutOptions> = none): PutOp<Key, Value> {
    return { type: 'put', key, value, options };
  },
  /** Deletes a key or a range, as the call `delete` does. */
  delete<Key>(keys: Key | KeyRange, options: OpOptions<DeleteOptions> = none): DeleteOp<Key> {
    return { type: 'delete', keys, options };
  },
  /**
   * Makes a nested transaction, with conditions of its own. etcd checks all conditions before any operation, so they
   * see the keys as they were before the outer transaction.
   */
  txn<const T extends Txn<unknown, unknown>>(txn: T & NoOtherFields<T>): T & { readonly type: 'txn' } {
    txnFields.check(txn);
    return { ...txn, type: 'txn' };
  },
};

guardFunctions('op', op, { promised: {}, direct: { get: 2, range: 2, put: 3, delete: 2, txn: 1 } });

/** Makes the conditions of transactions. */
export const compare = {
  /** Compares the number of puts since the key was created; 0 if the key doesn't exist. */
  version<Key>(keys: Key | KeyRange, operator: CompareOperator, operand: Int64): NumberCompare<Key> {
    return { target: 'version', keys, operator, operand };
  },
  /** Compares the revision that created the key; 0 if the key doesn't exist. */
  createRevision<Key>(keys: Key | KeyRange, operator: CompareOperator, operand: Int64): NumberCompare<Key> {
    return { target: 'createRevision', keys, operator, operand };
  },
  /** Compares the revision of the last change of the key; 0 if the key doesn't exist. */
  modRevision<Key>(keys: Key | KeyRange, operator: CompareOperator, operand: Int64): NumberCompare<Key> {
    return { target: 'modRevision', keys, operator, operand };
  },
  /** Compares the id of the lease that the key is attached to; 0 for none, or if the key doesn't exist. */
  lease<Key>(keys: Key | KeyRange, operator: CompareOperator, operand: Int64): NumberCompare<Key> {
    return { target: 'lease', keys, operator, operand };
  },
  /** Compares the value, in byte order. Doesn't hold if the key doesn't exist. */
  value<Key, Value>(
    keys: Key | KeyRange,
    operator: CompareOperator,
    operand: Value,
  ): ValueCompare<Key, Value> {
    return { target: 'value', keys, operator, operand };
  },
  /** Requires that the key exists. */
  exists<Key>(key: Key): NumberCompare<Key> {
    return { target: 'version', keys: key, operator: '>', operand: 0 };
  },
  /** Requires that the key doesn't exist; for a range: that it is empty. */
  missing<Key>(keys: Key | KeyRange): NumberCompare<Key> {
    return { target: 'version', keys, operator: '=', operand: 0 };
  },
};

guardFunctions('compare', compare, {
  promised: {},
  direct: {
    version: 3,
    createRevision: 3,
    modRevision: 3,
    lease: 3,
    value: 3,
    exists: 1,
    missing: 1,
  },
});

/** @internal */
export function txnRequest<Key, Value>(txn: Txn<Key, Value>, mapping: KvMapping<Key, Value>): TxnRequest {
  txnFields.check(txn);
  const request = toRequest(txn, mapping);
  checkEndlessDeletes(request.success);
  checkEndlessDeletes(request.failure);
  return request;
}

/**
 * etcd refuses a transaction that deletes and puts the same key, but misses deletes of a range without an end. If a later
 * put is to keep the value or lease, which is gone, all members crash (seen with 3.6.16). They crash again whenever they
 * apply their log.
 *
 * @param before the starts of the ranges without an end that are deleted before these operations.
 * @returns the same after them.
 */
function checkEndlessDeletes(
  list: readonly RequestOp[],
  before: readonly Uint8Array[] = [],
): readonly Uint8Array[] {
  let starts = before;
  for (const { request } of list) {
    switch (request?.$case) {
      case 'requestDeleteRange':
        if (isEndless(request.value)) starts = [...starts, request.value.key];
        break;
      case 'requestPut':
        checkKept(request.value, starts);
        break;
      case 'requestTxn': {
        // One of the two is carried out.
        const { success, failure } = request.value;
        starts = [...checkEndlessDeletes(success, starts), ...checkEndlessDeletes(failure, starts)];
      }
    }
  }
  return starts;
}

function checkKept({ key, ignoreValue, ignoreLease }: PutRequest, starts: readonly Uint8Array[]): void {
  if (!(ignoreValue || ignoreLease) || !starts.some((start) => Buffer.compare(start, key) <= 0)) return;
  throw invalidArgument(
    'the transaction deletes a key as part of a range without end, and then puts it with ignoreValue or ignoreLease; etcd crashes on that, so use two transactions',
  );
}

/**
 * The call for a transaction; its result type follows from the operations.
 * @internal
 */
export function txnCall<T extends Txn<unknown, unknown>, Entry>(
  txn: T,
  maker: EntryMaker<Entry>,
): Call<TxnRequest, TxnMessage, TxnResult<T, Entry>> {
  // A copy, as the caller may reuse its lists once the call has begun.
  const shape = shapeOf(txn);
  const call = writes(shape) ? writeCall : readCall;
  // The server answers each operation of the branch in order, which the types can't know.
  const result = (response: TxnMessage) => txnResult<Entry>(response, shape, maker) as TxnResult<T, Entry>;
  return call(txnMethod, result, txnOptions);
}

/** KV.Txn, whose ranges may have many keys. */
const txnMethod = { ...KVService.txn, response: TxnMessage };

/** The kinds of a transaction's operations, which determine the kinds of its results. */
interface TxnShape {
  readonly success: readonly OpShape[];
  readonly failure: readonly OpShape[];
}

type OpShape = Op<unknown, unknown>['type'] | TxnShape | undefined;

/**
 * How deep transactions may be nested. Each is two messages of the answer, which may hold 100 in one another. etcd's own
 * limit is on operations.
 */
const DEEPEST = 48;

/**
 * Works on unchecked input, as the check happens when the request is made.
 *
 * @throws InvalidArgumentError for a transaction that contains itself.
 */
function shapeOf(txn: Txn<unknown, unknown> | undefined, depth = 0): TxnShape {
  if (depth > DEEPEST) {
    throw invalidArgument(
      `transactions are nested more than ${DEEPEST} deep; does one of them contain itself?`,
    );
  }
  const kindOf = (operation: Op<unknown, unknown> | undefined): OpShape => {
    if (operation?.type === 'txn') return shapeOf(operation, depth + 1);
    return typeof operation?.type === 'string' ? operation.type : undefined;
  };
  const kinds = (operations: readonly Op<unknown, unknown>[] | undefined): OpShape[] =>
    Array.isArray(operations) ? operations.map(kindOf) : [];
  return { success: kinds(txn?.success), failure: kinds(txn?.failure) };
}

function writes({ success, failure }: TxnShape): boolean {
  const writing = (kind: OpShape) =>
    typeof kind === 'object' ? writes(kind) : kind === 'put' || kind === 'delete';
  return success.some(writing) || failure.some(writing);
}

/**
 * Whether a transaction may change anything.
 * @internal
 */
export function mayWrite(txn: Txn<unknown, unknown>): boolean {
  return writes(shapeOf(txn));
}

/**
 * The first key or range that a transaction names; `undefined` where it names none.
 * @internal
 */
export function keysOf<Key>({
  compare = [],
  success = [],
  failure = [],
}: Txn<Key, unknown>): Key | KeyRange | undefined {
  const [condition] = compare;
  if (condition !== undefined) return condition.keys;
  for (const operation of [...success, ...failure]) {
    if (operation.type === 'get' || operation.type === 'put') return operation.key;
    const keys = operation.type === 'txn' ? keysOf(operation) : operation.keys;
    if (keys !== undefined) return keys;
  }
  return undefined;
}

function toRequest<Key, Value>(txn: Txn<Key, Value>, mapping: KvMapping<Key, Value>): TxnRequest {
  const { compare = [], success = [], failure = [] } = txn;
  return {
    compare: each(compare, (condition) => compareMessage(condition, mapping)),
    success: each(success, (operation) => requestOp(operation, mapping)),
    failure: each(failure, (operation) => requestOp(operation, mapping)),
  };
}

/** Like `map`, but also for the holes of an array. */
function each<From, To>(list: readonly From[], make: (item: From) => To): To[] {
  const made: To[] = [];
  for (let i = 0; i < list.length; i++) made.push(make(list[i] as From));
  return made;
}

interface Comparison {
  readonly target: CompareNumber | 'value';
  readonly keys: unknown;
  readonly operator: CompareOperator;
  readonly operand: unknown;
}

const comparedTarget = oneOf('version', 'createRevision', 'modRevision', 'lease', 'value');
const comparedBy = oneOf('=', '!=', '<', '>');
const comparisonFields = new Description<Comparison>(
  'a comparison',
  { target: comparedTarget, keys: anything, operator: comparedBy, operand: anything },
  {
    required: ['target', 'keys', 'operator', 'operand'],
    example: "compare.modRevision('key', '=', 7n)",
  },
  ({ target, keys, operator, operand }) =>
    comparedTarget.fits(target) && keys !== undefined && comparedBy.fits(operator) && operand !== undefined
      ? 4
      : -1,
);

const compareResults: Readonly<Record<CompareOperator, Compare_CompareResult>> = {
  '=': Compare_CompareResult.EQUAL,
  '!=': Compare_CompareResult.NOT_EQUAL,
  '<': Compare_CompareResult.LESS,
  '>': Compare_CompareResult.GREATER,
};

const compareTargets: Readonly<Record<CompareNumber | 'value', Compare_CompareTarget>> = {
  version: Compare_CompareTarget.VERSION,
  createRevision: Compare_CompareTarget.CREATE,
  modRevision: Compare_CompareTarget.MOD,
  lease: Compare_CompareTarget.LEASE,
  value: Compare_CompareTarget.VALUE,
};

function compareMessage<Key, Value>(
  condition: Compare<Key, Value>,
  mapping: KvMapping<Key, Value>,
): CompareMessage {
  comparisonFields.check(condition);
  const { target, keys, operator } = condition;
  // Not spread: V8 takes about 4 µs for a spread followed by further properties.
  const { key, rangeEnd } = mapping.range(keys);
  return {
    key,
    rangeEnd,
    result: compareResults[operator],
    target: compareTargets[target],
    targetUnion:
      condition.target === 'value'
        ? { $case: 'value', value: mapping.value(condition.operand) }
        : { $case: condition.target, value: compared(condition) },
  };
}

function compared({ target, operand }: NumberCompare<unknown>): bigint {
  const name = `the ${target} to compare with`;
  return target === 'lease' ? toSignedInt64(name, operand) : toInt64(name, operand);
}

/** The fields of an operation besides its type and options, and what to write for options in the wrong place. */
function opFields<Operation>(
  what: string,
  kinds: Kinds<Operation>,
  options: { readonly names: readonly string[] },
  countFitting: CountFitting,
): Description<Operation> {
  const misplaced = options.names.map((name): [string, string] => [name, `write options: { ${name} }`]);
  return new Description(what, kinds, { hints: Object.fromEntries(misplaced) }, countFitting);
}

// These options are checked separately.
function checkedLater<T>(): Kind<T> {
  return anything as Shape as Kind<T>;
}

const opKinds = {
  get: opFields<GetOp<unknown>>(
    'op.get()',
    { type: oneOf('get'), key: anything, options: checkedLater() },
    opOptions.get,
    ({ type, key, options }) => count(type === 'get', key !== undefined, options !== undefined),
  ),
  range: opFields<RangeOp<unknown>>(
    'op.range()',
    { type: oneOf('range'), keys: anything, options: checkedLater() },
    opOptions.range,
    ({ type, keys, options }) => count(type === 'range', keys !== undefined, options !== undefined),
  ),
  put: opFields<PutOp<unknown, unknown>>(
    'op.put()',
    { type: oneOf('put'), key: anything, value: anything, options: checkedLater() },
    opOptions.put,
    ({ type, key, value, options }) =>
      count(type === 'put', key !== undefined, value !== undefined, options !== undefined),
  ),
  delete: opFields<DeleteOp<unknown>>(
    'op.delete()',
    { type: oneOf('delete'), keys: anything, options: checkedLater() },
    opOptions.delete,
    ({ type, keys, options }) => count(type === 'delete', keys !== undefined, options !== undefined),
  ),
};

function requestOp<Key, Value>(operation: Op<Key, Value>, mapping: KvMapping<Key, Value>): RequestOp {
  switch (operation?.type) {
    case 'get': {
      opKinds.get.check(operation);
      const { key, options = none } = operation;
      opOptions.get.check(options);
      return { request: { $case: 'requestRange', value: rangeRequest(mapping.range(oneKey(key)), options) } };
    }
    case 'range': {
      opKinds.range.check(operation);
      const { keys, options = none } = operation;
      opOptions.range.check(options);
      return { request: { $case: 'requestRange', value: rangeRequest(mapping.range(keys), options) } };
    }
    case 'put': {
      opKinds.put.check(operation);
      const { key, value, options = none } = operation;
      opOptions.put.check(options);
      return { request: { $case: 'requestPut', value: putRequest(mapping, key, value, options) } };
    }
    case 'delete': {
      opKinds.delete.check(operation);
      const { keys, options = none } = operation;
      opOptions.delete.check(options);
      return { request: { $case: 'requestDeleteRange', value: deleteRequest(mapping.range(keys), options) } };
    }
    case 'txn':
      txnOpFields.check(operation);
      return { request: { $case: 'requestTxn', value: toRequest(operation, mapping) } };
    default:
      throw invalidArgument(
        `a transaction holds ${shown(operation)}, which is not an operation; make operations with op.get, op.range, op.put, op.delete and op.txn`,
      );
  }
}

class TxnAnswer extends Answer {
  readonly revision: bigint;

  constructor(
    readonly header: ResponseHeader,
    readonly succeeded: boolean,
    readonly responses: unknown[],
  ) {
    super();
    this.revision = header.revision;
  }
}

function txnResult<Entry>(
  { header, succeeded, responses }: TxnMessage,
  { success, failure }: TxnShape,
  maker: EntryMaker<Entry>,
): TxnBranch<boolean, unknown> {
  const known = knownHeader(header);
  const kinds = succeeded ? success : failure;
  const results = kinds.map((kind, index) => opResult(responses[index], kind, known, maker));
  return new TxnAnswer(known, succeeded, results);
}

function opResult<Entry>(
  answer: OpMessage | undefined,
  kind: OpShape,
  outer: ResponseHeader,
  maker: EntryMaker<Entry>,
): unknown {
  const response = answer?.response;
  if (response === undefined) {
    throw new EtcdError('the server left an operation of the transaction unanswered', {
      code: StatusCode.INTERNAL,
      sent: true,
    });
  }
  // In the header for an operation etcd fills in only the revision. For a nested transaction it leaves out even that.
  const { revision } = knownHeader(response.value.header);
  response.value.header = { ...outer, revision: revision === 0n ? outer.revision : revision };
  switch (response.$case) {
    case 'responseRange': {
      const result = rangeResult(response.value, maker);
      return kind === 'get' ? result.kvs[0] : result;
    }
    case 'responsePut':
      return putResult(response.value, maker);
    case 'responseDeleteRange':
      return deleteResult(response.value, maker);
    case 'responseTxn':
      return txnResult(response.value, kind as TxnShape, maker);
  }
}
