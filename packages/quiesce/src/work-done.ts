import { writeSync } from 'node:fs';

/**
 * Tells the tester that the program's work is done and that its exit follows. Writes the line `done` synchronously to
 * the file descriptor in `QUIESCE_DONE_FD`. Does nothing outside the tester, and never throws: a program under test
 * must not fail because nothing listens. On Deno it needs `--allow-env`, and `--allow-ffi` as native addons do.
 */
export function workDone(): void {
  try {
    const { QUIESCE_DONE_FD } = process.env;
    const fd = Number(QUIESCE_DONE_FD);
    if (!Number.isInteger(fd) || fd < 0 || QUIESCE_DONE_FD === '') return;
    const { Deno } = globalThis as { readonly Deno?: DenoForeign };
    if (Deno === undefined) writeSync(fd, 'done\n');
    else writeOnDeno(Deno, fd, 'done\n');
  } catch {
    // The descriptor was closed, or the tester is gone.
  }
}

interface DenoForeign {
  readonly build: { readonly os: string };
  dlopen(
    library: string,
    symbols: { readonly write: { readonly parameters: readonly string[]; readonly result: string } },
  ): { readonly symbols: { write(fd: number, bytes: Uint8Array, length: bigint): bigint } };
}

// Deno has its own numbers for files, and none for inherited descriptors.
function writeOnDeno({ build, dlopen }: DenoForeign, fd: number, text: string): void {
  const libc = build.os === 'linux' ? 'libc.so.6' : 'libSystem.B.dylib';
  const write = { parameters: ['i32', 'buffer', 'usize'], result: 'isize' };
  const bytes = new TextEncoder().encode(text);
  dlopen(libc, { write }).symbols.write(fd, bytes, BigInt(bytes.length));
}
