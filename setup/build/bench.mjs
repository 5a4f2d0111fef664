// @ts-check
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { mustRun, notice, step } from '../lib/step.mjs';
import { pack } from '../pack/pack.mjs';
import { buildGoProgram, hasGo } from '../provide/go.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';
import { addonIn } from './native-libraries.mjs';

const HINT = 'is Go new enough?';

/** Builds the benchmark's program for the Go client. */
export async function buildGoClient() {
  if (!hasGo()) {
    notice('Go is missing: clientv3 is left out of the benchmark, and of its tests');
    return;
  }
  const clientv3 = inCache('bench', 'clientv3');
  await buildGoProgram("build the benchmark of Go's clientv3", inRoot('bench', 'go'), clientv3, HINT);
  recordProvided('benchClientv3', clientv3);
}

/** Builds all of the benchmark's Go programs. */
export async function buildGoBenchmarks() {
  await buildGoClient();
  if (!hasGo()) return;
  const etcd = inCache('bench', 'etcd-benchmark');
  await buildGoProgram("build etcd's own benchmark tool", inRoot('bench', 'etcd-benchmark'), etcd, HINT);
  recordProvided('benchEtcd', etcd);
}

/** Installs this client as it is published: its load time depends on the form of its files. */
export async function installPackedClient() {
  const modules = inCache('bench', 'packed', 'node_modules');
  await step('pack this client, and unpack it', async () => {
    rmSync(modules, { recursive: true, force: true });
    for (const [name, tarball] of Object.entries(await pack(inCache('bench', 'pack')))) {
      const folder = join(modules, name);
      mkdirSync(folder, { recursive: true });
      await mustRun(['tar', '-xzf', tarball, '--strip-components=1', '-C', folder]);
    }
  });
  recordProvided('benchPackedClient', join(modules, '@quiesce', 'etcd', 'dist', 'src', 'index.js'));
}

/**
 * Builds the client of a commit, with its addon if there is cargo.
 * @param {string} ref
 * @returns {Promise<string>} its index.js
 */
export async function buildClientOf(ref) {
  const folder = inCache('bench', 'beside');
  await step(`build the client of ${ref} (its addon takes about a minute the first time)`, async () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const archive = join(folder, 'tree.tar');
    await mustRun(['git', 'archive', '-o', archive, ref]);
    await mustRun(['tar', '-xf', archive, '-C', folder]);
    if (hasCargo()) {
      const manifest = ['--manifest-path', join(folder, 'Cargo.toml')];
      const target = ['--target-dir', inCache('bench', 'beside-target')];
      const addon = addonIn(join(folder, 'packages', 'etcd'));
      await buildCrates({ 'etcd-transport': addon }, { flags: ['--release', ...manifest, ...target] });
    }
    // The commit's types have been checked before.
    const tsc = inRoot('node_modules', '.bin', 'tsc');
    await mustRun([tsc, '-p', join(folder, 'packages', 'etcd'), '--noCheck']);
  });
  return join(folder, 'packages', 'etcd', 'dist', 'src', 'index.js');
}
