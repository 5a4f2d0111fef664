import { describe } from 'node:test';
import { type ConnectOptions, connect, type EtcdClient } from '../../src/index.js';
import { transports } from './transports.js';

/** Makes a client over the transport under test. */
export type Connect = (options: ConnectOptions | string) => Promise<EtcdClient>;

/** Declares a suite once for each transport: what a client does must not depend on which one carries it. */
export function overEachTransport(title: string, suite: (connect: Connect) => void): void {
  for (const { name, skip } of transports) {
    describe(`${title}, ${name}`, { skip }, () =>
      suite((options) =>
        connect({ ...(typeof options === 'string' ? { endpoints: options } : options), transport: name }),
      ),
    );
  }
}
