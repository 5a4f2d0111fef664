import { checkArgument, type Kind, shown } from './kinds.js';

/** A 64-bit integer as an argument. A number must be a safe integer. Results are always bigint. */
export type Int64 = bigint | number;

/**
 * The 0 of options that weren't given. V8 compares bigints that are one object without a look at them.
 * @internal
 */
export const ZERO = 0n;

const LARGEST = 2n ** 63n - 1n;

/**
 * An {@link Int64} that isn't negative, such as a revision or a number of keys.
 * @internal
 */
export const int64: Kind<Int64> = {
  fits: (value) =>
    typeof value === 'bigint'
      ? value >= 0n && value <= LARGEST
      : Number.isSafeInteger(value) && (value as number) >= 0,
  explain: (name, value) =>
    `${name} is ${shown(value)}; it must be a 64-bit integer of at least 0${howToWrite(value)}`,
};

/**
 * The id of a lease. etcd chooses one above 0; other programs may have given any.
 * @internal
 */
export const signedInt64: Kind<Int64> = {
  fits: (value) =>
    typeof value === 'bigint' ? BigInt.asIntN(64, value) === value : Number.isSafeInteger(value),
  explain: (name, value) => `${name} is ${shown(value)}; it must be a 64-bit integer${howToWrite(value)}`,
};

/**
 * An unsigned 64-bit integer, such as the id of a member.
 * @internal
 */
export const uint64: Kind<bigint> = {
  fits: (value) => typeof value === 'bigint' && BigInt.asUintN(64, value) === value,
  explain: (name, value) =>
    `${name} is ${shown(value)}; it must be an unsigned 64-bit bigint, such as 0x8e9e05c52164694dn${howToWrite(value)}`,
};

function howToWrite(value: unknown): string {
  if (typeof value === 'string') {
    return /^\d{1,20}$/.test(value) ? `: write ${BigInt(value)}n or BigInt(value)` : '';
  }
  const inexact = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return inexact ? ', and above 2^53 a bigint' : '';
}

/**
 * Converts a value to etcd's int64.
 * @internal
 */
export function toInt64(name: string, value: Int64): bigint {
  checkArgument(name, int64, value);
  return BigInt(value);
}

/**
 * Converts the id of a lease to etcd's int64.
 * @internal
 */
export function toSignedInt64(name: string, value: Int64): bigint {
  checkArgument(name, signedInt64, value);
  return BigInt(value);
}

/**
 * Converts the value of an option that was already checked to etcd's int64; 0 when it is absent.
 * @internal
 */
export function optionalInt64(value: Int64 | undefined): bigint {
  return value === undefined ? ZERO : BigInt(value);
}

/**
 * Checks the id of a member or a cluster, which etcd encodes as uint64.
 * @internal
 */
export function toUint64(name: string, value: bigint): bigint {
  checkArgument(name, uint64, value);
  return value;
}
