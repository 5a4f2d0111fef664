const MOST_LINE_BYTES = 64 * 1024;
const NEWLINE = 10;

/** Removes the lines that match some patterns from a stream. */
export class OutputFilter {
  readonly #patterns: readonly RegExp[];
  readonly #pass: (chunk: Buffer) => void;
  #held: Buffer[] = [];
  #heldBytes = 0;

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
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#hold(chunk.subarray(start, end + 1));
      this.end();
      start = end + 1;
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
    // A program may write gigabytes without a newline.
    if (this.#heldBytes > MOST_LINE_BYTES) this.end();
  }

  /** Treats text that was held back because it had no newline as a line. */
  end(): void {
    if (this.#heldBytes === 0) return;
    const line = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    const text = line.toString('utf8').trimEnd();
    if (!this.#patterns.some((pattern) => pattern.test(text))) this.#pass(line);
  }

  #hold(part: Buffer): void {
    this.#held.push(part);
    this.#heldBytes += part.length;
  }
}
