import { execFileSync } from 'node:child_process';

/** The interpreter itself: `python3` may be a wrapper of several processes. */
export function realPython(): string {
  try {
    const options = { encoding: 'utf8', timeout: 240_000 } as const;
    return execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], options).trim();
  } catch {
    return 'python3';
  }
}
