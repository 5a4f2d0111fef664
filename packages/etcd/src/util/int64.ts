import { invalidArgument } from '../errors.js';

/** A 64-bit integer on its way in; a number must be a safe integer. What comes back is always a bigint. */
export type Int64 = bigint | number;

/**
 * The value of an option as etcd's int64, 0 when it is absent.
 * @internal
 */
export function toInt64(name: string, value: Int64 | undefined): bigint {
  if (value === undefined) return 0n;
  const fits = typeof value === 'bigint' ? BigInt.asIntN(64, value) === value : Number.isSafeInteger(value);
  if (!fits || value < 0) {
    throw invalidArgument(`${name} is ${String(value)}; it must be a 64-bit integer of at least 0`);
  }
  return BigInt(value);
}

/**
 * A member or cluster id, which etcd writes as uint64.
 * @internal
 */
export function toUint64(name: string, value: bigint): bigint {
  if (typeof value === 'bigint' && BigInt.asUintN(64, value) === value) return value;
  throw invalidArgument(
    `${name} is ${typeof value === 'bigint' ? value : `a ${typeof value}`}; it must be an unsigned 64-bit bigint, such as 0x8e9e05c52164694dn`,
  );
}
