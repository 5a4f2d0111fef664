// Not by its name: webpack makes something else of an imported createRequire().
import nodeModule from 'node:module';

/** The modules that few programs need, or only for a while. */
interface BuiltIns {
  readonly 'node:fs': typeof import('node:fs');
  readonly 'node:net': typeof import('node:net');
  readonly 'node:worker_threads': typeof import('node:worker_threads');
}

/**
 * A module of the host, loaded where it is first asked for: each of these takes 3 to 6 ms of a program's start. Node's streams come
 * with an `import` of `node:fs`, too, though not with this.
 */
export function builtIn<Name extends keyof BuiltIns>(name: Name): BuiltIns[Name] {
  // What is built in is found from anywhere.
  return nodeModule.createRequire(process.execPath)(name);
}
