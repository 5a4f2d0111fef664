/** The modules of the host that this client doesn't import. */
interface BuiltIns {
  readonly 'node:fs': typeof import('node:fs');
  readonly 'node:module': typeof import('node:module');
  readonly 'node:net': typeof import('node:net');
  readonly 'node:util': typeof import('node:util');
  readonly 'node:worker_threads': typeof import('node:worker_threads');
}

/**
 * A module of the host, loaded when it is first needed. An `import` of it would also read everything that it exports,
 * and some of that loads further modules: of `node:util` three, of `node:fs` Node's streams.
 */
export function builtIn<Name extends keyof BuiltIns>(name: Name): BuiltIns[Name] {
  return process.getBuiltinModule(name);
}

/** What this client uses of `node:util`. */
export const { debuglog, inspect, types } = builtIn('node:util');
