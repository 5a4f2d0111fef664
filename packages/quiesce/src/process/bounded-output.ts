// process/: starts, watches and ends processes and their groups, and runs clean-up when this process exits. Nothing
// here knows what a process is for.

/** Keeps the first and the last bytes of a stream and counts the bytes between them that were dropped. */
export class BoundedOutput {
  readonly #headLimit: number;
  readonly #tailLimit: number;
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #total = 0;

  /** Keeps at most `headLimit` + `tailLimit` bytes as text; up to twice `tailLimit` while collecting. */
  constructor(headLimit: number, tailLimit: number) {
    this.#headLimit = headLimit;
    this.#tailLimit = tailLimit;
  }

  /** Number of bytes pushed so far, kept or not. */
  get totalBytes(): number {
    return this.#total;
  }

  /** Adds what the stream produced next. */
  push(chunk: Buffer): void {
    this.#total += chunk.length;
    const forHead = Math.min(chunk.length, this.#headLimit - this.#headBytes);
    if (forHead > 0) {
      this.#head.push(chunk.subarray(0, forHead));
      this.#headBytes += forHead;
    }
    if (forHead < chunk.length) {
      this.#tail.push(chunk.subarray(forHead));
      this.#tailBytes += chunk.length - forHead;
    }
    if (this.#tailBytes > 2 * this.#tailLimit) this.#trimTail();
  }

  #trimTail(): void {
    const all = Buffer.concat(this.#tail);
    this.#tail = [Buffer.from(all.subarray(Math.max(0, all.length - this.#tailLimit)))];
    this.#tailBytes = this.#tail[0]?.length ?? 0;
  }

  /** The text that was kept, as UTF-8, with a note where bytes were left out. */
  toString(): string {
    if (this.#tailBytes > this.#tailLimit) this.#trimTail();
    const omitted = this.#total - this.#headBytes - this.#tailBytes;
    const tail = Buffer.concat(this.#tail);
    if (omitted === 0) return Buffer.concat([...this.#head, tail]).toString('utf8');
    const head = Buffer.concat(this.#head).toString('utf8');
    const note = `[... ${omitted} bytes left out ...]\n`;
    return head === '' ? note + tail.toString('utf8') : `${head}\n${note}${tail.toString('utf8')}`;
  }
}
