/**
 * The same symbol in all copies of this package that a process has loaded. In a monorepo, each of several packages may
 * bring its own copy.
 */
const copy = Symbol.for('@quiesce/etcd: the copy that an object is of');
/** The identity of this copy. */
const ours = {};

/** Marks the objects of a class as objects of this copy. */
export function markAsOurs(prototype: object): void {
  Object.defineProperty(prototype, copy, { value: ours });
}

/**
 * Whether a value is an object of another copy of this package. Such an object can't be used here, as the versions may
 * differ.
 */
export function isOfOtherCopy(value: object): boolean {
  const of = (value as { readonly [copy]?: unknown })[copy];
  return of !== undefined && of !== ours;
}
