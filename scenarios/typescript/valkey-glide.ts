// A client of @valkey/valkey-glide and one operation. The package is in a separate folder, which set-up makes.
import { readdirSync, unlinkSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const MODULE = process.env.VALKEY_GLIDE_MODULE ?? '@valkey/valkey-glide';
const PORT = Number(process.env.VALKEY_PORT ?? 6379);

interface Client {
  set(key: string, value: string): Promise<unknown>;
  get(key: string): Promise<unknown>;
}

interface Module {
  readonly GlideClient: {
    createClient(options: { addresses: { host: string; port: number }[] }): Promise<Client>;
  };
}

/** Connects, writes and reads one key; the client stays open. */
export async function useValkey(key: string): Promise<Client> {
  const { GlideClient } = (await import(MODULE)) as Module;
  const client = await GlideClient.createClient({ addresses: [{ host: '127.0.0.1', port: PORT }] });
  if (isMainThread) removeSocket();
  await client.set(key, 'hello');
  const value = await client.get(key);
  if (String(value) !== 'hello') throw new Error(`read ${value} instead of hello`);
  return client;
}

/**
 * Removes the socket by which the package's JavaScript and Rust have connected. All threads of a process share it. The
 * package makes it in /tmp, whatever `TMPDIR` says, and removes it only if the process closes its clients.
 */
export function removeSocket(): void {
  for (const name of readdirSync('/tmp'))
    if (name.startsWith(`glide-socket-${process.pid}-`)) unlinkSync(`/tmp/${name}`);
}
