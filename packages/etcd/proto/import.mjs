// Copies etcd's .proto files here, without the parts that only Go and the HTTP gateway need:
//   node proto/import.mjs [version]        (then: npm run generate)
// The files come from the Go module go.etcd.io/etcd/api/v3, through the ordinary Go client.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const version = process.argv[2] ?? 'v3.6.6';
const files = ['mvccpb/kv.proto', 'authpb/auth.proto', 'etcdserverpb/rpc.proto'];
const unwantedImport = /^import "(gogoproto|google\/api|protoc-gen-openapiv2|etcd\/api\/versionpb)\/.*\n/gm;
const customOption = /\s*option \([\w.]+\)(?:\.\w+)? = (?:"[^"]*"|true|false|(\{));?/;

/** The index after the brace that closes the one before `start`. */
function afterBlock(text, start) {
  let depth = 1;
  let at = start;
  while (depth > 0) {
    if (text[at] === '{') depth += 1;
    else if (text[at] === '}') depth -= 1;
    at += 1;
  }
  return text[at] === ';' ? at + 1 : at;
}

function strip(text) {
  let rest = text.replace(unwantedImport, '').replace(/^\/\/ for grpc-gateway\n/m, '');
  for (let option = customOption.exec(rest); option !== null; option = customOption.exec(rest)) {
    const end = option.index + option[0].length;
    rest = rest.slice(0, option.index) + rest.slice(option[1] === undefined ? end : afterBlock(rest, end));
  }
  return rest
    .replace(/(returns \([^)]*\)) \{\s*\}/g, '$1;')
    .replace(/\s*\[\([\w.]+\)\s*=\s*"[^"]*"\]/g, '')
    .replace(/^import "etcd\/api\//gm, 'import "')
    .replace(/\n{3,}/g, '\n\n')
    .replace(/\{\n\n/g, '{\n');
}

const module = mkdtempSync(join(tmpdir(), 'etcd-proto-'));
try {
  writeFileSync(join(module, 'go.mod'), 'module protoimport\n');
  const answer = execFileSync('go', ['mod', 'download', '-json', `go.etcd.io/etcd/api/v3@${version}`], {
    cwd: module,
    env: { ...process.env, GOFLAGS: '-mod=mod' },
    encoding: 'utf8',
  });
  const source = JSON.parse(answer).Dir;
  for (const file of files) {
    const target = join(import.meta.dirname, file);
    mkdirSync(dirname(target), { recursive: true });
    const notice = `// From go.etcd.io/etcd/api/v3@${version}, ${file}, without its Go and gateway options (see import.mjs).
// Copyright The etcd Authors. Licensed under the Apache License, Version 2.0;
// see http://www.apache.org/licenses/LICENSE-2.0.
`;
    writeFileSync(target, notice + strip(readFileSync(join(source, file), 'utf8')));
  }
} finally {
  rmSync(module, { recursive: true });
}
