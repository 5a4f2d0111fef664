// docs/parity.md names nothing that isn't there: no export, no member, no test.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const etcdPackage = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const read = (...path: string[]): string => readFileSync(join(etcdPackage, ...path), 'utf8');

/** What the table writes for objects that a client gives out. */
const classes: Readonly<Record<string, readonly string[]>> = {
  etcd: ['EtcdClient', 'Namespace', 'Keyspace'],
  'etcd.auth': ['Auth'],
  'etcd.cluster': ['Cluster'],
  'etcd.lease': ['LeaseClient'],
  'etcd.maintenance': ['Maintenance'],
  watch: ['Watch'],
};

const sources = readdirSync(join(etcdPackage, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.includes('generated'))
  .map((file) => read('src', file));
const index = read('src', 'index.ts').replace(/ from '.*';/g, '');

/** The text of a declaration of that name, as biome lays it out. */
function declarationOf(name: string): string | undefined {
  const start = new RegExp(`^export (?:abstract )?(?:class|interface|const|type) ${name}\\b`, 'm');
  for (const source of sources) {
    const found = start.exec(source);
    if (found !== null) return source.slice(found.index, source.indexOf('\n}', found.index));
  }
  return undefined;
}

function hasMember(owner: string, member: string): boolean {
  const body = declarationOf(owner);
  const pattern = new RegExp(`^  (?:declare |static |readonly |async |get |\\*)*${member}\\??[(<:]`, 'm');
  if (body === undefined) return false;
  if (pattern.test(body)) return true;
  const [, base] = /^export interface \w+(?:<.*?>)? extends (\w+)/.exec(body) ?? [];
  return base !== undefined && hasMember(base, member);
}

function isExported(name: string): boolean {
  return new RegExp(`\\b${name}\\b`).test(index);
}

/** Whether there is such an export, or such a member of one. */
function isThere(name: string): boolean {
  const [, owner, member = ''] = /^(.*)\.(\w+)$/.exec(name) ?? [];
  if (owner === undefined) return isExported(name);
  const owners = classes[owner] ?? (isExported(owner) ? [owner] : []);
  return owners.some((owner) => hasMember(owner, member));
}

const rows = readFileSync(join(etcdPackage, '..', '..', 'docs', 'parity.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map(
    (line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()) as [string, string, string],
  );

const names = (cell: string): string[] => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = '']) => name);

test('the check tells what is there from what is not', () => {
  for (const name of ['connect', 'etcd.put', 'etcd.auth.userAdd', 'RangeOptions.limit', 'compare.value']) {
    assert.ok(isThere(name), name);
  }
  for (const name of ['disconnect', 'etcd.puts', 'etcd.auth.put', 'RangeOptions.prevKv', 'Nothing.at']) {
    assert.ok(!isThere(name), name);
  }
});

test('each name in the table is there', () => {
  assert.ok(rows.length > 90);
  const missing = rows.flatMap(([, here]) => names(here)).filter((name) => !isThere(name));
  assert.deepEqual(missing, []);
});

test('each test in the table is there', () => {
  const missing = rows
    .filter(([, here]) => here !== 'none')
    .filter(([, , cell]) => {
      const [, file = '', title = ''] = /^`([\w-]+\.test\.ts)`: (.+)$/.exec(cell) ?? [];
      if (!existsSync(join(etcdPackage, 'test', file)) || title === '') return true;
      const source = read('test', file);
      return !["'", '"', '`'].some((quote) => source.includes(`${quote}${title}${quote}`));
    })
    .map(([go, , cell]) => `${go}: ${cell}`);
  assert.deepEqual(missing, []);
});

test('a row without a counterpart says why', () => {
  const silent = rows.filter(([, here, why]) => here === 'none' && !/^[A-Z].*\.$/.test(why));
  assert.deepEqual(silent, []);
});

test('no function of clientv3 is in the table twice', () => {
  const all: string[] = [];
  let section = '';
  for (const line of readFileSync(join(etcdPackage, '..', '..', 'docs', 'parity.md'), 'utf8').split('\n')) {
    if (line.startsWith('## ')) section = line.slice(3);
    if (line.startsWith('| `')) all.push(...names(line.split('|')[1] ?? '').map((go) => `${section} ${go}`));
  }
  assert.deepEqual(
    all.filter((name, at) => all.indexOf(name) !== at),
    [],
  );
});
