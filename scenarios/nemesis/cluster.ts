import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Started } from './host.js';

/** The cluster under test, which runs in a separate process. */
export class Cluster {
  readonly #host: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: number): void; reject(error: Error): void }>();
  #orders = 0;

  private constructor(
    host: ChildProcess,
    readonly at: Started,
  ) {
    this.#host = host;
    host.on('message', ({ id, result, error }: { id: number; result: number; error?: string }) => {
      const waiter = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiter?.resolve(result);
      else waiter?.reject(new Error(error));
    });
    host.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the cluster has ended'));
    });
  }

  static async start(tls: boolean, tokens: boolean): Promise<Cluster> {
    const host = fork(
      fileURLToPath(new URL('./host.js', import.meta.url)),
      [tls ? 'tls' : '', tokens ? 'tokens' : ''],
      { serialization: 'advanced' },
    );
    const failed = once(host, 'exit').then(() => {
      throw new Error('the cluster did not start');
    });
    failed.catch(() => {});
    const [{ started }] = (await Promise.race([once(host, 'message'), failed])) as [{ started: Started }];
    return new Cluster(host, started);
  }

  /** Makes the host process do something. Resolves with the leader's index if that was requested. */
  order(order: Order): Promise<number> {
    const id = ++this.#orders;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#host.send({ id, order });
    });
  }

  async stop(): Promise<void> {
    const exited = once(this.#host, 'exit');
    await this.order({ do: 'stop' });
    this.#host.disconnect();
    await exited;
  }
}
