import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Content of a file in /proc, or of one that another process made; '' if it doesn't exist or may not be read. */
export function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Target of a link in /proc; '' as above. */
export function linkOfProc(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The entries of a folder in /proc; none as above. */
export function listProc(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
