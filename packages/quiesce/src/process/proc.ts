import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A file of /proc, or one that another process made; '' where it isn't there, or isn't ours to read. */
export function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** What a link of /proc leads to; '' as above. */
export function linkOfProc(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The entries of a folder of /proc; none as above. */
export function listProc(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
