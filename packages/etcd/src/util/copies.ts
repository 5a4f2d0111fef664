/** The same in all copies of this package that a process has loaded: in a monorepo, several packages may each bring one. */
const copy = Symbol.for('@quiesce/etcd: the copy that an object is of');
/** This one. */
const ours = {};

/** Marks the objects of a class as those of this copy. */
export function markAsOurs(prototype: object): void {
  Object.defineProperty(prototype, copy, { value: ours });
}

/** Whether it is an object of another copy of this package, which can't be used here: the versions may differ. */
export function isOfOtherCopy(value: object): boolean {
  const of = (value as { readonly [copy]?: unknown })[copy];
  return of !== undefined && of !== ours;
}
