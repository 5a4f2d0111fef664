// @ts-check
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hasCargo } from '../build/cargo.mjs';
import { etcdPythonCargo, provideProtoc } from '../build/etcd-python.mjs';
import { run } from '../lib/command.mjs';
import { fetching } from '../lib/fetch.mjs';
import { inRoot } from '../lib/paths.mjs';
import { testerExamples } from '../pack/published.mjs';
import { FETCH_MODULES, hasGo } from '../provide/go.mjs';
import { createLinterEnvironment } from '../provide/python.mjs';
import { hasValgrind } from '../sanitizers/memcheck.mjs';
import { countCargoTests } from './count-cargo-tests.mjs';
import { runNodeTests } from './node-tests.mjs';
import { circlesOfCrates } from './rust-modules.mjs';

/**
 * @typedef {{ passed?: number, failed?: number, skipped?: number, skipReason?: string, output?: string }} Result
 * @typedef {object} Check
 * @property {string} group
 * @property {string} title
 * @property {boolean} [patient] nothing in it depends on time, so it runs beside the others, with the processor time
 * that they leave
 * @property {() => Promise<Result>} run
 */

const workflows = inRoot('.github', 'workflows');
const actionlint = ['go', 'run', 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12'];

/**
 * All checks of the repository: quick ones first, and last those that the patient checks make quick. (`tsc` ran in
 * set-up.)
 * @param {string[]} files parts of paths of the Node tests to run; all when empty
 * @returns {Check[]}
 */
export function checks(files) {
  return [
    command('lint', [inRoot('node_modules', '.bin', 'biome'), 'check', '--error-on-warnings', '.'], {
      title: 'biome check',
    }),
    command('lint', [inRoot('node_modules', '.bin', 'tsc'), '-p', inRoot('setup')], {
      title: 'types of setup/',
    }),
    {
      group: 'lint',
      title: 'prose (setup/prose/rules.yml)',
      run: async () => (await import('./prose.mjs')).lintProse(),
    },
    {
      group: 'lint',
      title: 'Rust modules without circles',
      run: async () => {
        const circles = circlesOfCrates();
        return { passed: circles.length === 0 ? 1 : 0, failed: circles.length, output: circles.join('\n') };
      },
    },
    {
      group: 'lint',
      title: 'public API as reviewed (packages/*/api; npm run api rewrites it)',
      run: async () => {
        const outdated = (await import('../api/reports.mjs')).outdatedReports();
        return {
          passed: outdated.length === 0 ? 1 : 0,
          failed: outdated.length,
          output: outdated.join('\n'),
        };
      },
    },
    cargo(['fmt', '--all', '--check']),
    ...etcdPythonChecks(),
    patient(cargo(['clippy', '--workspace', '--all-targets', '--', '-D', 'warnings'])),
    ...rustTests.map(({ title, args, ...options }) =>
      patient(cargo(['test', '--no-run', ...args], { ...options, title: `build of: ${title}` })),
    ),
    patient(command('docs', ['npm', 'run', '--silent', 'docs'], { title: 'the site, with the references' })),
    patient({
      group: 'rust',
      title: 'owned-runtime-napi with the lowest napi and napi-derive that it states',
      run: async () =>
        hasCargo()
          ? (await import('./lowest-napi.mjs')).testLowestNapi()
          : { skipped: 1, skipReason: withoutCargo() },
    }),
    patient(
      cargo(['test', '--package', 'owned-runtime-napi', '--doc', '--no-default-features', 'register'], {
        title: "owned-runtime-napi's install! without its features",
      }),
    ),
    // Compiler flags would rebuild everything in the shared target folder.
    patient(
      cargo(
        [
          'test',
          '--release',
          '--package',
          'owned-runtime',
          '--lib',
          '--target-dir',
          inRoot('target', 'loom'),
        ],
        { title: 'loom models of owned-runtime', env: { RUSTFLAGS: '--cfg owned_runtime_loom' } },
      ),
    ),
    ...[
      'packages/test-services/etcd-server',
      'packages/test-services/etcdutl',
      'packages/test-services/clientv3',
      'bench/go',
      'scenarios/nemesis/judge',
    ].map((dir) =>
      command('go', ['go', 'vet', './...'], {
        title: `go vet ${dir}`,
        cwd: inRoot(dir),
        fetch: FETCH_MODULES,
        skipReason: () => (hasGo() ? undefined : 'skipped, Go is missing'),
      }),
    ),
    command(
      'go',
      [
        ...actionlint,
        ...readdirSync(workflows).map((name) => join(workflows, name)),
        ...testerExamples().map((name) => inRoot('examples', 'tester', name, 'workflow.yml')),
      ],
      {
        title: 'actionlint of the workflows',
        fetch: [...actionlint, '-version'],
        skipReason: () => (hasGo() ? undefined : 'skipped, Go is missing'),
      },
    ),
    linter(
      'zizmor',
      ['--offline', '--quiet', '--strict-collection', inRoot('.github'), inRoot('action.yml')],
      {
        title: 'zizmor of the workflows and the action',
      },
    ),
    linter('hadolint', [inRoot('docker', 'Dockerfile')], { title: 'hadolint of the Dockerfile' }),
    { group: 'node', title: 'Node tests', run: () => runNodeTests(files) },
    ...rustTests.map(({ title, args, ...options }) => cargo(['test', ...args], { ...options, title })),
    {
      group: 'rust',
      title: 'owned-runtime on its oldest Rust, with the lowest versions of its dependencies',
      run: async () =>
        hasCargo()
          ? (await import('./oldest-rust.mjs')).testOldestRust()
          : { skipped: 1, skipReason: withoutCargo() },
    },
    command('sanitizers', ['npm', 'run', '--silent', 'sanitizers', '--', 'slice'], {
      title: 'sanitizers: an exit with calls, a watch and workers, under valgrind',
      skipReason: () => (hasValgrind() ? undefined : 'skipped, valgrind is missing'),
    }),
    command('rust', ['npm', 'run', '--silent', 'fuzz', '--', '--seconds', '5'], {
      title: 'fuzzing of what the native core reads, in short',
      skipReason: withoutCargo,
    }),
    {
      group: 'runtimes',
      title: 'the client on other Nodes, Bun and Deno',
      // Loaded late, after the packages that it needs have been installed.
      run: async () => (await import('./client-on-runtimes.mjs')).runClientOnRuntimes(),
    },
    {
      group: 'python',
      title: 'owned-runtime-pyo3 on each Python',
      run: async () => (await import('./python-bridge.mjs')).runPythonBridge(),
    },
    command('field', ['npm', 'run', '--silent', 'field', '--', '--ci'], {
      title: 'the field, in short: five public cases',
    }),
    command(
      'nemesis',
      ['npm', 'run', '--silent', 'nemesis', '--', '--minutes', '0.7', '--seed', '920', '--plant'],
      {
        title: 'the nemesis, in short',
        skipReason: () => (hasGo() ? undefined : 'skipped, Go is missing'),
      },
    ),
  ];
}

/** @type {{ title: string, args: string[], env?: Record<string, string> }[]} */
const rustTests = [
  { title: 'cargo test', args: ['--workspace', '--exclude', 'owned-runtime'] },
  { title: 'cargo test of owned-runtime', args: ['--package', 'owned-runtime', '--all-features'] },
  {
    title: 'owned-runtime as on systems without a bounded join',
    args: ['--package', 'owned-runtime', '--all-features'],
    // For the workspace's crates only: flags for everything would rebuild their dependencies.
    env: { RUSTC_WORKSPACE_WRAPPER: inRoot('setup', 'checks', 'plain-join.sh') },
  },
];

/** @type {(check: Check) => Check} */
const patient = (check) => ({ ...check, patient: true });

/**
 * @param {string[]} args
 * @param {Partial<CommandOptions>} [options]
 */
function cargo(args, options = {}) {
  return command('rust', ['cargo', ...args], {
    title: `cargo ${args[0]}`,
    skipReason: withoutCargo,
    ...options,
  });
}

/** Checks of the example that is its own workspace. */
function etcdPythonChecks() {
  const { manifest, env } = etcdPythonCargo;
  // In the target folder of the workspace's clippy, with which it shares most dependencies.
  const target = ['--target-dir', inRoot('target')];
  const clippy = cargo(
    ['clippy', '--locked', ...manifest, ...target, '--all-targets', '--', '-D', 'warnings'],
    {
      title: 'cargo clippy of examples/etcd-python',
      env,
    },
  );
  const run = async () =>
    (await provideProtoc())
      ? await clippy.run()
      : { skipped: 1, skipReason: 'skipped, Python with venv is missing' };
  return [
    cargo(['fmt', ...manifest, '--check'], { title: 'cargo fmt of examples/etcd-python' }),
    patient({ ...clippy, run }),
  ];
}

/**
 * A linter that comes from PyPI.
 * @param {string} name
 * @param {string[]} args
 * @param {{ title: string }} options
 * @returns {Check}
 */
function linter(name, args, { title }) {
  return {
    group: 'lint',
    title,
    async run() {
      const folder = await createLinterEnvironment();
      if (folder === undefined) return { skipped: 1, skipReason: 'skipped, Python with venv is missing' };
      return await command('lint', [join(folder, name), ...args], { title }).run();
    },
  };
}

function withoutCargo() {
  return hasCargo() ? undefined : 'skipped, cargo is missing';
}

/**
 * @typedef {object} CommandOptions
 * @property {string} title
 * @property {() => string | undefined} [skipReason] why it can't be run here, if so
 * @property {string[]} [fetch] a command that downloads what this one needs
 * @property {string} [cwd]
 * @property {Record<string, string>} [env]
 */

/**
 * @param {string} group
 * @param {string[]} words
 * @param {CommandOptions} options
 * @returns {Check}
 */
function command(group, words, { title, skipReason, fetch, ...options }) {
  return {
    group,
    title,
    async run() {
      const reason = skipReason?.();
      if (reason !== undefined) return { skipped: 1, skipReason: reason };
      const fetched = fetch && (await fetching(fetch, options));
      const { code, output } =
        fetched !== undefined && fetched.code !== 0 ? fetched : await run(words, options);
      return { ...countCargoTests(output, code), output };
    },
  };
}
