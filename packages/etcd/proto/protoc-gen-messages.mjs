// A plugin for buf. It generates the messages, as protoc-gen-ts_proto does, but with decoders that refuse damaged messages.
// Those of ts-proto take a tag that no field has for the end of the message, and read beyond the end of a nested one.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { buffer } from 'node:stream/consumers';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { CodeGeneratorResponseSchema } from '@bufbuild/protobuf/wkt';

const plugin = createRequire(import.meta.url).resolve('ts-proto/protoc-gen-ts_proto');
const made = execFileSync(process.execPath, [plugin], {
  input: await buffer(process.stdin),
  maxBuffer: 2 ** 26,
});
const answer = fromBinary(CodeGeneratorResponseSchema, made);
for (const file of answer.file) file.content = strict(file.name, file.content);
process.stdout.write(toBinary(CodeGeneratorResponseSchema, answer));

function strict(name, content) {
  const decoders = content.split('const end = length === undefined').length - 1;
  return [
    [
      /if \(\(tag & 7\) === 4 \|\| tag === 0\) \{\s*break;/g,
      'if (tag < 8 || (tag & 7) === 4) {\n          throw new globalThis.Error("illegal tag " + tag);',
    ],
    [
      /\n {6}\}\n {6}return message;\n {4}\} finally/g,
      '\n      }\n      if (reader.pos !== end) {\n        throw new globalThis.RangeError("premature EOF");\n      }\n      return message;\n    } finally',
    ],
  ].reduce((text, [lenient, replacement]) => {
    const found = text.match(lenient)?.length ?? 0;
    if (found !== decoders) throw new Error(`${name}: ${found} of ${decoders} decoders have ${lenient}`);
    return text.replace(lenient, replacement);
  }, content);
}
