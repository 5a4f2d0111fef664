import { builtIn } from '../built-in.js';
import { StatusCode, UnavailableError } from '../errors.js';

/** What the system reports when this process, or all processes together, have used up a resource. */
const shortages =
  /\b(EMFILE|ENFILE|ENOMEM|EAGAIN)\b|too many open files|cannot allocate memory|failed to map segment|resource temporarily unavailable/i;

/** Whether something failed because the system had no descriptor, memory or thread for it. It may work later. */
export function isShortage(error: unknown): boolean {
  return error instanceof Error && shortages.test(error.message);
}

/** The error for something that this process can't do now. Nothing was sent. */
export function shortage(message: string, cause: unknown): UnavailableError {
  return new UnavailableError(
    `${message}; this process has no descriptor, memory or thread left for it: free some, or raise its limits (ulimit), and try again`,
    { code: StatusCode.UNAVAILABLE, sent: false, cause },
  );
}

/** Throws where the system refuses this process so many more descriptors. */
export function tryDescriptors(count: number): void {
  const { closeSync, openSync } = builtIn('node:fs');
  const taken: number[] = [];
  try {
    while (taken.length < count) taken.push(openSync(process.execPath, 'r'));
  } catch (error) {
    // A host that forbids reading there may have descriptors anyway.
    if (isShortage(error)) throw error;
  } finally {
    for (const descriptor of taken) closeSync(descriptor);
  }
}
