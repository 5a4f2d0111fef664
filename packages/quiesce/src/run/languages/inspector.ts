// run/languages/: what a program's own language knows of its threads, and how it is asked.
import { once } from 'node:events';
import { z } from 'zod';

const received = z.looseObject({
  id: z.int().optional(),
  result: z.unknown().optional(),
  error: z.looseObject({ message: z.string() }).optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
});

/** Receives the answers of the inspected target, as text. */
export interface Inspected {
  /**
   * Calls a method of the DevTools protocol.
   * @throws the signal's reason when there is no answer in time; an Error with the target's message when it refuses.
   */
  ask(method: string, params?: object): Promise<unknown>;
  /** Takes a message that arrived for it. */
  receive(text: string): void;
}

/** @param send sends it a message. @param onEvent gets the events that it sends unasked. */
export function inspected(
  send: (text: string) => void,
  signal: AbortSignal,
  onEvent: (method: string, params: unknown) => void = () => {},
): Inspected {
  const waiting = new Map<number, (answer: z.infer<typeof received>) => void>();
  let asked = 0;
  return {
    receive(text) {
      const message = received.parse(JSON.parse(text));
      if (message.id !== undefined) waiting.get(message.id)?.(message);
      else if (message.method !== undefined) onEvent(message.method, message.params);
    },
    ask: (method, params = {}) =>
      new Promise((resolve, reject) => {
        const id = ++asked;
        const stop = (): void => reject(signal.reason);
        if (signal.aborted) return stop();
        signal.addEventListener('abort', stop, { once: true });
        waiting.set(id, ({ result, error }) => {
          signal.removeEventListener('abort', stop);
          waiting.delete(id);
          if (error === undefined) resolve(result);
          else reject(new Error(error.message));
        });
        send(JSON.stringify({ id, method, params }));
      }),
  };
}

/**
 * Connects to an inspector while some work is done.
 * @throws what the work throws; an Error when there is no connection.
 */
export async function withInspector<T>(
  url: string,
  { signal, onEvent }: { signal: AbortSignal; onEvent: (method: string, params: unknown) => void },
  work: (inspected: Inspected) => Promise<T>,
): Promise<T> {
  // Loaded only when a program hangs: loading takes a tenth of the tester's start.
  const { WebSocket } = await import('ws');
  const socket = new WebSocket(url);
  try {
    await once(socket, 'open', { signal });
    const main = inspected((text) => socket.send(text), signal, onEvent);
    // A message outside the protocol is ignored.
    socket.on('message', (message) => {
      try {
        main.receive(String(message));
      } catch {}
    });
    return await work(main);
  } finally {
    socket.on('error', () => {}); // a socket that is closed before it is open
    socket.terminate();
  }
}
