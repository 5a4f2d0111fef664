// The published JSON schema: it matches the code, and real reports are valid by it, down to the last field.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { jsonSchema } from '../src/results/report-schema.js';
import { runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const published = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../report.schema.json', import.meta.url)), 'utf8'),
);
const dir = temporaryDirectory('report-schema');

const quiesce = async (...args: string[]): Promise<number | null> => (await runCli(args, { cwd: dir })).code;

const saved = (file: string): Record<string, unknown> => JSON.parse(readFileSync(join(dir, file), 'utf8'));

/** The schema, changed so that it doesn't permit fields that it doesn't name. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => [key, closed(value)]);
  const object = Object.fromEntries(entries);
  return 'properties' in object ? { ...object, additionalProperties: false } : object;
}

const compile = (schema: object): ValidateFunction =>
  new Ajv2020({ strict: true, allErrors: true, formats: { 'date-time': true } }).compile(schema);

test('the schema in the package is the one in the code (else: npm run schema --workspace quiesce)', () => {
  assert.deepEqual(published, JSON.parse(JSON.stringify(jsonSchema())));
});

test('real reports are valid, and have no field that the schema does not describe', async () => {
  const [open, shut] = [compile(published), compile(closed(published) as object)];
  const check = (report: unknown, what: string): void => {
    assert.ok(open(report), `${what}: ${JSON.stringify(open.errors?.slice(-3))}`);
    assert.ok(shut(report), `${what}: ${JSON.stringify(shut.errors?.slice(-3))}`);
  };
  const scenarios = [
    { name: 'clean', command: ['true'] },
    { name: 'code', command: ['sh', '-c', 'exit 3'], group: 'failing' },
    { name: 'crash', command: ['sh', '-c', 'echo done >&$QUIESCE_DONE_FD; kill -ABRT $$'] },
    { name: 'hang', command: ['sleep', '60'], timeout: '300ms', runs: 1 },
    { name: 'dirty', command: ['sh', '-c', 'echo "Fatal Python error: x" >&2'], strict: true },
    { name: 'control', command: ['false'], expect: 'any' },
    { name: 'code 3', command: ['sh', '-c', 'exit 3'], expect: { exitCode: 3, stderr: 'empty' } },
    { name: 'rate', command: ['true'], until: '60%', perturb: 'nice,load', seed: 7 },
    { name: 'no service', command: ['true'], uses: ['dead'] },
  ].map((scenario) => ('until' in scenario ? scenario : { runs: 2, ...scenario }));
  const services = { dead: { command: ['false'], ready: { log: 'never' } } };
  writeFileSync(join(dir, 'plan.json'), JSON.stringify({ services, scenarios }));
  assert.equal(await quiesce('run', '--plan', 'plan.json', '--json', 'all.json'), 3);
  check(saved('all.json'), 'a plan');
  const outcomes = (saved('all.json').scenarios as { runs: { outcome: { kind: string } }[] }[]).flatMap(
    ({ runs }) => runs.map(({ outcome }) => outcome.kind),
  );
  const kinds = ['clean', 'exit-code', 'signal', 'hang', 'dirty-output'];
  assert.deepEqual([...new Set(outcomes)].sort(), kinds.sort());

  assert.equal(await quiesce('run', '-n', '2', '--json', 'one.json', '--', 'false'), 1);
  check(saved('one.json'), 'a command');
  const sides = ['--before', 'false', '--after', 'true', '-n', '20'];
  assert.equal(await quiesce('compare', ...sides, '--json', 'compared.json'), 0);
  check(saved('compared.json'), 'a comparison');
  assert.equal(await quiesce('run', '-n', '2', '--json', 'other.json', '--', 'false'), 1);
  const reports = ['--before', 'one.json', '--after', 'other.json'];
  assert.equal(await quiesce('compare', ...reports, '--json', 'again.json'), 1);
  check(saved('again.json'), 'a comparison of reports');
});

test('what is no report is not valid', () => {
  const validate = compile(published);
  for (const wrong of [{}, { version: 2 }, { version: 1, scenarios: [] }, []]) {
    assert.equal(validate(wrong), false, JSON.stringify(wrong));
  }
});
