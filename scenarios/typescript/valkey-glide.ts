// A client of @valkey/valkey-glide and one operation. The package is in a separate folder, which set-up makes.
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
  await client.set(key, 'hello');
  const value = await client.get(key);
  if (String(value) !== 'hello') throw new Error(`read ${value} instead of hello`);
  return client;
}
