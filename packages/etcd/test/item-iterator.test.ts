// The iterator behind loops over watches and ranges.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ItemIterator } from '../src/util/item-iterator.js';

/** A source whose portions the test gives, and then the end. */
function source<T>() {
  const portions: (readonly T[] | undefined)[] = [];
  let arrived: (() => void) | undefined;
  return {
    give(portion: readonly T[] | undefined): void {
      portions.push(portion);
      arrived?.();
      arrived = undefined;
    },
    arrival(): Promise<void> | undefined {
      if (portions.length > 0) return undefined;
      return new Promise((resolve) => {
        arrived = resolve;
      });
    },
    take: () => portions.shift(),
    close() {},
  };
}

test('calls that wait together get the items in their order, over portions of any length, and then the end', async () => {
  const given = source<number>();
  const items = new ItemIterator(given);
  const results = Array.from({ length: 7 }, () => items.next());
  for (const portion of [[], [1], [2, 3], [], [4, 5], undefined]) {
    await setImmediate();
    given.give(portion);
  }
  assert.deepEqual(
    (await Promise.all(results)).map(({ value }) => value),
    [1, 2, 3, 4, 5, undefined, undefined],
  );
  assert.equal(items.upcoming, undefined);
});

test('portions that are there already come one after another, also without items, and then the end', async () => {
  const given = source<number>();
  for (const portion of [[1, 2], [], [], [3], [4, 5], undefined]) given.give(portion);
  const items = new ItemIterator(given);
  const results = [items.next(), items.next(), items.next()];
  assert.equal(items.waiting, false);
  assert.deepEqual(
    (await Promise.all(results)).map(({ value }) => value),
    [1, 2, 3],
  );
  const rest: number[] = [];
  for await (const item of items) rest.push(item);
  assert.deepEqual(rest, [4, 5]);
  assert.deepEqual(await items.next(), { done: true, value: undefined });
});

test('what was yielded is not held while the next portion is awaited', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const given = source<object>();
  const items = new ItemIterator(given);
  const held: WeakRef<object>[] = [];
  for (const length of [3, 1]) {
    await (async () => {
      const first = items.next();
      const portion = Array.from({ length }, () => ({}));
      held.push(new WeakRef(portion), ...portion.map((item) => new WeakRef(item)));
      given.give(portion);
      assert.equal((await first).value, portion[0]);
      assert.equal(items.upcoming, portion[1]);
      for (const item of portion.slice(1)) assert.equal((await items.next()).value, item);
    })();
    const next = items.next();
    // A WeakRef holds its object until the turn is over.
    await setImmediate();
    collect();
    assert.deepEqual(
      held.map((ref) => ref.deref()),
      held.map(() => undefined),
    );
    given.give([{}]);
    await next;
  }
});
