import { EventEmitter } from 'node:events';
import { closestMatch } from 'leven';
import { invalidArgument } from '../errors.js';
import { markAsOurs } from './copies.js';
import { shown } from './kinds.js';

type Method = (...given: never[]) => unknown;
type Names<T, Returned> = {
  [Name in keyof T]: T[Name] extends (...given: never[]) => infer R
    ? R extends Returned
      ? Name
      : never
    : never;
}[keyof T] &
  string;

/** How many arguments each of these methods takes at most. */
type Most<T, Name extends keyof T> = {
  readonly [N in Name]: T[N] extends (...given: infer Given) => unknown ? Required<Given>['length'] : never;
};

/** How many arguments each method takes at most: those that return a promise, and the others. */
export interface MostArguments<T> {
  readonly promised: Most<T, Names<T, Promise<unknown>>>;
  readonly direct: Most<T, Exclude<Names<T, unknown>, Names<T, Promise<unknown>>>>;
}

/** Whether a value is an object of the class: `#field in it`. */
type IsOurs = (it: object) => boolean;

/**
 * Makes the methods of a class refuse two kinds of call with an InvalidArgumentError: without their object, and with
 * more arguments than they take (mostly a callback). Methods without parameters refuse only callbacks, as they are also
 * used as event handlers, which get arguments. Getters, and methods named by symbols, check only their object. The
 * objects of the class are marked as objects of this copy of the package.
 */
export function guardMethods<T>(
  type: { readonly name: string; readonly prototype: T },
  isOurs: IsOurs,
  most: MostArguments<T>,
): void {
  const { prototype } = type;
  markAsOurs(prototype as object);
  guardFunctions(type.name, prototype as object, most as MostArguments<object>, isOurs);
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
    const get = descriptor?.get;
    if (get === undefined) continue;
    const guarded = function (this: unknown): unknown {
      if (!isObjectOf(this, isOurs)) throw detached(`${type.name}.${name}`, `it.${name}`);
      return Reflect.apply(get, this, []);
    };
    Object.defineProperty(prototype, name, { ...descriptor, get: guarded });
  }
  for (const symbol of [Symbol.asyncIterator, Symbol.asyncDispose, Symbol.dispose]) {
    if (Object.hasOwn(prototype as object, symbol)) {
      guard(prototype as object, symbol, 0, symbol === Symbol.asyncDispose, type.name, isOurs);
    }
  }
}

/**
 * Makes the functions of an object refuse more arguments than they take.
 *
 * @param of the object's name, for messages.
 * @param isOurs which objects they may be called on. Default: they need no object.
 */
export function guardFunctions<T extends object>(
  of: string,
  functions: T,
  { promised, direct }: MostArguments<T>,
  isOurs?: IsOurs,
): void {
  for (const [name, most] of Object.entries<number>(promised)) guard(functions, name, most, true, of, isOurs);
  for (const [name, most] of Object.entries<number>(direct)) guard(functions, name, most, false, of, isOurs);
}

const listenerMethods = [
  'addListener',
  'on',
  'once',
  'prependListener',
  'prependOnceListener',
  'off',
  'removeListener',
] as const;

/**
 * Makes the methods that an emitter inherits refuse the same calls, and also listeners that aren't functions and events
 * that the emitter doesn't have. Events named by symbols belong to the host.
 *
 * @param events for each event of the emitter, the names that other libraries use.
 */
export function guardListeners(
  type: { readonly name: string; readonly prototype: EventEmitter },
  isOurs: IsOurs,
  events: Readonly<Record<string, readonly string[]>>,
): void {
  const { prototype } = type;
  for (const name of listenerMethods) {
    const inherited = EventEmitter.prototype[name];
    const guarded = {
      [name](this: unknown, ...given: [event: string, listener: () => void]): unknown {
        if (!isObjectOf(this, isOurs)) throw detached(`${type.name}.${name}()`, `(…) => it.${name}(…)`);
        const [event, listener] = given as readonly unknown[];
        if (typeof event !== 'symbol' && !ofAllEmitters.has(event)) checkEvent(type.name, events, event);
        if (typeof listener !== 'function') {
          throw invalidArgument(
            `the listener is ${shown(listener)}; it must be a function: ${name}('put', (event) => …)`,
          );
        }
        return Reflect.apply(inherited, this, given);
      },
    }[name];
    Object.defineProperty(prototype, name, { value: guarded, writable: true, configurable: true });
  }
}

const ofAllEmitters: ReadonlySet<unknown> = new Set(['newListener', 'removeListener']);

function checkEvent(of: string, events: Readonly<Record<string, readonly string[]>>, event: unknown): void {
  const names = Object.keys(events);
  if (typeof event === 'string' && Object.hasOwn(events, event)) return;
  const said = typeof event === 'string' ? event : '';
  const meant = names.filter((name) => events[name]?.includes(said));
  const near = closestMatch(said.toLowerCase(), names, { maxDistance: 2 });
  const hint = meant.length > 0 ? meant.join(' and ') : said === '' ? undefined : near;
  const advice = hint === undefined ? '' : `; did you mean ${hint}?`;
  throw invalidArgument(`a ${of} has no event ${shown(event)}${advice} (it has ${names.join(', ')})`);
}

/**
 * Refuses arguments beyond the parameters of a function or constructor.
 *
 * @param call how the call is written: `new Mutex()`.
 * @param parameters the arguments for the parameters.
 * @param more the further arguments.
 * @throws InvalidArgumentError that says which argument that is.
 */
export function refuseMore(call: string, parameters: readonly unknown[], more: readonly unknown[]): void {
  if (more.length === 0) return;
  const why = tooMany(call, parameters.length, [...parameters, ...more], false);
  if (why !== undefined) throw invalidArgument(why);
}

function guard(
  target: object,
  name: string | symbol,
  most: number,
  promises: boolean,
  of: string,
  isOurs: IsOurs | undefined,
): void {
  const method = (target as Record<string | symbol, unknown>)[name] as Method;
  // On a host that has no such symbol yet, its description is different.
  const called =
    typeof name === 'string' ? `${name}()` : `[Symbol.${name.description?.replace(/^.*\./, '')}]()`;
  const refuse = (error: unknown): Promise<never> => {
    if (promises) return Promise.reject(error);
    throw error;
  };
  const guarded = {
    [name](this: unknown, ...given: unknown[]): unknown {
      if (isOurs !== undefined && !isObjectOf(this, isOurs)) {
        const dot = typeof name === 'string' ? '.' : '';
        return refuse(detached(`${of}${dot}${called}`, `(…) => it${dot}${called.slice(0, -2)}(…)`));
      }
      const why = given.length > most ? tooMany(called, most, given, promises) : undefined;
      // A method without parameters may be an event handler, which gets arguments.
      if (why === undefined || (most === 0 && !given.some(isFunction)))
        return Reflect.apply(method, this, given);
      return refuse(invalidArgument(why));
    },
  }[name as string] as Method;
  // About a hundred methods are guarded at each start, so whatever can be left out is.
  if (method.length > 0)
    Object.defineProperty(guarded, 'length', { value: method.length, configurable: true });
  if (Object.hasOwn(target, name)) (target as Record<string | symbol, unknown>)[name] = guarded;
  else Object.defineProperty(target, name, { value: guarded, writable: true, configurable: true });
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}

function isObjectOf(it: unknown, isOurs: IsOurs): it is object {
  return typeof it === 'object' && it !== null && isOurs(it);
}

function detached(called: string, instead: string): unknown {
  return invalidArgument(
    `${called} was called without its object; call it on its object, or pass on a function that does: ${instead}`,
  );
}

const places = ['first', 'second', 'third', 'fourth', 'fifth'];

/** What is wrong with too many arguments; `undefined` where nothing is. */
function tooMany(
  call: string,
  most: number,
  given: readonly unknown[],
  promises: boolean,
): string | undefined {
  const more = given.slice(most);
  if (more.some(isFunction)) {
    return `${call} takes no callback${promises ? ': it returns a promise' : ''}`;
  }
  if (more.every((each) => each === undefined) || isOfMap(most, given)) return undefined;
  const [surplus] = more;
  // Not the value itself: an argument in the wrong place may be a password or a key.
  const what = ['string', 'number', 'bigint'].includes(typeof surplus)
    ? `a ${typeof surplus}`
    : shown(surplus);
  const takes = most === 0 ? 'no arguments' : `${most} argument${most === 1 ? '' : 's'}`;
  return `${call} takes ${takes}, and was given ${given.length}: the ${places[most] ?? 'last'} is ${what}; options go in one object`;
}

/** Whether a function with one parameter was passed to `map()`, which also passes the index and the array. */
function isOfMap(most: number, [element, index, array]: readonly unknown[]): boolean {
  return most === 1 && Array.isArray(array) && typeof index === 'number' && array[index] === element;
}
