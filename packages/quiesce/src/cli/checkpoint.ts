import { lstatSync } from 'node:fs';
import { messageOf } from '../errors.js';
import { jsonReport } from '../report/json.js';
import type { PlanResult } from '../results/result.js';
import type { ProgressEvent } from '../session/session.js';
import { writeOutput } from './output.js';

/** Writes the JSON report of the runs so far, while more runs are made. */
export interface Checkpoints {
  readonly onProgress: (event: ProgressEvent) => void;
  /** Waits for a report that is being written. No other is begun afterwards. */
  stop(): Promise<void>;
  /** Writes a last report after a failure that ends the session without a result. */
  rescue(): Promise<void>;
}

const EVERY_MS = 5_000;
/** The share of the time that writing may take. */
const MOST_SHARE = 0.01;

/**
 * Writes the report to its own file every 5 s, or less often if writing would take more than a hundredth of the time.
 * So `--resume` can continue after the tester was killed. Nothing is written to standard output or a device. A report
 * that can't be written is mentioned once. The runs continue, and writing the report at their end may still succeed.
 */
export function checkpoints(
  file: string | undefined,
  say: (line: string) => void,
  everyMs = EVERY_MS,
): Checkpoints {
  if (file === undefined || file === '-' || lstatSync(file, { throwIfNoEntry: false })?.isFile() === false) {
    return { onProgress: () => {}, stop: async () => {}, rescue: async () => {} };
  }
  let writing: Promise<void> | undefined;
  let stopped = false;
  let reported = false;
  let next = performance.now() + everyMs;
  let last: (() => PlanResult) | undefined;
  const write = async (text: string): Promise<void> => {
    try {
      await writeOutput(file, text);
    } catch (error) {
      if (!reported) say(`quiesce: note: there is no checkpoint: ${messageOf(error)}`);
      reported = true;
    } finally {
      writing = undefined;
    }
  };
  const onProgress = (event: ProgressEvent): void => {
    if (event.type !== 'run' || stopped) return;
    last = event.soFar;
    if (writing !== undefined || performance.now() < next) return;
    const start = performance.now();
    const text = reportText(event.soFar());
    const end = performance.now();
    next = end + Math.max(everyMs, (end - start) / MOST_SHARE);
    writing = write(text);
  };
  return {
    onProgress,
    async stop() {
      stopped = true;
      await writing;
    },
    async rescue() {
      stopped = true;
      await writing;
      if (last === undefined) return;
      await write(reportText(last()));
      if (!reported) say(`quiesce: note: the runs until then are in ${file}; --resume continues from there`);
    },
  };
}

/** The JSON report as its file contains it. */
export function reportText(result: PlanResult): string {
  return `${JSON.stringify(jsonReport(result), null, 2)}\n`;
}
