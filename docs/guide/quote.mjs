// Copies the examples into the guide: node docs/guide/quote.mjs
// A quote is the code block after `<!-- example: NAME -->`; what the example prints is the text block after that, which
// packages/etcd/test/examples.test.ts compares with what it does print.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const examples = join(import.meta.dirname, '..', '..', 'packages', 'etcd', 'examples');

for (const name of readdirSync(import.meta.dirname).filter((name) => name.endsWith('.md'))) {
  const file = join(import.meta.dirname, name);
  const text = readFileSync(file, 'utf8');
  const quoted = text.replace(
    /(<!-- example: (\S+) -->\n)```ts\n[\s\S]*?```/g,
    (_all, mark, example) => `${mark}\`\`\`ts\n${readFileSync(join(examples, example), 'utf8')}\`\`\``,
  );
  if (quoted !== text) writeFileSync(file, quoted);
}
