import { builtIn, inspect, types } from '../built-in.js';
import { invalidArgument } from '../errors.js';
import { isOfOtherCopy } from './copies.js';

/** How a kind of value is recognized, and how it is asked for. */
export interface Shape {
  readonly fits: (value: unknown) => boolean;
  /** What is wrong with a value that doesn't fit, and what to write; `name` is the name of the argument or option. */
  readonly explain: (name: string, value: unknown) => string;
}

/**
 * A kind of value that an argument or an option may have. `T` is exactly the type of the values, so that the
 * description of an option can't have a different kind from its type.
 */
export interface Kind<in out T> extends Shape {
  /** Only for the type checker. */
  readonly only?: (value: T) => T;
}

/** A kind whose messages are all `name is value; it must be …`. */
export function kind<T>(fits: (value: unknown) => boolean, must: string): Kind<T> {
  return { fits, explain: (name, value) => `${name} is ${shown(value)}; it must be ${must}${hint(value)}` };
}

function hint(value: unknown): string {
  return types.isPromise(value) ? ': await it first' : '';
}

/** A value as a message repeats it. A long value is described instead. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return inspect(value, { maxStringLength: 100 });
  if (Array.isArray(value)) return value.length === 0 ? '[]' : 'an array';
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object';
  const named = `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`;
  return isOfOtherCopy(value)
    ? `${named} of another copy of @quiesce/etcd (npm ls @quiesce/etcd lists them; install one for all)`
    : named;
}

/** A thrown value in words. It may be anything, not only an Error. */
export function reason(cause: unknown): string {
  if (cause instanceof Error) return cause.message;
  return typeof cause === 'string' ? cause : inspect(cause, { depth: 0 });
}

/**
 * Checks one argument.
 *
 * @throws InvalidArgumentError where the value isn't of that kind.
 */
export function checkArgument<T>(name: string, of: Kind<T>, value: unknown): asserts value is T {
  if (!of.fits(value)) throw invalidArgument(of.explain(name, value));
}

/** A value that is checked where it is used. */
export const anything: Kind<unknown> = kind(() => true, '');

export const flag: Kind<boolean> = kind((value) => typeof value === 'boolean', 'true or false');

/** Text that is sent. Encoding as UTF-8 would change a lone surrogate. */
function sentText(must: string, fits: (value: string) => boolean): Kind<string> {
  const unchanged = kind<string>((value) => typeof value === 'string' && fits(value), must);
  return {
    fits: (value) => unchanged.fits(value) && wellFormed(value as string),
    explain: (name, value) =>
      unchanged.fits(value)
        ? `${name} has a lone surrogate, which UTF-8 can't encode`
        : unchanged.explain(name, value),
  };
}

/** Whether a text has no lone surrogates, which UTF-8 would change. */
export const wellFormed = (text: string): boolean => (text as WellFormed).isWellFormed();

// All hosts have the method. The types don't have it yet.
type WellFormed = string & { isWellFormed(): boolean };

/** Any text. */
export const text: Kind<string> = sentText('a string', () => true);

export const nonEmptyText: Kind<string> = sentText('a non-empty string', (value) => value !== '');

/** A name that a certificate can be for. */
export const hostName: Kind<string> = kind(
  (value) => typeof value === 'string' && (HOST_NAME.test(value) || builtIn('node:net').isIP(value) !== 0),
  'a host name or an IP address, such as "etcd.example.com"',
);

// The last label of a name isn't a number, so that an IP address isn't taken for a name.
const HOST_NAME =
  /^(?!.{255})(?:[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?\.)*(?!\d+\.?$)[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?\.?$/i;

/** The same as {@link nonEmptyText}. Its messages don't repeat the value. */
export const secret: Kind<string> = {
  fits: nonEmptyText.fits,
  explain: (name, value) =>
    typeof value === 'string' && value !== ''
      ? `${name} has a lone surrogate, which UTF-8 can't encode`
      : `${name} is ${value === '' ? 'empty' : 'not a string'}; give a non-empty string`,
};

/** The same as {@link secret}, for what is sent in a header. */
export const headerSecret: Kind<string> = {
  fits: (value) => typeof value === 'string' && /^[\x20-\x7e]+$/.test(value),
  explain: (name, value) =>
    secret.fits(value)
      ? `${name} has characters that a header can't hold; give printable ASCII, on one line`
      : secret.explain(name, value),
};

/** A time in ms, above 0. */
export const milliseconds: Kind<number> = kind(
  (value) => typeof value === 'number' && value > 0,
  'a number of ms above 0, or Infinity for no bound',
);

/** A time in ms between repeated actions. */
export const intervalMs: Kind<number> = kind(
  (value) => typeof value === 'number' && value >= 1,
  'a number of ms of at least 1, or Infinity',
);

/** A time in ms, 0 for none. */
export const millisecondsOrNone: Kind<number> = kind(
  (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
  'a number of ms of at least 0',
);

/** A size in bytes, above 0. */
export const byteCount: Kind<number> = kind(
  (value) => positiveIntegerOrInfinity.fits(value),
  'a number of bytes above 0, or Infinity for no bound',
);

/** A number of things, at least one. */
export const positiveInteger: Kind<number> = kind(
  (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  'an integer of at least 1',
);

/** A number of times, at least one, or Infinity. */
export const positiveIntegerOrInfinity: Kind<number> = kind(
  (value) => value === Number.POSITIVE_INFINITY || positiveInteger.fits(value),
  'an integer above 0, or Infinity',
);

const callable: Shape = kind((value) => typeof value === 'function', 'a function');

/** A function of type `T`. Only that it is a function can be checked. */
export function aFunction<T extends (...args: never[]) => unknown>(): Kind<T> {
  return callable;
}

/** Values of one kind, in an array. A hole in the array counts as `undefined`; `every()` would skip it. */
export function arrayOf<T>(one: Kind<T>, must: string): Kind<readonly T[]> {
  const wrongAt = (values: readonly unknown[]): number => values.findIndex((value) => !one.fits(value));
  const array = kind(Array.isArray, must);
  return {
    fits: (value) => Array.isArray(value) && wrongAt(value) < 0,
    explain: (name, value) => {
      if (!Array.isArray(value)) return array.explain(name, value);
      const at = wrongAt(value);
      return one.explain(`${name}[${at}]`, value[at]);
    },
  };
}

/** Texts, in an array. */
export const texts: Kind<readonly string[]> = arrayOf(text, 'an array of strings');

/** A TCP port. */
export const port: Kind<number> = kind(
  (value) => Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536,
  'a port, from 1 to 65535',
);

/** The content of a PEM file, as text or bytes; messages don't repeat the content. */
export const pem: Kind<string | Uint8Array> = {
  fits: (value) => typeof value === 'string' || types.isUint8Array(value),
  explain: (name, value) =>
    `${name} is ${typeof value === 'string' ? 'a string' : shown(value)}; give the file's content, as a string or bytes${hint(value)}`,
};

/** Any values, in an array. Whoever takes it checks each value, including holes. */
export const list: Kind<readonly unknown[]> = kind(Array.isArray, 'an array');

/** Any values, in an array without holes. */
export const wholeList: Kind<readonly unknown[]> = arrayOf(
  kind((value) => value !== undefined, 'a value: leave missing ones out of the array'),
  'an array',
);

/** One of some words. */
export function oneOf<const T extends string | boolean>(...values: readonly T[]): Kind<T> {
  const all: ReadonlySet<unknown> = new Set(values);
  const fits = (value: unknown): boolean => all.has(value);
  // The words are inspected only for a message. Otherwise that would cost each program start a millisecond.
  const explain = (name: string, value: unknown): string => {
    const words = values.map((word) => inspect(word));
    return kind(fits, `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`).explain(name, value);
  };
  return { fits, explain };
}

/** The option `requireLeader` of calls, watches and mirrors. */
export const leaderRequired: Kind<boolean | 'wait'> = oneOf<boolean | 'wait'>(true, false, 'wait');

/** Some of these words, in an array. */
export function listOf<const T extends string>(...values: readonly T[]): Kind<readonly T[]> {
  return arrayOf(oneOf(...values), 'an array');
}

/** An object that has these fields, and perhaps others. */
export function withFields<T extends object>(
  kinds: { readonly [Name in keyof T]-?: Kind<T[Name]> },
  must: string,
): Kind<T> {
  const wrong = (value: object): [string, unknown, Shape] | undefined => {
    for (const [field, of] of Object.entries<Shape>(kinds)) {
      const given = (value as Record<string, unknown>)[field];
      if (!of.fits(given)) return [field, given, of];
    }
    return undefined;
  };
  const object = kind((value) => typeof value === 'object' && value !== null, must);
  return {
    fits: (value) => object.fits(value) && wrong(value as object) === undefined,
    explain: (name, value) => {
      if (!object.fits(value)) return object.explain(name, value);
      const [field = '', given, of = object] = wrong(value as object) ?? [];
      return of.explain(`${name}.${field}`, given);
    },
  };
}

/** An object that has these methods, like an object of class `T`. */
export function withMethods<T>(must: string, ...methods: readonly (string & keyof T)[]): Kind<T> {
  return kind(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !isOfOtherCopy(value) &&
      methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function'),
    must,
  );
}

/** Accepts also a signal of another realm, which Jest's tests have. */
export function isSignal(value: unknown): value is AbortSignal {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as AbortSignal).aborted === 'boolean' &&
    typeof (value as AbortSignal).throwIfAborted === 'function' &&
    typeof (value as AbortSignal).addEventListener === 'function' &&
    typeof (value as AbortSignal).removeEventListener === 'function'
  );
}

export function isController(value: unknown): value is AbortController {
  if (typeof value !== 'object' || value === null) return false;
  const { signal, abort } = value as AbortController;
  return isSignal(signal) && typeof abort === 'function';
}

export const abortSignal: Kind<AbortSignal> = {
  fits: isSignal,
  explain: (name, value) =>
    isController(value)
      ? `${name} is an AbortController; give its signal: controller.signal`
      : `${name} is ${shown(value)}; it must be an AbortSignal`,
};
