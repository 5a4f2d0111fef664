import type { Timeline, TimelinePhase } from '../timeline/model.js';
import { fileName, threadText, timeText, tornDownText } from '../timeline/sentence.js';

/** A moment of an exit that reports show. */
export interface TimelineMoment {
  readonly kind: 'python' | 'exit' | 'torn' | 'crash' | 'end';
  readonly text: string;
  readonly atMs: number;
}

/** What time 0 of a timeline stands for. */
export function zeroText({ zero }: Timeline): string {
  return { 'work-done': 'work done', exit: 'the exit begins', start: 'the program starts' }[zero];
}

/** How the process ended. */
export function endText({ end, crash, threads }: Timeline): string {
  if (crash !== null) {
    const died = threads.find(({ tid }) => tid === crash.tid);
    return `${crash.signal} in ${died === undefined ? 'a thread' : threadText(died)}`;
  }
  return end === 'killed' ? 'killed because it hung' : 'gone';
}

/** A part of an exit in a few words. */
export function phaseText({ what, name, count }: TimelinePhase): string {
  const library = name === null ? 'an unknown library' : fileName(name);
  switch (what) {
    case 'exit':
      return name === null ? 'main returned: the exit' : `the exit: ${name} called`;
    case 'python':
      return 'the Python interpreter finalizes';
    case 'handler':
      return count === 1 ? `handler or destructor of ${library}` : `${count} handlers of ${library}`;
    case 'library':
      return `${library} is taken down`;
    case 'unload':
      return `dlclose unloads ${library}`;
  }
}

/**
 * What matters most in an exit, in order of time: the interpreter's end, the exit, what was torn down under a thread,
 * and the end.
 */
export function timelineMoments(timeline: Timeline): TimelineMoment[] {
  const { phases, tornDown, endMs, crash } = timeline;
  const python = phases.find(({ what }) => what === 'python');
  const exit = phases.find(({ what }) => what === 'exit');
  const moments: TimelineMoment[] = [];
  if (python !== undefined) moments.push({ kind: 'python', text: 'Python finalizes', atMs: python.fromMs });
  if (exit !== undefined) {
    const text = exit.name === null ? 'main returned' : `${exit.name} called`;
    moments.push({ kind: 'exit', text, atMs: exit.fromMs });
  }
  if (tornDown !== null && tornDown.what !== 'python' && tornDown.what !== 'exit') {
    moments.push({ kind: 'torn', text: `${tornDownText(tornDown)} torn down`, atMs: tornDown.atMs });
  }
  moments.push({ kind: crash === null ? 'end' : 'crash', text: endText(timeline), atMs: endMs });
  return moments.sort((a, b) => a.atMs - b.atMs);
}

/** The timeline in at most five lines: what happened, and when. */
export function timelineLines(timeline: Timeline): string[] {
  const moments = [{ text: zeroText(timeline), atMs: 0 }, ...timelineMoments(timeline).slice(-3)].sort(
    (a, b) => a.atMs - b.atMs,
  );
  const times = moments.map(({ atMs }) => timeText(atMs));
  const width = Math.max(...times.map(({ length }) => length));
  return [
    `exit of run ${timeline.run}: ${timeline.says}`,
    ...moments.map(({ text }, i) => `  ${(times[i] ?? '').padStart(width)}  ${text}`),
  ];
}
