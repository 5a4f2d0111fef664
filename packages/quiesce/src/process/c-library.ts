import { readProc } from './proc.js';

let known: boolean | undefined;

/**
 * Whether this system's C library is musl (Alpine). The preload libraries are made for glibc: with them, a program on
 * musl would not start.
 */
export function isMusl(): boolean {
  known ??= usesMusl(readProc('/proc/self/maps'));
  return known;
}

/**
 * Whether a process with these mapped files runs on musl. On Alpine, the library is also the loader and has the
 * loader's name.
 */
export const usesMusl = (maps: string): boolean =>
  /\/(ld-musl-[\w-]+\.so\.1|[\w-]+-linux-musl\/libc\.so)$/m.test(maps);
