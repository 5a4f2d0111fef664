// @ts-check
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inRoot } from '../lib/paths.mjs';
import { notice, step } from '../lib/step.mjs';
import { hostLibc } from '../pack/platforms.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

const host = `${process.platform}-${process.arch}`;
const ADDON = addonIn(inRoot('packages', 'etcd'));
const AMPLIFIER = inRoot('packages', 'quiesce', 'native', `exit-amplifier.${host}.so`);
const WITNESS = inRoot('packages', 'quiesce', 'native', `exit-witness.${host}.so`);
const SPAWNER = inRoot('packages', 'quiesce', 'native', `spawner.${host}`);

/**
 * Where that folder of the client has its addon.
 * @param {string} client
 */
export function addonIn(client) {
  return join(client, 'native', `etcd-transport.${host}.node`);
}

/**
 * Builds the native transport and, on Linux with glibc, the tester's exit amplifier, witness and spawner. Puts them
 * where @quiesce/etcd and quiesce expect them. Without cargo nothing is built.
 */
export async function buildNativeLibraries() {
  if (!hasCargo()) {
    notice(
      'cargo is missing: @quiesce/etcd uses its fallback transport (@grpc/grpc-js), and quiesce has no exit ' +
        'amplifier and sees no stacks of crashes. For all install Rust, from https://rustup.rs',
    );
    return;
  }
  const title = `build the native libraries (Rust${existsSync(ADDON) ? '' : ', about a minute the first time'})`;
  await step(title, () =>
    buildCrates({
      'etcd-transport': ADDON,
      ...(hostLibc() === 'glibc' && {
        'exit-amplifier': AMPLIFIER,
        'exit-witness': WITNESS,
        spawner: SPAWNER,
      }),
    }),
  );
}
