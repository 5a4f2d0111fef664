import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

let problem: string | undefined | null = null;

/** Why /proc doesn't show the processes here; `undefined` if it does, and on systems that have none. */
export function procProblem(): string | undefined {
  if (problem === null) problem = process.platform === 'linux' ? findProblem() : undefined;
  return problem;
}

function findProblem(): string | undefined {
  const own = linkOf('/proc/self');
  if (own === '') return '/proc is not mounted';
  if (own !== String(process.pid))
    return '/proc belongs to another PID namespace: mount one for this namespace, as unshare --mount-proc does';
  return entriesOf('/proc').includes(own) ? undefined : '/proc may not be listed';
}

/** Whether a path may be read. In another PID namespace's /proc, a number is that of another process. */
const means = (path: string): boolean => procProblem() === undefined || !/^\/proc(?:\/\d|$)/.test(path);

/** Content of a file in /proc, or of one that another process made; '' if it doesn't exist or may not be read. */
export function readProc(path: string): string {
  try {
    return means(path) ? readFileSync(path, 'utf8') : '';
  } catch {
    return '';
  }
}

/** Target of a link in /proc; '' as above. */
export const linkOfProc = (path: string): string => (means(path) ? linkOf(path) : '');

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The entries of a folder in /proc; none as above. */
export const listProc = (path: string): string[] => (means(path) ? entriesOf(path) : []);

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
