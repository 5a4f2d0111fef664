import { setTimeout as delay } from 'node:timers/promises';
import { CompactedError, EtcdError, prefix } from '@quiesce/etcd';
import type { Work } from './turns.js';

/** Watches, and continues where it stopped as the documentation says: at `revision + 1`. */
export async function watches(work: Work, keys: string): Promise<void> {
  const { etcd, worker, history, random, over } = work;
  const id = { watch: worker, prefix: keys };
  let from = 0n;
  while (!over.aborted) {
    const watch = etcd.watch(prefix(keys), from === 0n ? {} : { startRevision: from });
    const stop = (): void => watch.close();
    over.addEventListener('abort', stop, { once: true });
    // Sometimes before anything was delivered.
    const timer = setTimeout(stop, random(4) === 0 ? 0 : random(6_000));
    try {
      const ready = await watch.ready;
      if (from === 0n) {
        from = ready + 1n;
        history.add('seek', { ...id, from });
      }
      if (random(4) === 0) watch.close();
      for await (const { events, revision } of watch.batches()) {
        history.add('batch', {
          ...id,
          revision,
          events: events.map((event) => ({
            r: event.revision,
            d: event.type === 'delete',
            k: event.kv.keyText(),
            v: event.type === 'delete' ? '' : event.kv.text(),
          })),
        });
      }
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error instanceof CompactedError && error.compactRevision !== undefined) {
        from = error.compactRevision;
        history.add('seek', { ...id, from });
        continue;
      }
    } finally {
      clearTimeout(timer);
      over.removeEventListener('abort', stop);
    }
    if (watch.revision > 0n) from = watch.revision + 1n;
    await delay(random(300));
  }
}
