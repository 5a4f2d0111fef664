// The one way to wait with a signal and a bound (util/wait.ts), which all others are made of.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Pauses } from '../src/rpc/pauses.js';
import { LazySignal } from '../src/util/abort/lazy-signal.js';
import { LinkedSignal } from '../src/util/abort/linked-signal.js';
import { onAbort } from '../src/util/abort/on-abort.js';
import { pause, settlesBy, unlessAborted, type Wait, waitFor } from '../src/util/wait.js';
import { deferred } from './support/deferred.js';

const never = new Promise<never>(() => {});
const failed = (): Promise<never> => Promise.reject(new Error('failed'));

test('many who wait for one signal are one listener, until the last is gone', async () => {
  const control = new AbortController();
  const { signal } = control;
  let called = 0;
  const unlisten = Array.from({ length: 100 }, () => onAbort(signal, () => (called += 1)));
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  for (const end of unlisten.slice(0, 99)) end();
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  unlisten[99]?.();
  unlisten[99]?.();
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  onAbort(signal, () => (called += 1));
  onAbort(signal, () => (called += 1))();
  control.abort();
  assert.equal(called, 1);
});

describe('a lazy signal', () => {
  for (const early of [true, false]) {
    test(`aborts the AbortSignal that was made ${early ? 'before' : 'after'}`, () => {
      const lazy = new LazySignal();
      const heard: string[] = [];
      if (early) lazy.signal.addEventListener('abort', () => heard.push('event'));
      lazy.listen(() => heard.push('called back'));
      lazy.listen(() => heard.push('not any more'))();
      assert.equal(lazy.aborted, false);
      lazy.throwIfAborted();
      const reason = new Error('over');
      lazy.abort(reason);
      lazy.abort(new Error('again'));
      assert.deepEqual(heard, early ? ['event', 'called back'] : ['called back']);
      assert.equal(lazy.reason, reason);
      assert.equal(lazy.signal.reason, reason);
      assert.equal(lazy.signal, lazy.signal);
      assert.throws(() => lazy.throwIfAborted(), reason);
    });
  }

  test('makes its reason once, when somebody asks for it', () => {
    const lazy = new LazySignal();
    let made = 0;
    const make = (): string => `reason ${++made}`;
    lazy.listen(() => assert.equal(made, 0));
    lazy.abortWith(make);
    assert.equal(lazy.aborted, true);
    assert.equal(made, 0);
    assert.deepEqual([lazy.reason, lazy.signal.reason, lazy.reason], ['reason 1', 'reason 1', 'reason 1']);
  });

  test('looks whether it is time before it tells its state, also as an AbortSignal', () => {
    for (const of of [(lazy: LazySignal) => lazy, ({ signal }: LazySignal) => signal]) {
      let time = 0;
      const lazy: LazySignal = new LazySignal(() => {
        if (!lazy.aborted && time >= 10) lazy.abort('late');
      });
      const told = of(lazy);
      assert.equal(told.aborted, false);
      time = 10;
      assert.equal(told.aborted, true);
      assert.equal(told.reason, 'late');
    }
  });

  test('is linked to others until it is disposed of', () => {
    const lazy = new LazySignal();
    const control = new AbortController();
    const link = (): LinkedSignal => new LinkedSignal([lazy, control.signal, undefined]);
    const [disposedOf, linked] = [link(), link()];
    disposedOf[Symbol.dispose]();
    control.abort('control');
    assert.equal(disposedOf.aborted, false);
    assert.equal(linked.reason, 'control');
    lazy.abort('lazy');
    assert.equal(disposedOf.signal.aborted, false);
    assert.equal(linked.signal.reason, 'control');
    assert.equal(link().reason, 'lazy');
    linked[Symbol.dispose]();
    assert.equal(getEventListeners(control.signal, 'abort').length, 0);
  });
});

describe('a wait', () => {
  for (const [how, end] of [
    ['its value', (wait: Wait<string>) => wait.resolve('value')],
    ['a failure', (wait: Wait<string>) => wait.reject(new Error('failed'))],
    ['the signal', (_wait: Wait<string>, control: AbortController) => control.abort(new Error('aborted'))],
  ] as const) {
    for (const atOnce of [true, false]) {
      test(`ends with ${how}${atOnce ? ', as it begins' : ''}, and leaves nothing behind`, async () => {
        const control = new AbortController();
        let undone = 0;
        const waiting = waitFor<string>(
          (wait) => {
            if (atOnce) end(wait, control);
            else setImmediate(() => end(wait, control));
            return () => {
              undone += 1;
            };
          },
          { signal: control.signal, timeoutMs: 60_000, expired: (wait) => wait.reject(new Error('late')) },
        );
        const outcome = await waiting.catch((error: Error) => error.message);
        assert.equal(outcome, { 'its value': 'value', 'a failure': 'failed', 'the signal': 'aborted' }[how]);
        assert.equal(undone, 1);
        assert.equal(getEventListeners(control.signal, 'abort').length, 0);
      });
    }
  }

  test('ends when its time is over, as it says', async () => {
    const late = waitFor<string>(() => undefined, {
      timeoutMs: 10,
      ref: true,
      expired: (wait) => wait.resolve('over'),
    });
    assert.equal(await late, 'over');
  });

  test('does not begin where the signal has aborted', async () => {
    const begin = (): never => assert.fail('it has begun');
    await assert.rejects(waitFor(begin, { signal: AbortSignal.abort(new Error('before')) }), /before/);
  });

  test('leaves no failure unhandled that comes after its end', async () => {
    const signal = AbortSignal.abort(new Error('aborted'));
    await assert.rejects(unlessAborted(failed(), signal), /aborted/);
    const late = deferred();
    // The wait itself doesn't keep the process alive.
    const alive = setInterval(() => {}, 1_000);
    assert.equal(await settlesBy(late.promise, performance.now() - 1, undefined), false);
    clearInterval(alive);
    late.reject(new Error('failed'));
    // Node reports what nobody handled after such a turn.
    await nextTurn();
    await nextTurn();
  });
});

test('a deadline tells whether a promise was fulfilled by it', async () => {
  const soon = performance.now() + 60_000;
  assert.equal(await settlesBy(nextTurn(), soon, undefined), true);
  // The wait itself doesn't keep the process alive.
  const alive = setInterval(() => {}, 1_000);
  assert.equal(await settlesBy(never, performance.now() - 1, new AbortController().signal), false);
  clearInterval(alive);
  await assert.rejects(settlesBy(failed(), soon, undefined), /failed/);
});

test('pauses end with whom they are of', async () => {
  const pauses = new Pauses();
  const control = new AbortController();
  const waiting = [pauses.pause(60_000), pauses.pause(60_000, control.signal)];
  control.abort(new Error('aborted'));
  await assert.rejects(waiting[1] as Promise<void>, /aborted/);
  pauses.close();
  await waiting[0];
  await pauses.pause(60_000);
  await assert.rejects(pause(60_000, AbortSignal.timeout(1)), { name: 'TimeoutError' });
  await pause(1, undefined);
});
