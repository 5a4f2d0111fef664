// @ts-check
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { step } from '../lib/step.mjs';
import { createProtocEnvironment } from '../provide/python.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

/** A Python that has this folder in PYTHONPATH imports the module as `etcd_client`. */
const MODULE = inCache('examples', 'etcd-python', 'etcd_client.abi3.so');
const PROTOC = inCache('examples', 'protoc');
const MANIFEST = inRoot('examples', 'etcd-python', 'Cargo.toml');

const manifest = ['--manifest-path', MANIFEST];

/** What cargo needs for the example, which is a workspace of its own: etcd-client's build runs protoc. */
export const etcdPythonCargo = { manifest, env: { PROTOC } };

/**
 * Builds examples/etcd-python. Without cargo or Python it is left out.
 * @returns {Promise<boolean>} whether it is available
 */
export async function buildEtcdPython() {
  if (!hasCargo() || !(await provideProtoc())) return false;
  // Its exits count, not its speed. Beside the workspace's tests, with which it shares some of what it depends on.
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
