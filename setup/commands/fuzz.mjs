// @ts-check
// npm run fuzz: coverage-guided fuzzing (libFuzzer) of what the native core reads from JavaScript and from servers. `--
// --seconds 60` sets how long each target runs; `-- messages` runs only that target.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { artifactsIn } from '../build/cargo.mjs';
import { parse } from '../lib/arguments.mjs';
import { run } from '../lib/command.mjs';
import { refuseUnknown, SetupError, UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun, step, tail } from '../lib/step.mjs';

const TARGETS = ['commands', 'messages'];
const HINT = `npm run fuzz -- [--seconds N] [${TARGETS.join(' ')}]`;
const fuzz = (/** @type {string[]} */ ...parts) => inRoot('crates', 'etcd-transport', 'fuzz', ...parts);

/** Instrumentation for the coverage that guides libFuzzer. The stable compiler has it. */
const COVERAGE = [
  '-Cpasses=sancov-module',
  ...['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares'].map(
    (part) => `-Cllvm-args=-sanitizer-coverage-${part}`,
  ),
  '-Ccodegen-units=1',
  '--cfg fuzzing',
].join(' ');

await main(async (args) => {
  const { values, positionals } = parse(
    { args, options: { seconds: { type: 'string', default: '60' } }, allowPositionals: true },
    HINT,
  );
  const { seconds } = values;
  if (!/^[1-9]\d*$/.test(seconds)) throw new UsageError('--seconds takes a whole number', HINT);
  refuseUnknown(positionals, TARGETS, (target) => `there is no target named '${target}'`, HINT);
  const targets = positionals.length > 0 ? positionals : TARGETS;
  const executables = await step('build the fuzz targets (a minute the first time)', build);
  for (const target of targets) {
    const executable = executables.get(target);
    if (executable === undefined)
      throw new SetupError(`crates/etcd-transport/fuzz has no target '${target}'`);
    await step(`fuzz ${target} for ${seconds} s`, () => fuzzOne(target, executable, seconds));
  }
  return 0;
});

/** @returns {Promise<Map<string, string>>} where each target's program is */
async function build() {
  const host = /^host: (.*)$/m.exec(await mustRun(['rustc', '-vV']))?.[1] ?? '';
  const messages = await mustRun(
    // Because the target is named, build scripts and macros are built without these flags.
    [
      ...['cargo', 'build', '--release', '--locked', '--target', host],
      ...['--target-dir', inRoot('target', 'fuzz'), '--message-format', 'json-render-diagnostics'],
    ],
    {
      cwd: fuzz(),
      env: { RUSTFLAGS: COVERAGE },
      hint: 'is Rust new enough (`rustup update`), and is there a C++ compiler?',
    },
  );
  return new Map(
    artifactsIn(messages).flatMap(({ target, executable }) =>
      executable === null ? [] : [[target.name, executable]],
    ),
  );
}

/**
 * New inputs are kept in .cache/fuzz, and the next run continues from there.
 * @param {string} target
 * @param {string} executable
 * @param {string} seconds
 */
async function fuzzOne(target, executable, seconds) {
  const corpus = inCache('fuzz', target);
  mkdirSync(corpus, { recursive: true });
  const { code, output } = await run([
    executable,
    corpus,
    fuzz('seeds', target),
    `-max_total_time=${seconds}`,
    '-timeout=5',
    '-rss_limit_mb=1024',
    '-max_len=4096',
    `-artifact_prefix=${join(inCache('fuzz'), `${target}-`)}`,
  ]);
  if (code !== 0) {
    throw new SetupError(`the target ${target} failed`, {
      output: tail(output),
      hint: `the input is in .cache/fuzz; add it to ${fuzz('seeds', target)}, where each run begins`,
    });
  }
  console.log(/^Done \d+ runs.*$/m.exec(output)?.[0] ?? '');
}
