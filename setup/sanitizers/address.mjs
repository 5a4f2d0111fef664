// @ts-check
// Runs the addon built with AddressSanitizer in a Node built without it. AddressSanitizer's library is loaded first
// (LD_PRELOAD), and includes LeakSanitizer.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildCrates } from '../build/cargo.mjs';
import { outputOf, run } from '../lib/command.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';

/** The host itself as the target, so that build scripts and macros are built without these flags. */
const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;

/** Flags for cargo, which needs a separate target folder. */
export const cargoFlags = ['--target', TARGET, '--target-dir', inRoot('target', 'asan')];

/** A nightly flag that the stable compiler accepts. Overflow checks are on, and stacks can be walked. */
export const cargoEnvironment = {
  RUSTC_BOOTSTRAP: '1',
  RUSTFLAGS: '-Zsanitizer=address -Cforce-frame-pointers=yes',
  CARGO_PROFILE_DEV_OPT_LEVEL: '1',
};

const ADDON = inCache('asan', 'etcd-transport.node');
const CONTROL = inCache('asan', 'control.node');

/** AddressSanitizer's shared library, which gcc includes. */
export function asanLibrary() {
  const file = outputOf(['gcc', '-print-file-name=libasan.so']);
  return file?.startsWith('/') && existsSync(file) ? file : undefined;
}

/** Builds the addon and the deliberately bad one with AddressSanitizer. */
export const buildWithAsan = () =>
  buildCrates(
    { 'etcd-transport': ADDON, 'control-napi': CONTROL },
    { flags: cargoFlags, env: cargoEnvironment },
  );

/** @typedef {{ code: number, reports: string[], output: string }} Checked */

/**
 * Runs a Node program with the addons built with AddressSanitizer. The same applies to Node processes that it starts.
 * @param {string[]} words options of Node, module or script, and its arguments
 * @param {{ leaks?: boolean }} [options] whether memory that is lost when a process ends counts as an error
 * @returns {Promise<Checked>} `reports`: from AddressSanitizer and LeakSanitizer, for all processes
 */
export async function underAsan(words, { leaks = false } = {}) {
  mkdirSync(inCache('asan'), { recursive: true });
  const logs = mkdtempSync(inCache('asan', 'reports-'));
  try {
    const { code, output } = await run([process.execPath, ...words], {
      env: {
        LD_PRELOAD: asanLibrary(),
        QUIESCE_ETCD_NATIVE: ADDON,
        CONTROL_NODE: CONTROL,
        // Reports go into files, so that those of processes whose output is not read aren't lost. Leaks alone fail no
        // process: code below decides which of them are ours.
        ASAN_OPTIONS: [
          `log_path=${join(logs, 'report')}`,
          `detect_leaks=${Number(leaks)}`,
          'stack_trace_format="    #%n %m %f %S"',
          // Freed memory is kept from being reused, 256 MiB by default: more than a test for leaks allows.
          'quarantine_size_mb=32',
        ].join(':'),
        LSAN_OPTIONS: 'exitcode=0',
      },
    });
    const reports = readdirSync(logs).flatMap((file) => errorsIn(readFileSync(join(logs, file), 'utf8')));
    return { code, reports, output };
  } finally {
    rmSync(logs, { recursive: true });
  }
}

/**
 * The errors in one process's report.
 *
 * Node and V8 deliberately leave memory to the system when they end. Our memory that belongs to a JavaScript object
 * also stays, as LeakSanitizer sees no pointers in V8's heap; such memory is allocated in napi-rs's constructor. So a
 * leak is ours if our library allocated it in another place.
 * @param {string} report
 */
export function errorsIn(report) {
  if (!report.includes('LeakSanitizer: detected memory leaks')) return [report];
  return report
    .split(/\n\n+/)
    .filter((block) => /^(Direct|Indirect) leak of/.test(block.trim()))
    .filter((block) => {
      const frames = [...block.matchAll(/^ *#\d+ (\S+) (\S*)/gm)].map(([, file = '', name = '']) => ({
        file: basename(file),
        name,
      }));
      const maker = frames.find(({ file }) => !/^lib(asan|stdc\+\+|c)\b/.test(file));
      const held = frames.some(({ name }) => /callback_info.*CallbackInfo.*construct/.test(name));
      return maker?.file.endsWith('.node') && !held;
    });
}
