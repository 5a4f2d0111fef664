// @ts-check
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { step } from '../lib/step.mjs';
import { createProtocEnvironment } from '../provide/python.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

/** A Python with this folder in PYTHONPATH can import the module `etcd_client`. */
const MODULE = inCache('examples', 'etcd-python', 'etcd_client.abi3.so');
const PROTOC = inCache('examples', 'protoc');
const MANIFEST = inRoot('examples', 'etcd-python', 'Cargo.toml');

const manifest = ['--manifest-path', MANIFEST];

/** What cargo needs for the example, which is its own workspace: etcd-client's build runs protoc. */
export const etcdPythonCargo = { manifest, env: { PROTOC } };

/**
 * Builds examples/etcd-python. It is left out without cargo or Python.
 * @returns {Promise<boolean>} whether it is available
 */
export async function buildEtcdPython() {
  if (!hasCargo() || !(await provideProtoc())) return false;
  // Its exits matter, not its speed. It is built in the target folder of the workspace's tests, with which it shares
  // dependencies.
  const target = ['--target-dir', inRoot('target')];
  await step('build the example etcd client for Python (Rust, about a minute the first time)', () =>
    buildCrates(
      { 'example-etcd-python': MODULE },
      { flags: ['--locked', ...manifest, ...target], env: etcdPythonCargo.env },
    ),
  );
  recordProvided('etcdPython', MODULE);
  return true;
}

/** protoc, from the Python package that holds it. */
export async function provideProtoc() {
  const python = await createProtocEnvironment();
  if (python === undefined) return false;
  mkdirSync(dirname(PROTOC), { recursive: true });
  writeFileSync(PROTOC, `#!/bin/sh\nexec '${python}' -m grpc_tools.protoc "$@"\n`, { mode: 0o755 });
  return true;
}
