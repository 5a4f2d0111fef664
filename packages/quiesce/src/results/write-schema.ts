// Writes the JSON schema of reports into a file: `npm run schema --workspace quiesce`, after the schema has changed.
import { writeFileSync } from 'node:fs';
import { jsonSchema } from './report-schema.js';

writeFileSync(process.argv[2] as string, `${JSON.stringify(jsonSchema(), null, 2)}\n`);
