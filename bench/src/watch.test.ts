import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAvailable, SUBJECT } from './clients.js';
import { catchUpAgain } from './watch.js';

test('catching up is measured beside a reader that decodes nothing', { timeout: 120_000 }, async () => {
  const clients = [SUBJECT, 'clientv3'].filter(isAvailable);
  const rows = await catchUpAgain(clients, 2, 300);
  const names = clients.length > 1 ? [...clients, 'decodes nothing'] : clients;
  assert.deepEqual(
    rows.map(({ client }) => client),
    names,
  );
  for (const { client, seconds } of rows)
    assert.ok(seconds > 0.001 && seconds < 60, `${client}: ${seconds} s`);
});
