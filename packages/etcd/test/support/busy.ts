/**
 * The source of a function that keeps clients busy forever, for workers that are terminated during a call. It resolves
 * once all clients have calls, a watch and a keepalive under way. The keys contain `name`.
 */
export const busy = `
  async function keepBusy(connect, options, name, clients) {
    let answered = 0;
    let tell;
    const started = new Promise((resolve) => { tell = resolve; });
    for (let c = 0; c < clients; c++) {
      const etcd = await connect(options);
      const key = 'busy/' + name + '/' + c;
      const { id } = await etcd.lease.grant(30);
      await etcd.lease.keepAlive(id);
      const watch = etcd.watch(key);
      await watch.ready;
      (async () => { for await (const _ of watch); })();
      for (let i = 0; i < 8; i++) (async () => {
        for (;;) {
          await etcd.put(key, 'value', { lease: id });
          if (++answered === 8 * clients) tell();
        }
      })();
    }
    await started;
  }`;
