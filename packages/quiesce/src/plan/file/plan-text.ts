import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { messageOf } from '../../errors.js';
import { type Place, PlanError } from '../plan-error.js';

/** Longest message of a parser that is quoted, in characters. */
const MOST_QUOTED = 120;

/** A plan's text as data, and where each part of it is. */
export interface PlanText {
  readonly plan: unknown;
  /**
   * The place of a field: of its name if `ofName` is set, otherwise of its value. For a missing field, the place of
   * what lacks it.
   */
  locate(path: readonly (string | number)[], ofName: boolean): Place | undefined;
}

/**
 * Reads YAML, or JSON.
 * @param source the text's name in an error.
 * @throws PlanError with each line that is wrong.
 */
export function readPlanText(text: string, format: 'yaml' | 'json', source: string): PlanText {
  const lines = new LineCounter();
  // JSON is also YAML, so one parser finds the places in both.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const plan = format === 'json' ? parseJson(text, source, document.errors[0]?.pos[0], placeAt) : undefined;
  // A parser of JSON takes the last of several fields with one name.
  const errors = document.errors.filter(({ code }) => format === 'yaml' || code === 'DUPLICATE_KEY');
  if (errors.length > 0) {
    // Several errors at one place are one mistake.
    const first = errors.filter(({ pos }, i, all) => all.findIndex((other) => other.pos[0] === pos[0]) === i);
    const problems = first.map(({ message, pos }) => ({
      path: [],
      message: shortened(message.replace(/\s*\n\s*/g, ' ')),
      place: placeAt(pos[0]),
    }));
    throw new PlanError(source, problems, { cause: errors[0] });
  }
  return {
    plan: format === 'json' ? plan : document.toJS(),
    locate: (path, ofName) => {
      let found = document.contents as Node | null;
      for (const [i, key] of path.entries()) {
        const inside = isAlias(found) ? found.resolve(document) : found;
        const pair = isMap(inside)
          ? inside.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
          : undefined;
        const next = isSeq(inside)
          ? inside.items[key as number]
          : ofName && i === path.length - 1
            ? pair?.key
            : (pair?.value ?? pair?.key);
        if (next === undefined || next === null) break;
        found = next as Node;
      }
      return found?.range ? placeAt(found.range[0]) : undefined;
    },
  };
}

/** A parser's message may quote the whole file. */
const shortened = (message: string): string =>
  message.length > MOST_QUOTED ? `${message.slice(0, MOST_QUOTED)}…` : message;

/** @param wrongAt where the YAML parser finds the first error: V8 states the offset of most errors, but not of all. */
function parseJson(
  text: string,
  source: string,
  wrongAt: number | undefined,
  placeAt: (offset: number) => Place,
): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = messageOf(error);
    const stated = /at position (\d+)/.exec(message)?.[1];
    const place = placeAt(stated === undefined ? (wrongAt ?? text.length) : Number(stated));
    const problem = shortened(message.replace(/ at position \d+| \(line \d+ column \d+\)/g, ''));
    throw new PlanError(source, [{ path: [], message: problem, place }], { cause: error });
  }
}
