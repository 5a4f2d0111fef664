import { javaThreads } from './java-frames.js';
import { nodeThreads } from './node-state.js';
import { NOTHING, type OwnThread, type OwnThreads, type Questioned } from './own-threads.js';
import { pythonThreads } from './python-frames.js';

/**
 * What the languages in a process know of its threads. Several may be in one process, such as Python with Java. Takes at
 * most 20 s for each.
 */
export async function ownThreads(process: Questioned): Promise<OwnThreads> {
  const said = [await pythonThreads(process), await nodeThreads(process), await javaThreads(process)];
  return said.reduce(both, NOTHING);
}

function both(a: OwnThreads, b: OwnThreads): OwnThreads {
  const threads = new Map(a.threads);
  for (const [tid, thread] of b.threads) threads.set(tid, called(thread, threads.get(tid)));
  const problems = [a.problem, b.problem].filter((problem) => problem !== null);
  return { threads, problem: problems.length === 0 ? null : problems.join('; ') };
}

/** A thread in two languages: the later one was most probably called by the earlier one. */
const called = (thread: OwnThread, caller: OwnThread | undefined): OwnThread =>
  caller === undefined ? thread : { ...caller, ...thread, frames: [...thread.frames, ...caller.frames] };
