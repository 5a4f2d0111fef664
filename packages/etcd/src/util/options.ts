import { closestMatch } from 'leven';
import { types } from '../built-in.js';
import { invalidArgument } from '../errors.js';
import { isController, isSignal, type Kind, type Shape, shown } from './kinds.js';

/** A kind for each field, with none missing and no others. */
export type Kinds<Fields> = {
  readonly [Name in keyof Fields]-?: Kind<Exclude<Fields[Name], undefined>>;
};

/**
 * What to write instead of names that don't exist here, such as those of other clients. A name is found in any case, and
 * with any hyphens and underscores.
 */
export type Hints = Readonly<Record<string, string>>;

/** More about a description. */
export interface DescriptionMore {
  readonly hints?: Hints;
  /** Fields that the messages don't list. */
  readonly hidden?: readonly string[];
  /** Further fields, which several descriptions share. */
  readonly also?: Readonly<Record<string, Shape>>;
  /** Fields that must be there. */
  readonly required?: readonly string[];
  /** An example, for a caller who passes something other than an object. */
  readonly example?: string;
}

/**
 * Counts the fields of an object that exist and fit; -1 where a required field is missing. It reads them by their names.
 * A plain object without further fields is correct. V8 reads a field by a name in the code much faster than by a
 * variable, which the full check uses.
 */
export type CountFitting = (given: Readonly<Record<string, unknown>>) => number;

/** Options of other clients that all calls have under another name, or handle differently. */
const usualHints: Hints = {
  timeout: 'the deadline is timeoutMs, in ms',
  deadline: 'the deadline is timeoutMs, in ms from now',
  abortSignal: 'give it as signal',
  cancel: 'give the signal of an AbortController as signal',
  token: 'give the signal of an AbortController as signal',
  retries: 'retries are an option of connect(): retry: { maxAttempts }',
  maxRetries: 'retries are an option of connect(): retry: { maxAttempts }',
};

/**
 * Describes an object whose fields have names, such as the options of a call. The check of the object follows from the
 * description. All options objects of this client are checked by one of these.
 *
 * A field that is `undefined` counts as absent. Fields are also found in the object's prototypes, as some options
 * objects have them there.
 */
export class Description<Fields> implements Kind<Fields> {
  readonly #what: string;
  readonly #given: readonly Readonly<Record<string, Shape>>[];
  readonly #more: DescriptionMore;
  readonly #countFitting: CountFitting | undefined;
  #all: Map<string, Shape> | undefined;

  /**
   * @param what the object that has the fields, for messages: `put()`.
   * @param countFitting a faster check, for objects of which one call may have several.
   */
  constructor(what: string, kinds: Kinds<Fields>, more: DescriptionMore = {}, countFitting?: CountFitting) {
    this.#countFitting = countFitting;
    this.#what = what;
    this.#given = [kinds, more.also ?? {}];
    this.#more = more;
  }

  /** Put together when they are first needed: most programs use few of the methods. */
  get #kinds(): Map<string, Shape> {
    this.#all ??= new Map(this.#given.flatMap((kinds) => Object.entries(kinds)));
    return this.#all;
  }

  /**
   * Checks an object that was given as options.
   *
   * @throws InvalidArgumentError that names the first wrong field, and says what to write.
   */
  check(given: unknown): void {
    if (!this.fits(given)) throw invalidArgument(this.explain('', given));
  }

  readonly fits = (given: unknown): boolean => {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return false;
    if (this.#fitsPlainly(given)) return true;
    let any = false;
    for (const name in given) {
      const kind = this.#kinds.get(name);
      if (kind === undefined && isEveryObjects(given, name)) continue;
      any = true;
      if (kind === undefined) return false;
      const value = (given as Record<string, unknown>)[name];
      if (value !== undefined && !kind.fits(value)) return false;
    }
    return (
      (any || !isNoOptions(given)) &&
      this.#missing(given) === undefined &&
      this.#unlisted(given) === undefined
    );
  };

  /** @param name the name that the object was given under; empty for the argument itself. */
  readonly explain = (name: string, given: unknown): string => {
    if (typeof given !== 'object' || given === null || Array.isArray(given) || isNoOptions(given)) {
      return this.#noObject(name, given);
    }
    if (isSignal(given) || isController(given)) {
      const signal = isController(given) ? 'signal: controller.signal' : 'signal';
      return `${this.#what} takes an object, and was given ${shown(given)}; write { ${signal} }`;
    }
    for (const field in given) {
      const kind = this.#kinds.get(field);
      if (kind === undefined && isEveryObjects(given, field)) continue;
      if (kind === undefined) return this.#unknown(name, field);
      const value = (given as Record<string, unknown>)[field];
      if (value !== undefined && !kind.fits(value)) return kind.explain(pathTo(name, field), value);
    }
    const unlisted = this.#unlisted(given);
    if (unlisted !== undefined) return unlisted(name);
    return `${pathTo(name, this.#missing(given) ?? '')} is missing; ${this.#what} needs it`;
  };

  #fitsPlainly(given: object): boolean {
    if (this.#countFitting === undefined || Object.getPrototypeOf(given) !== Object.prototype) return false;
    let fields = 0;
    for (const _ in given) fields += 1;
    return fields === this.#countFitting(given as Record<string, unknown>);
  }

  /** Explains a wrong field that a loop over the object doesn't find, such as a getter of its class. */
  #unlisted(given: object): ((name: string) => string) | undefined {
    // For nearly all objects a loop finds every field.
    if (Object.getPrototypeOf(given) === Object.prototype) return undefined;
    for (const [field, kind] of this.#kinds) {
      const value = (given as Record<string, unknown>)[field];
      if (value !== undefined && !kind.fits(value)) return (name) => kind.explain(pathTo(name, field), value);
    }
    return undefined;
  }

  /** The names of the known fields. */
  get names(): string[] {
    return [...this.#kinds.keys()];
  }

  #missing(given: object): string | undefined {
    return this.#more.required?.find((field) => (given as Record<string, unknown>)[field] === undefined);
  }

  #unknown(name: string, field: string): string {
    const { hints = {}, hidden = [] } = this.#more;
    const names = [...this.#kinds.keys()].filter((known) => !hidden.includes(known));
    const hint =
      hintFor(field, hints) ??
      (this.#kinds.has('timeoutMs') ? hintFor(field, usualHints) : undefined) ??
      didYouMean(field, names);
    const advice = hint === undefined ? '' : `; ${hint}`;
    return `${this.#what} has no option ${pathTo(name, field)}${advice} (it takes ${names.join(', ')})`;
  }

  #noObject(name: string, given: unknown): string {
    const { example = '{ timeoutMs: 5_000 }' } = this.#more;
    // Not the value itself: an argument in the wrong place may be a password or a key.
    const what = ['string', 'number', 'bigint'].includes(typeof given) ? `a ${typeof given}` : shown(given);
    if (name !== '') return `${name} is ${what}; it must be an object such as ${example}`;
    const advice = types.isPromise(given)
      ? 'await it first'
      : typeof given === 'function'
        ? 'there are no callbacks: calls return promises'
        : `write an object such as ${example}`;
    return `${this.#what} takes an object, and was given ${what}; ${advice}`;
  }
}

/** A name without what differs between conventions: `--insecure-skip-tls-verify`, `insecureSkipTLSVerify`. */
const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

function hintFor(field: string, hints: Hints): string | undefined {
  return Object.entries(hints).find(([name]) => plain(name) === plain(field))?.[1];
}

function didYouMean(field: string, names: readonly string[]): string | undefined {
  const wanted = plain(field);
  const maxDistance = Math.max(2, Math.floor(wanted.length / 3));
  const near = closestMatch(wanted, names.map(plain), { maxDistance });
  const name = names.find((known) => plain(known) === near);
  return name === undefined ? undefined : `did you mean ${name}?`;
}

function pathTo(name: string, field: string): string {
  return name === '' ? field : `${name}.${field}`;
}

/** Built-in objects that have no options. Whoever passes one expects an effect. */
function isNoOptions(given: object): boolean {
  // True for nearly all objects, at a tenth of the cost.
  if (Object.getPrototypeOf(given) === Object.prototype) return false;
  return (
    types.isPromise(given) ||
    types.isMap(given) ||
    types.isSet(given) ||
    types.isDate(given) ||
    types.isRegExp(given) ||
    types.isNativeError(given) ||
    types.isBoxedPrimitive(given) ||
    types.isAnyArrayBuffer(given) ||
    ArrayBuffer.isView(given)
  );
}

/** Whether a program, or an old library, has added this field to all objects. Then it isn't the caller's. */
const isEveryObjects = (given: object, field: string): boolean =>
  Object.hasOwn(Object.prototype, field) && !Object.hasOwn(given, field);
