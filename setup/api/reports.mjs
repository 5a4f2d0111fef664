// @ts-check
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { SetupError } from '../lib/errors.mjs';
import { inRoot } from '../lib/paths.mjs';

/** The packages whose types are public. Each of their entry points has a report of its own. */
const PACKAGES = ['etcd', 'quiesce'];

const silent = { default: { logLevel: ExtractorLogLevel.None } };

/**
 * The type declarations of a package's entry points, by the report's name.
 * @param {string} name
 * @returns {Record<string, string>}
 */
function entryPoints(name) {
  const manifest = JSON.parse(readFileSync(inRoot('packages', name, 'package.json'), 'utf8'));
  /** @type {{ types?: string }[]} */
  const exported = Object.values(manifest.exports);
  return Object.fromEntries(
    exported.flatMap(({ types }) =>
      types === undefined ? [] : [[basename(types, '.d.ts'), inRoot('packages', name, types)]],
    ),
  );
}

/**
 * What an entry point exports, with all types that it refers to.
 * @param {string} name the package
 * @param {string} report
 * @param {string} types
 * @returns {string}
 */
function extract(name, report, types) {
  if (!existsSync(types)) throw new SetupError(`${types} is missing`, { hint: 'npm run build makes it' });
  const folder = mkdtempSync(join(tmpdir(), 'quiesce-api-'));
  try {
    const config = ExtractorConfig.prepare({
      configObjectFullPath: undefined,
      packageJsonFullPath: inRoot('packages', name, 'package.json'),
      configObject: {
        projectFolder: inRoot('packages', name),
        mainEntryPointFilePath: types,
        newlineKind: 'lf',
        compiler: {
          overrideTsconfig: {
            compilerOptions: {
              ...{ module: 'nodenext', moduleResolution: 'nodenext', target: 'es2022', strict: true },
              ...{ lib: ['es2023', 'esnext.disposable'], types: ['node'], skipLibCheck: true },
            },
            files: [types],
          },
        },
        apiReport: {
          enabled: true,
          reportFileName: `${report}.api.md`,
          reportFolder: folder,
          reportTempFolder: join(folder, 'temporary'),
        },
        docModel: { enabled: false },
        dtsRollup: { enabled: false },
        tsdocMetadata: { enabled: false },
        // Only type errors fail this. Remarks on comments are for typedoc, which makes the site.
        messages: { extractorMessageReporting: silent, tsdocMessageReporting: silent },
      },
    });
    /** @type {string[]} */
    const errors = [];
    const { succeeded } = Extractor.invoke(config, {
      localBuild: true,
      messageCallback(message) {
        message.handled = true;
        if (message.logLevel === ExtractorLogLevel.Error)
          errors.push(message.formatMessageWithLocation(inRoot()));
      },
    });
    if (!succeeded || errors.length > 0) {
      throw new SetupError(`the public types of ${name} can't be read`, { output: errors.join('\n') });
    }
    return readFileSync(join(folder, `${report}.api.md`), 'utf8');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const folderOf = (/** @type {string} */ name) => inRoot('packages', name, 'api');

/**
 * The expected content of every report, by its path from the repository's top.
 * @returns {Record<string, string>}
 */
function current() {
  return Object.fromEntries(
    PACKAGES.flatMap((name) =>
      Object.entries(entryPoints(name)).map(([report, types]) => [
        `packages/${name}/api/${report}.api.md`,
        extract(name, report, types),
      ]),
    ),
  );
}

/** Paths of the reports in the repository. */
const committed = () =>
  PACKAGES.flatMap((name) =>
    existsSync(folderOf(name))
      ? readdirSync(folderOf(name)).map((file) => `packages/${name}/api/${file}`)
      : [],
  );

/**
 * Reports that differ from the compiled types, each with its first different line.
 * @returns {string[]}
 */
export function outdatedReports() {
  const wanted = current();
  const paths = new Set([...Object.keys(wanted), ...committed()]);
  return [...paths].flatMap((path) => {
    const now = wanted[path];
    if (now === undefined) return [`${path}: there is no such entry point any more`];
    if (!existsSync(inRoot(path))) return [`${path} is missing`];
    const [before, after] = [readFileSync(inRoot(path), 'utf8').split('\n'), now.split('\n')];
    const first = after.findIndex((line, i) => line !== before[i]);
    if (first < 0 && before.length === after.length) return [];
    return [`${path}:${first + 1}: ${before[first] ?? ''}\n  is now ${after[first] ?? 'the end'}`];
  });
}

/** Writes all reports. */
export function writeReports() {
  const wanted = current();
  for (const path of committed()) if (!(path in wanted)) rmSync(inRoot(path));
  for (const [path, text] of Object.entries(wanted)) {
    mkdirSync(dirname(inRoot(path)), { recursive: true });
    writeFileSync(inRoot(path), text);
  }
  return Object.keys(wanted);
}
