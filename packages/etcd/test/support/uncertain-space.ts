import { type Namespace, type Op, StatusCode, type Txn, UnavailableError } from '../../src/index.js';

type Bytes = string | Uint8Array;

/**
 * The fate of a write. It may be applied and answered, or its answer may be lost, or it may be applied late without an
 * answer: just before the n-th write after it, where `Infinity` means by {@link UncertainSpace.deliver}.
 */
export type Fate = 'answered' | 'unanswered' | number;

interface Late {
  readonly due: number;
  readonly apply: () => Promise<unknown>;
}

/** A view of a real etcd in which answers to writes get lost, and writes arrive late. */
export class UncertainSpace {
  readonly space: Namespace;
  /** The number of writes so far. */
  writes = 0;
  #late: Late[] = [];

  /** @param fateOf the fate of the n-th write, counted from 0. */
  constructor(real: Namespace, fateOf: (write: number) => Fate) {
    const txn = async (request: Txn<Bytes, Bytes>, ...rest: unknown[]): Promise<unknown> => {
      const apply = (): Promise<unknown> => Reflect.apply(real.txn, real, [request, ...rest]);
      if (![...(request.success ?? []), ...(request.failure ?? [])].some(writes)) return apply();
      const write = this.writes++;
      const due = this.#late.filter((late) => late.due <= write);
      this.#late = this.#late.filter((late) => late.due > write);
      for (const late of due) await late.apply();
      const fate = fateOf(write);
      if (fate === 'answered') return apply();
      if (fate === 'unanswered') await apply();
      else this.#late.push({ due: write + fate, apply });
      throw new UnavailableError('UNAVAILABLE: the answer was lost', {
        code: StatusCode.UNAVAILABLE,
        sent: true,
      });
    };
    const refuse = (): never => {
      throw new Error('no recipe puts or deletes a key without a condition');
    };
    this.space = new Proxy(real, {
      get(target, name) {
        if (name === 'txn') return txn;
        if (name === 'put' || name === 'delete') return refuse;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** Applies each late write, one after another. */
  async deliver(afterEach: () => Promise<void>): Promise<void> {
    for (const { apply } of this.#late.splice(0)) {
      await apply();
      await afterEach();
    }
  }
}

function writes(operation: Op<Bytes, Bytes> | undefined): boolean {
  return operation?.type === 'put' || operation?.type === 'delete';
}
