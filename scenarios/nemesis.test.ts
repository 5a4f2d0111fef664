import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NemesisUsageError, nemesisOptions } from './nemesis/options.js';

const read = (...args: string[]): ReturnType<typeof nemesisOptions> =>
  nemesisOptions(args, ['freeze', 'cut'], ['registers', 'locks']);

describe('the options of the nemesis', () => {
  test('are the usual ones where none are given, and the seed decides the variant', () => {
    const usual = read('--seed', '6');
    assert.ok(usual !== 'help');
    const { minutes, copies, faults, work, variant } = usual;
    assert.deepEqual(
      { minutes, copies, faults, work },
      { minutes: 1, copies: 1, faults: ['freeze', 'cut'], work: undefined },
    );
    assert.deepEqual(variant, { transport: 'native', tls: true, tokens: true });
  });

  test('are as given', () => {
    const given = read(
      '--minutes',
      '0.5',
      '--seed',
      '6',
      '--no-tls',
      '--faults',
      'cut',
      '--work',
      'locks',
      '--copies',
      '3',
    );
    assert.ok(given !== 'help');
    assert.equal(given.minutes, 0.5);
    assert.equal(given.variant.tls, false);
    assert.deepEqual([given.faults, given.work, given.copies], [['cut'], ['locks'], 3]);
    assert.equal(read('--help'), 'help');
  });

  for (const [args, message] of [
    [['--minutes', 'ten'], /--minutes is "ten"; it must be more than 0/],
    [['--minutes', ''], /--minutes is ""/],
    [['--seed', '-1'], /--seed/],
    [['--copies', '0'], /--copies is "0"; it must be an integer of 1 or more/],
    [['--transport', 'http'], /native or grpc-js/],
    [['--faults', 'freeze,slow'], /no fault is named "slow"; there are freeze, cut/],
    [['--work', 'lock'], /no work is named "lock"; there are registers, locks/],
    [['--fault', 'cut'], /'--fault'/],
    [['cut'], /'cut'/],
  ] as const) {
    test(`${args.join(' ')} is refused`, () => {
      assert.throws(
        () => read(...args),
        (error: unknown) => {
          assert.ok(error instanceof NemesisUsageError);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});
