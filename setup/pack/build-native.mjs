// @ts-check
// node setup/pack/build-native.mjs PLATFORM OUT: builds the published native code for a platform into OUT/PLATFORM, for
// the oldest C library that it should load with. On Linux that takes cargo-zigbuild, which can link against any
// version, for any processor.
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { artifactsIn, fileOf } from '../build/cargo.mjs';
import { run } from '../lib/command.mjs';
import { SetupError, UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { mustRun } from '../lib/step.mjs';
import { nativeFiles, platformNamed } from './platforms.mjs';

/**
 * cargo's command for a platform, and its environment.
 * @param {import('./platforms.mjs').Platform} platform
 */
export function buildCommand(platform) {
  const { os, libc, target, oldest } = platform;
  const packages = Object.keys(nativeFiles(platform)).flatMap((name) => ['-p', name]);
  const build = os === 'linux' ? 'zigbuild' : 'build';
  return {
    command: [
      ...['cargo', build, '--release', '--locked', ...packages],
      ...['--target', oldest === undefined ? target : `${target}.${oldest}`],
    ],
    // A shared library for musl must link musl dynamically.
    env: libc === 'musl' ? { RUSTFLAGS: '-C target-feature=-crt-static' } : {},
  };
}

async function buildNative(/** @type {string[]} */ args) {
  const [name, out] = args;
  if (name === undefined || out === undefined || args.length > 2) {
    throw new UsageError(
      'a platform and a folder are needed',
      'node setup/pack/build-native.mjs PLATFORM OUT',
    );
  }
  const platform = platformNamed(name);
  const { command, env } = buildCommand(platform);
  // First with readable output. The second command finds everything built and prints the file names.
  const { code } = await run(command, { env, show: true });
  if (code !== 0) throw new SetupError(`${command.join(' ')} failed`);
  const messages = await mustRun([...command, '--message-format', 'json-render-diagnostics'], { env });
  const artifacts = artifactsIn(messages);
  mkdirSync(join(out, name), { recursive: true });
  for (const [crate, file] of Object.entries(nativeFiles(platform))) {
    copyFileSync(fileOf(crate, artifacts), join(out, name, file));
    console.log(join(out, name, file));
  }
  return 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(buildNative);
