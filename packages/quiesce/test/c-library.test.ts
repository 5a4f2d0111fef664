import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { isMusl, usesMusl } from '../src/process/c-library.js';

const line = (file: string) =>
  `7f5439e88000-7f5439e9d000 r--p 00000000 fe:00 10325976                   ${file}\n`;

test('musl is known by what a process has mapped', () => {
  // The names on Alpine, and in Debian's package.
  assert.ok(usesMusl(line('/usr/bin/node') + line('/lib/ld-musl-x86_64.so.1') + line('[vdso]')));
  assert.ok(usesMusl(line('/usr/lib/x86_64-linux-musl/libc.so')));
  assert.equal(usesMusl(line('/usr/lib/x86_64-linux-gnu/libc.so.6')), false);
  assert.equal(usesMusl(''), false);
});

test('this system has the C library that ldd says', { skip: process.platform !== 'linux' }, () => {
  const ldd = execFileSync('sh', ['-c', 'ldd --version 2>&1 || true'], { encoding: 'utf8' });
  assert.equal(isMusl(), /musl/.test(ldd));
});
