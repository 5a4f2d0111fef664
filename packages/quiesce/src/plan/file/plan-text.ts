import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { messageOf } from '../../errors.js';
import { type Place, PlanError, type PlanProblem } from '../plan-error.js';

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
export function readPlanText(given: string, format: 'yaml' | 'json', source: string): PlanText {
  // Editors of Windows write a byte order mark.
  const text = given.replace(/^\uFEFF/, '');
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
    const problems = first.map(({ code, message, pos }) => ({
      path: [],
      message:
        code === 'MULTIPLE_DOCS'
          ? 'a second document begins here, and a plan is a single one'
          : shortened(message.replace(/\s*\n\s*/g, ' ')),
      place: placeAt(pos[0]),
    }));
    throw new PlanError(source, problems, { cause: errors[0] });
  }
  return {
    plan: format === 'json' ? plan : dataOf(document, source, placeAt),
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

/** @throws PlanError when an alias has no anchor before it, or aliases multiply the text too much. */
function dataOf(document: Document.Parsed, source: string, placeAt: (offset: number) => Place): unknown {
  const problems: PlanProblem[] = [];
  visit(document, {
    Alias: (_key, alias) => {
      if (alias.resolve(document) !== undefined) return;
      const message = `the alias *${alias.source} has no anchor &${alias.source} before it`;
      problems.push({ path: [], message, place: placeAt(alias.range?.[0] ?? 0) });
    },
  });
  if (problems.length > 0) throw new PlanError(source, problems);
  try {
    return document.toJS();
  } catch (error) {
    throw new PlanError(source, [{ path: [], message: shortened(messageOf(error)), place: placeAt(0) }], {
      cause: error,
    });
  }
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
    const place = placeAt(stated === undefined ? (wrongAt ?? tokenIn(message, text)) : Number(stated));
    const problem = shortened(message.replace(/ at position \d+| \(line \d+ column \d+\)/g, ''));
    throw new PlanError(source, [{ path: [], message: problem, place }], { cause: error });
  }
}

/** Where the token is that V8 names without its offset: the first such character outside of texts, or the end. */
function tokenIn(message: string, text: string): number {
  const token = /Unexpected token '(.)'/su.exec(message)?.[1];
  const outside = text.replace(/"(?:\\.|[^"\\])*"/gs, (inside) => ' '.repeat(inside.length));
  const found = token === undefined ? -1 : outside.indexOf(token);
  return found < 0 ? text.length : found;
}
