import { invalidArgument } from '../errors.js';

type Method = (...given: never[]) => unknown;
type Names<T, Returned> = {
  [Name in keyof T]: T[Name] extends (...given: never[]) => infer R
    ? R extends Returned
      ? Name
      : never
    : never;
}[keyof T] &
  string;

/** How many arguments each of some methods takes at most. */
type Most<T, Name extends keyof T> = {
  readonly [N in Name]: T[N] extends (...given: infer Given) => unknown ? Required<Given>['length'] : never;
};

/** How many arguments each method takes at most: those that return a promise, and the others. */
export interface MostArguments<T> {
  readonly promised: Most<T, Names<T, Promise<unknown>>>;
  readonly direct: Most<T, Exclude<Names<T, unknown>, Names<T, Promise<unknown>>>>;
}

/**
 * Makes the methods of a class refuse, with an InvalidArgumentError, to be called without their object, and with more
 * arguments than they take: a callback, mostly. Those that take none refuse callbacks alone, as they are used as handlers,
 * which get arguments.
 *
 * @param isOurs whether it is an object of the class: `#field in it`.
 */
export function guardMethods<T>(
  type: { readonly name: string; readonly prototype: T },
  isOurs: (it: object) => boolean,
  { promised, direct }: MostArguments<T>,
): void {
  const guard = (name: string, most: number, promises: boolean): void => {
    const method = (type.prototype as Record<string, unknown>)[name] as Method;
    const refuse = (why: string): Promise<never> => {
      const error = invalidArgument(why);
      if (promises) return Promise.reject(error);
      throw error;
    };
    const guarded = {
      [name](this: unknown, ...given: unknown[]): unknown {
        if (typeof this === 'object' && this !== null && isOurs(this)) {
          const why = given.length > most ? tooMany(name, most, given, promises) : undefined;
          return why === undefined ? Reflect.apply(method, this, given) : refuse(why);
        }
        const called = `${type.name}.${name}()`;
        return refuse(
          `${called} was called without its object; call it as a method of that, or give others a function that does: (…) => it.${name}(…)`,
        );
      },
    }[name];
    Object.defineProperty(guarded, 'length', { value: method.length, configurable: true });
    Object.defineProperty(type.prototype, name, { value: guarded, writable: true, configurable: true });
  };
  for (const [name, most] of Object.entries<number>(promised)) guard(name, most, true);
  for (const [name, most] of Object.entries<number>(direct)) guard(name, most, false);
}

/** What is wrong with arguments of which there are more than a method takes; `undefined` where nothing is. */
function tooMany(
  name: string,
  most: number,
  given: readonly unknown[],
  promises: boolean,
): string | undefined {
  const more = given.slice(most);
  if (more.some((each) => typeof each === 'function')) {
    return `${name}() takes no callback${promises ? ': it returns a promise' : ''}`;
  }
  if (most === 0 || more.every((each) => each === undefined)) return undefined;
  return `${name}() takes ${most} argument${most === 1 ? '' : 's'}, and was given ${given.length}; options go in one object`;
}
