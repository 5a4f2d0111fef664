import { findEach } from '../patterns.js';

const MOST_LINE_BYTES = 64 * 1024;
const NEWLINE = 10;

/** Removes the lines that match some patterns from a stream. */
export class OutputFilter {
  readonly #patterns: readonly RegExp[];
  readonly #pass: (chunk: Buffer) => void;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param patterns regular expressions, each searched for anywhere in a line.
   * @param pass gets what is left, in whole lines where there are patterns.
   */
  constructor(patterns: readonly RegExp[], pass: (chunk: Buffer) => void) {
    this.#patterns = patterns;
    this.#pass = pass;
  }

  /** Adds what the stream produced next. */
  push(chunk: Buffer): void {
    if (this.#patterns.length === 0) {
      this.#pass(chunk);
      return;
    }
    let start = 0;
    const lines: Buffer[] = [];
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#hold(chunk.subarray(start, end + 1));
      lines.push(this.#takeHeld());
      start = end + 1;
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
    // A program may write gigabytes without a newline.
    if (this.#heldBytes > MOST_LINE_BYTES) lines.push(this.#takeHeld());
    this.#passOthers(lines);
  }

  /**
   * Treats text that was held back because it had no newline as a line.
   * @throws EnvironmentError when a pattern took too long for a line, now or before.
   */
  end(): void {
    if (this.#heldBytes > 0) this.#passOthers([this.#takeHeld()]);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Passes on the lines that match no pattern. Nothing more after a failure: it ends the run. */
  #passOthers(lines: readonly Buffer[]): void {
    if (lines.length === 0 || this.#failure !== undefined) return;
    try {
      const ignored = findEach(
        this.#patterns,
        lines.map((line) => line.toString('utf8').trimEnd()),
      );
      for (const [i, line] of lines.entries()) if (!ignored[i]) this.#pass(line);
    } catch (error) {
      this.#failure = { error };
    }
  }

  #hold(part: Buffer): void {
    this.#held.push(part);
    this.#heldBytes += part.length;
  }

  #takeHeld(): Buffer {
    const line = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return line;
  }
}
