// Not imported by name, as webpack replaces an imported createRequire().
import nodeModule from 'node:module';

/** The modules that only few programs need, or only later. */
interface BuiltIns {
  readonly 'node:fs': typeof import('node:fs');
  readonly 'node:net': typeof import('node:net');
  readonly 'node:worker_threads': typeof import('node:worker_threads');
}

/**
 * A module of the host, loaded when it is first needed. Each of these adds 3 to 6 ms to the start of a program. An
 * `import` of `node:fs` would also load Node's streams; this doesn't.
 */
export function builtIn<Name extends keyof BuiltIns>(name: Name): BuiltIns[Name] {
  // A built-in module is found from any place.
  return nodeModule.createRequire(process.execPath)(name);
}
