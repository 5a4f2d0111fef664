// Loads one of the example addons (examples/addons), and knows where its server is.
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** What each of the Node addons exports. */
export interface Addon {
  sleep(ms: number): Promise<void>;
  soon(number: number): Promise<number>;
  request(port: number, payload: Buffer): Promise<Buffer>;
  watch(
    port: number,
    everyUs: number,
  ): { next(): Promise<string | null>; nextCloned(): Promise<string | null> };
  subscribe(port: number, everyUs: number, callback: (tick: string) => void): void;
}

/** The port of the addons' server. */
export const port = Number(process.env.ADDON_SERVER_PORT);

/** The addon of that name, as `npm run cure` built it. */
export function load(name: string): Addon {
  return createRequire(import.meta.url)(join(process.env.ADDONS ?? '', `${name}.node`)) as Addon;
}
