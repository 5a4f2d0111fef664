import { SingleBar } from 'cli-progress';
import { formatMs } from '../duration.js';
import { onProcessExit } from '../process/exit-guard.js';
import type { ScenarioResult } from '../results/result.js';
import type { ProgressEvent } from '../session/session.js';
import { failureCounts, keepEnd, oneLine, printable, runsText } from './text.js';

/** Shows how far a plan has come. */
export interface ProgressView {
  readonly onProgress: (event: ProgressEvent) => void;
  /** Removes the bar. Nothing is written afterwards. */
  stop(): void;
}

// Increasingly rare for a long scenario, so that a CI system's log isn't filled.
const PLAIN_FIRST_MS = 10_000;
const PLAIN_MOST_MS = 300_000;

/** A bar with the remaining time on a terminal; plain lines, without control characters, anywhere else. */
export function progressView(stream: NodeJS.WriteStream): ProgressView {
  return stream.isTTY && process.env.TERM !== 'dumb' ? barView(stream) : plainView(stream);
}

function barView(stream: NodeJS.WriteStream): ProgressView {
  let bar: SingleBar | undefined;
  let release = (): void => {};
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
    release();
  };
  const onProgress = (event: ProgressEvent): void => {
    if (event.type === 'scenario-start') {
      const { scenario, index, total } = event;
      // 0 where the terminal's size is unknown.
      const columns = stream.columns || 80;
      const place = total > 1 ? `[${index + 1}/${total}] ` : '';
      const digits = String(scenario.runs).length;
      const figures = ' / ·  failed · eta 59m59s '.length + 3 * digits;
      const barsize = Math.max(4, Math.min(24, Math.floor((columns - figures) / 5)));
      const name = keepEnd(
        oneLine(scenario.name),
        Math.max(4, columns - 2 - place.length - barsize - figures),
      );
      bar = new SingleBar({
        stream,
        format: `${place}${name} {bar} {value}/{total} · {failed} failed · eta {eta_formatted}`,
        barCompleteChar: '━',
        barIncompleteChar: ' ',
        barsize,
        hideCursor: true,
        clearOnComplete: true,
        fps: 10,
        gracefulExit: false, // the CLI handles signals
      });
      bar.start(scenario.runs, 0, { failed: 0 });
      // The bar hides the cursor. This brings it back even if this process is ended at once.
      release = onProcessExit(stop);
    } else if (event.type === 'run') bar?.update(event.completed, { failed: event.failed });
    else if (event.type === 'scenario-end') stop();
  };
  return { onProgress, stop };
}

function plainView(stream: NodeJS.WriteStream): ProgressView {
  let current: { name: string; total: number; completed: number; failed: number; since: number } | undefined;
  const say = (line: string): void => {
    stream.write(`${printable(line)}\n`);
  };
  let wait = PLAIN_FIRST_MS;
  let timer: NodeJS.Timeout | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(tick, wait);
    timer.unref();
    wait = Math.min(2 * wait, PLAIN_MOST_MS);
  };
  const tick = (): void => {
    later();
    if (current === undefined) return;
    const { name, completed, total, failed, since } = current;
    const elapsed = performance.now() - since;
    const eta =
      completed === 0 ? '' : `, about ${formatMs((elapsed / completed) * (total - completed))} left`;
    say(`${name}: ${completed} of ${runsText(total)}, ${failed} failed${eta}`);
  };
  const onProgress = (event: ProgressEvent): void => {
    switch (event.type) {
      case 'service-starting':
        say(`starting service ${event.service}`);
        break;
      case 'scenario-start':
        current = {
          name: oneLine(event.scenario.name),
          total: event.scenario.runs,
          completed: 0,
          failed: 0,
          since: performance.now(),
        };
        wait = PLAIN_FIRST_MS;
        later();
        break;
      case 'run':
        if (current !== undefined)
          Object.assign(current, { completed: event.completed, failed: event.failed });
        break;
      case 'scenario-end': {
        const took = current === undefined ? '' : ` in ${formatMs(performance.now() - current.since)}`;
        current = undefined;
        say(`${oneLine(event.result.scenario.name)}: ${resultText(event.result)}${took}`);
      }
    }
  };
  return { onProgress, stop: () => clearTimeout(timer) };
}

function resultText(result: ScenarioResult): string {
  if (result.state === 'not-run') return `not run (${result.reason})`;
  const failed = failureCounts(result);
  const reason = result.state === 'stopped' ? `, stopped (${result.reason})` : '';
  return `${runsText(result.runs.length)}, ${failed === '' ? '0 failed' : failed}${reason}`;
}
