// Locks and files between processes: one holder at a time, and nothing of a dead or late one in the way.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomically } from '../src/files/atomic-write.js';
import { withLock } from '../src/files/file-lock.js';
import { makeTemporaryDirectory } from '../src/files/temporary-directory.js';
import { removeAtEnd, shareWith } from '../src/process/temporary-path.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('files');

const longAgo = new Date(Date.now() - 60_000);

test('a lock has one holder at a time, and of a dead one it is taken over by one', async () => {
  const lock = join(dir, 'lock');
  writeFileSync(lock, 'of a dead process');
  utimesSync(lock, longAgo, longAgo);
  let holders = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++holders);
    await sleep(2);
    holders--;
  };
  await Promise.all(Array.from({ length: 20 }, () => withLock(lock, {}, work)));
  assert.equal(most, 1);
  assert.deepEqual(readdirSync(dir), []);
});

test('who lost its lock while it was stopped leaves it to its new holder', async () => {
  const lock = join(dir, 'lost');
  await withLock(lock, {}, async () => writeFileSync(lock, 'of another process'));
  assert.equal(readFileSync(lock, 'utf8'), 'of another process');
  await assert.rejects(
    withLock(lock, { waitMs: 100 }, async () => {}),
    /lost is locked by another/,
  );
  await assert.rejects(
    withLock(lock, { signal: AbortSignal.abort(new Error('enough')) }, async () => {}),
    /enough/,
  );
  rmSync(lock);
});

test('a file that is replaced keeps its permissions, and is never readable for others', async () => {
  const at = mkdtempSync(join(dir, 'private-'));
  const file = join(at, 'report');
  for (const mode of [0o640, 0o600, 0o664]) {
    writeFileSync(file, 'old');
    chmodSync(file, mode);
    await writeAtomically(file, 'new');
    assert.equal(readFileSync(file, 'utf8'), 'new');
    assert.equal(statSync(file).mode & 0o7777, mode);
  }
  rmSync(at, { recursive: true });
});

test('a file that can not be written stays as it is, and no draft is left', async () => {
  const file = join(dir, 'file');
  await writeAtomically(file, 'old');
  await writeAtomically(file, 'new');
  assert.equal(readFileSync(file, 'utf8'), 'new');
  mkdirSync(join(dir, 'folder'));
  await assert.rejects(writeAtomically(join(dir, 'folder'), 'text'), /EISDIR|ENOTEMPTY|EEXIST/);
  assert.deepEqual(readdirSync(dir), ['file', 'folder']);
});

test('a temporary directory goes with all that is in it, and no character of its name can do harm', () => {
  const directory = makeTemporaryDirectory('quiesce-../../etc');
  assert.match(directory.path.slice(tmpdir().length), /^\/quiesce-\.\._\.\._etc-\w{6}$/);
  writeFileSync(join(directory.path, 'file'), '');
  directory.remove();
  directory.remove();
  assert.throws(() => readdirSync(directory.path), /ENOENT/);
});

test('a tree that its owner can not write to goes, and one whose paths are longer than a system call takes', () => {
  const root = mkdtempSync(join(tmpdir(), 'quiesce-test-'));
  const tree = join(root, 'tree');
  const script = `
    mkdir -p tree/a/b tree/hidden; touch tree/a/b/c; chmod 500 tree/a/b tree/a; chmod 0 tree/hidden
    (cd tree; for i in $(seq 60); do d=$(printf 'd%.0s' $(seq 100)); mkdir $d; cd -P $d; done)`;
  const code = `
    import { removeTree } from ${JSON.stringify(new URL('../src/process/temporary-path.js', import.meta.url))};
    removeTree(${JSON.stringify(tree)});`;
  // For root, all of them can be written to.
  const other = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(root, 65534, 65534);
  for (const words of [
    ['sh', '-c', script],
    [process.execPath, '--input-type=module', '-e', code],
  ]) {
    const [file = '', ...args] = isRoot ? [...other, ...words] : words;
    const { status, stderr } = spawnSync(file, args, { cwd: root, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
  assert.deepEqual(readdirSync(root), []);
  rmSync(root, { recursive: true });
});

const mayMount = spawnSync('unshare', ['--map-root-user', '--mount', 'true']).status === 0;

test('what is mounted in a directory stays, with the rest of that directory', {
  skip: !mayMount && 'no namespaces can be made here',
}, () => {
  const kept = join(dir, 'kept');
  const tree = join(dir, 'tree with blanks');
  const code = `
    import { execFileSync } from 'node:child_process';
    import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
    import { removeTree } from ${JSON.stringify(new URL('../src/process/temporary-path.js', import.meta.url))};
    const [kept, tree] = ${JSON.stringify([kept, tree])};
    for (const path of [kept, tree, tree + '/m']) mkdirSync(path);
    for (const path of [kept, tree]) writeFileSync(path + '/file', '');
    execFileSync('mount', ['--bind', kept, tree + '/m']);
    try { removeTree(tree); } catch (error) { console.log(error.message); }
    console.log(existsSync(kept + '/file'), existsSync(tree + '/file'));
    execFileSync('umount', [tree + '/m']);
    removeTree(tree);
    console.log(existsSync(kept + '/file'), existsSync(tree));`;
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['--map-root-user', '--mount', process.execPath, '--input-type=module', '-e', code],
    { encoding: 'utf8' },
  );
  assert.match(stdout, /with blanks\/m is a mount point, .*\ntrue true\ntrue false\n$/, stderr);
});

test('what outlives this process is told, by its whole path, what this process has yet to remove', () => {
  const [first, second] = ['first', 'second'].map((name) => join(dir, name)) as [string, string];
  const told = new Set<string>();
  const removeFirst = removeAtEnd(first);
  const unshare = shareWith({
    remember: (path) => void told.add(path),
    forget: (path) => assert.ok(told.delete(path)),
  });
  const removeSecond = removeAtEnd(relative(process.cwd(), second));
  writeFileSync(second, '');
  for (const path of [first, second]) assert.ok(told.has(path));
  removeSecond();
  assert.deepEqual([existsSync(second), told.has(second)], [false, false]);
  unshare();
  assert.equal(told.size, 0, 'this process still uses it');
  removeFirst();
});
