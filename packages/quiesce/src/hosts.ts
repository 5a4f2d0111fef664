// What belongs to a language's host: its program file, and the threads that it starts for itself.
import { globMatcher } from './glob.js';

/**
 * The host that a file is: its program, or its library, such as `libnode.so.115`. Distributions add a version to the name
 * (`node22`, `nodejs`), and npm's package of Bun has `bun.exe` on every system.
 */
export function hostOf(file: string): 'node' | 'bun' | 'deno' | undefined {
  const name = /(?:^|\/)(node|bun|deno)(?:js)?(?:[-_]?\d[\d.]*|-(?:profile|baseline|debug))?(?:\.exe)?$/.exec(
    file,
  )?.[1];
  if (/(?:^|\/)libnode\.so(?:\.\d+)*$/.test(file)) return 'node';
  return name as 'node' | 'bun' | 'deno' | undefined;
}

/** What starts all threads of Java: its own and those of the program, which only their names tell apart. */
const JVM = /(?:^|\/)libjvm\.so$/;

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

/** Whether a thread that this library started is the language host's own and harmless, such as Node's signal thread. */
export const isHostThread = (name: string, library: string): boolean =>
  hostOf(library) !== undefined || (JVM.test(library) && ownOfJava.some((matches) => matches(name)));
