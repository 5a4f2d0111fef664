import { globMatcher } from '../glob.js';
import type { LeftThread } from './witness.js';

/** Hosts that start their own threads from the program itself. */
const HOST = /\/(?:node|bun|deno)$/;

/** What starts all threads of Java: its own and those of the program, which only their names tell apart. */
const JVM = /\/libjvm\.so$/;
/** Starts the thread that calls Java's `main`. */
const LAUNCHER = /\/libjli\.so$/;

// The threads of HotSpot and of Java's libraries that no program can end, as the kernel has their names.
const ownOfJava: readonly ((name: string) => boolean)[] = [
  // What executes and watches the program.
  ...[
    'VM Thread',
    'VM Periodic Tas',
    'Service Thread',
    'Monitor Deflati',
    'Signal Dispatch',
    'Attach Listener',
  ],
  ...['C? CompilerThre', 'JVMCI*', 'Sweeper thread', 'AsyncLog Thread', 'JFR *'],
  // The garbage collectors: Serial, Parallel and G1, Shenandoah, ZGC.
  ...['GC Thread#*', 'G1 *', 'RuntimeWorker#*', 'Shenandoah*', 'StringDedup*', 'StrDedup'],
  ...[
    'ZWorker*',
    'ZDriver*',
    'ZDirector',
    'ZStat',
    'ZUncommit*',
    'ZUnmapper',
    'XWorker*',
    'XDriver',
    'XDirector',
    'XStat',
  ],
  // Java's libraries.
  ...['Reference Handl', 'Finalizer', 'Common-Cleaner', 'Notification Th', 'process reaper'],
].map(globMatcher);

/** The left threads that aren't the language host's own and harmless, such as Node's signal thread. */
export function withoutHostThreads(threads: readonly LeftThread[]): LeftThread[] {
  // The first thread of Java only waits for the one that calls `main`, and `System.exit` leaves both.
  const inJava = threads.some(({ library }) => library !== null && LAUNCHER.test(library));
  return threads.filter(({ name, library, main }) => {
    if (library === null) return !(main && inJava);
    if (JVM.test(library)) return !ownOfJava.some((matches) => matches(name));
    return !HOST.test(library) && !LAUNCHER.test(library);
  });
}
