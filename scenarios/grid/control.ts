// How the grid's programs talk to its services: one line in each direction on a loopback connection.
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** Passes each connection's lines to `onLine`. If that returns something, it is the answer. */
export function serveLines(socket: Socket, onLine: (line: string) => void): void {
  createInterface(socket).on('line', onLine);
  socket.on('error', () => {}); // the program is gone, and 'close' follows
}

/** A connection to a service's control port. It holds the event loop only while it waits for an answer. */
export class Control {
  readonly #socket: Socket;
  #text = '';
  #waiting: ((line: string) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#text += chunk.toString();
      this.#take();
    });
    socket.on('error', () => {}); // the service is gone; the run then times out
  }

  /** Connects to a loopback port. */
  static open(port: number): Promise<Control> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Control(socket));
      });
    });
  }

  /** Sends a line, and resolves with the next line that is received. */
  ask(line: string): Promise<string> {
    this.#socket.ref();
    this.#socket.write(`${line}\n`);
    return this.next();
  }

  /** The next line. */
  next(): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#take();
    });
  }

  /** Ends the connection. Otherwise it ends with the process or thread. */
  close(): void {
    this.#socket.destroy();
  }

  #take(): void {
    const end = this.#text.indexOf('\n');
    if (end === -1 || this.#waiting === undefined) return;
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#socket.unref();
    waiting(line);
  }
}
