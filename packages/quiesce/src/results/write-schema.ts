// Writes the JSON schemas of plans and reports into files. Run `npm run schema --workspace quiesce` after a schema has
// changed.
import { writeFileSync } from 'node:fs';
import { planJsonSchema } from '../plan/check/schema.js';
import { jsonSchema } from './report-schema.js';

for (const [file, schema] of [
  ['plan.schema.json', planJsonSchema()],
  ['report.schema.json', jsonSchema()],
] as const) {
  writeFileSync(file, `${JSON.stringify(schema, null, 2)}\n`);
}
