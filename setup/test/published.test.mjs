// @ts-check
// What is published: one version, metadata, the changelog's form, and exactly what the release's builders made.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inRoot } from '../lib/paths.mjs';
import { buildCommand } from '../pack/build-native.mjs';
import { problemsOfChangelog } from '../pack/changelog.mjs';
import { pack, withAbsoluteLinks } from '../pack/pack.mjs';
import { nativeFiles, platforms } from '../pack/platforms.mjs';
import { crates, npmPackages, otherVersions, PYTHON_PACKAGE, version } from '../pack/published.mjs';
import { supportPage } from '../pack/support.mjs';

const read = (/** @type {string[]} */ ...path) => readFileSync(inRoot(...path), 'utf8');
const manifestOf = (/** @type {string} */ name) => JSON.parse(read('packages', name, 'package.json'));

/** @type {string} */
let dir;
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quiesce-published-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

describe('what is published', () => {
  it('has one version, that of package.json', () => {
    assert.deepEqual(otherVersions(version()), []);
    assert.match(otherVersions('9.9.9')[0] ?? '', /packages\/etcd\/package\.json has \d/);
  });

  it('is all that is not private', () => {
    const published = readdirSync(inRoot('packages')).filter((name) => {
      try {
        return manifestOf(name).private !== true;
      } catch {
        return false;
      }
    });
    assert.deepEqual(published.sort(), [...npmPackages].sort());
    const { packages } = JSON.parse(
      execFileSync('cargo', ['metadata', '--no-deps', '--offline', '--format-version', '1'], {
        cwd: inRoot(),
        encoding: 'utf8',
      }),
    );
    /** @type {Record<string, unknown>[]} */
    const open = packages.filter((/** @type {{ publish: unknown }} */ { publish }) => publish === null);
    assert.deepEqual(open.map(({ name }) => name).sort(), [...crates].sort());
    for (const { name, ...crate } of open) {
      for (const field of ['description', 'license', 'repository', 'homepage', 'readme', 'rust_version']) {
        assert.equal(typeof crate[field], 'string', `${name}: ${field}`);
      }
      for (const field of ['keywords', 'categories']) {
        assert.ok(Array.isArray(crate[field]) && crate[field].length > 1, `${name}: ${field}`);
      }
    }
  });

  it('says what it is and where its home is', () => {
    for (const name of npmPackages) {
      const manifest = manifestOf(name);
      for (const field of ['description', 'homepage', 'bugs', 'license', 'repository']) {
        assert.ok(manifest[field], `${name}: ${field}`);
      }
      assert.ok(manifest.keywords.length > 2, name);
      assert.equal(manifest.repository.directory, `packages/${name}`);
    }
    const python = read('packages', PYTHON_PACKAGE, 'pyproject.toml');
    for (const field of ['description', 'license', 'keywords', 'Homepage', 'Repository', 'Issues']) {
      assert.match(python, new RegExp(`^${field} = `, 'm'));
    }
  });

  it('has a changelog that is kept as Keep a Changelog says', () => {
    assert.deepEqual(problemsOfChangelog(read('CHANGELOG.md'), version()), []);
    const wrong = '# Changelog\n\n## 1.0.0\n\n### New\n\n- a\n\n### Fixed\n\n## [2.0.0] - 2026-13-01\n';
    assert.deepEqual(problemsOfChangelog(wrong, '1.0.0'), [
      'it names neither keepachangelog.com nor semver.org',
      'the first section is [Unreleased]',
      '"## 1.0.0" is neither [Unreleased] nor [VERSION] - DATE',
      '"### New" is none of Added, Changed, Deprecated, Removed, Fixed, Security',
      '"### Fixed" has no entry',
      '"## [2.0.0] - 2026-13-01" is neither [Unreleased] nor [VERSION] - DATE',
    ]);
  });

  it('has the platforms that docs/support.md lists', () => {
    assert.equal(read('docs', 'support.md'), supportPage(), 'node setup/pack/support.mjs writes it');
  });
});

describe('the release workflow', () => {
  const workflow = read('.github', 'workflows', 'release.yml');

  it('builds and tries each platform of platforms.mjs, and packs what it built', () => {
    // The same module prints its matrices.
    assert.match(workflow, /node setup\/pack\/platforms-matrix\.mjs >> "\$GITHUB_OUTPUT"/);
    const printed = execFileSync(process.execPath, [inRoot('setup', 'pack', 'platforms-matrix.mjs')], {
      encoding: 'utf8',
    });
    const { include } = JSON.parse(printed.replace(/^platforms=/, ''));
    assert.deepEqual(
      include.map((/** @type {{ platform: string }} */ { platform }) => platform),
      platforms.map(({ name }) => name),
    );
    for (const use of ['build-native.mjs', 'npm run release -- --native native', 'setup/release/try.mjs']) {
      assert.ok(workflow.includes(use), use);
    }
  });

  it("builds for the oldest C library, with the tester's parts wherever there is glibc", () => {
    for (const platform of platforms) {
      const { command, env } = buildCommand(platform);
      const line = command.join(' ');
      assert.equal(
        /-p exit-amplifier -p exit-witness -p spawner/.test(line),
        platform.libc === 'glibc',
        platform.name,
      );
      assert.equal(line.includes('zigbuild'), platform.os === 'linux', platform.name);
      assert.equal(line.endsWith('-gnu.2.17'), platform.libc === 'glibc', platform.name);
      assert.equal('RUSTFLAGS' in env, platform.libc === 'musl', platform.name);
    }
  });

  it('publishes every crate, in order', () => {
    assert.ok(workflow.includes(`cargo publish --locked ${crates.map((name) => `-p ${name}`).join(' ')}\n`));
  });
});

describe('packing', () => {
  /** A folder as the release's builders leave it. Each file contains its own path. */
  function built() {
    const folder = join(dir, 'native');
    for (const platform of platforms) {
      mkdirSync(join(folder, platform.name), { recursive: true });
      for (const file of Object.values(nativeFiles(platform))) {
        writeFileSync(join(folder, platform.name, file), `${platform.name}/${file}`);
      }
    }
    return folder;
  }
  const inTarball = (/** @type {string} */ tarball, /** @type {string} */ file) =>
    execFileSync('tar', ['-xzOf', tarball, `package/${file}`], { encoding: 'utf8' });

  it("takes what the release's builders made, also where this machine has built its own", async () => {
    const tarballs = await pack(join(dir, 'packed'), { native: built() });
    assert.deepEqual(Object.keys(tarballs), [
      ...platforms.map(({ name }) => `@quiesce/etcd-${name}`),
      '@quiesce/etcd',
      'quiesce',
    ]);
    for (const { name } of platforms) {
      const tarball = tarballs[`@quiesce/etcd-${name}`] ?? '';
      assert.equal(inTarball(tarball, 'etcd-transport.node'), `${name}/etcd-transport.node`);
    }
    const quiesce = tarballs.quiesce ?? '';
    const listed = execFileSync('tar', ['-tzf', quiesce], { encoding: 'utf8' });
    assert.deepEqual(listed.match(/(?<=package\/native\/).+/g)?.sort(), [
      'exit-amplifier.linux-arm64.so',
      'exit-amplifier.linux-x64.so',
      'exit-witness.linux-arm64.so',
      'exit-witness.linux-x64.so',
      'spawner.linux-arm64',
      'spawner.linux-x64',
    ]);
    for (const cpu of ['x64', 'arm64']) {
      for (const [crate, ending] of [
        ['exit-amplifier', '.so'],
        ['exit-witness', '.so'],
        ['spawner', ''],
      ]) {
        const text = inTarball(quiesce, `native/${crate}.linux-${cpu}${ending}`);
        assert.equal(text, `linux-${cpu}-gnu/${crate}${ending}`);
      }
    }
    // Artifacts of a workflow have lost their modes.
    assert.match(
      execFileSync('tar', ['-tvzf', quiesce, 'package/native/spawner.linux-x64'], { encoding: 'utf8' }),
      /^-rwxr-xr-x /,
    );
  });

  it('refuses to leave a platform out, or to take one that it does not know', async () => {
    const folder = built();
    rmSync(join(folder, 'linux-arm64-gnu', 'exit-witness.so'));
    await assert.rejects(
      pack(join(dir, 'other'), { native: folder }),
      /linux-arm64-gnu\/exit-witness\.so is missing/,
    );
    mkdirSync(join(folder, 'linux-pdp11'));
    await assert.rejects(pack(join(dir, 'other'), { native: folder }), /no platform is named linux-pdp11/);
  });

  it('gives READMEs links that work away from the repository', () => {
    assert.equal(
      withAbsoluteLinks(
        '[a](../../docs/tester.md#x) [b](https://b.example) [c](#d) ![e](e.svg)',
        'packages/quiesce',
      ),
      '[a](https://github.com/quiesce/quiesce/blob/main/docs/tester.md#x) [b](https://b.example) [c](#d) ' +
        '![e](https://github.com/quiesce/quiesce/raw/main/packages/quiesce/e.svg)',
    );
  });

  it('does not build where the native code is given', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [inRoot('setup', 'commands', 'pack.mjs'), '--native', join(dir, 'nowhere')],
      {
        cwd: inRoot(),
        encoding: 'utf8',
        env: { ...process.env, PATH: `${join(process.execPath, '..')}:/usr/bin:/bin` },
      },
    );
    assert.notEqual(status, 0);
    assert.doesNotMatch(stderr, /cargo/);
  });
});
