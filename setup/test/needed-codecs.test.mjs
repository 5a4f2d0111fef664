// @ts-check
// The published client contains what it uses of each generated message, and no more.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { inRoot } from '../lib/paths.mjs';
import { neededCodecs } from '../pack/needed-codecs.mjs';

const compiled = inRoot('packages', 'etcd', 'dist', 'src');
const whole = await import(join(compiled, 'rpc', 'generated', 'etcdserverpb', 'rpc.js'));
const { file, code } = neededCodecs(compiled);
// The copy is among the repository's modules, because it imports some of them.
const dir = mkdtempSync(inRoot('packages', 'etcd', 'dist', 'needed-codecs-'));
after(() => rmSync(dir, { recursive: true, force: true }));
cpSync(compiled, dir, { recursive: true });
writeFileSync(file.replace(compiled, dir), code);
const needed = await import(file.replace(compiled, dir));
const services = await import(join(dir, 'rpc', 'generated', 'etcdserverpb', 'methods.js'));

describe('the messages of the published client', () => {
  it('have no method that nobody calls', () => {
    assert.deepEqual(Object.keys(needed.PutRequest), ['encode']);
    assert.deepEqual(Object.keys(needed.PutResponse), ['decode']);
    assert.ok(code.length < 0.7 * readFileSync(file).length, `${code.length} characters`);
  });

  it('have all methods that one of them calls', () => {
    for (const [, name = '', method = ''] of code.matchAll(
      /\b(\w+)\.(encode|decode|create|fromPartial)\(/g,
    )) {
      if (name in needed) assert.equal(typeof needed[name][method], 'function', `${name}.${method}`);
    }
  });

  it('encode each request, and decode each answer', () => {
    const methods = Object.values(services).flatMap((service) => Object.values(service));
    assert.ok(methods.length > 30, `${methods.length} methods`);
    for (const { path, request, response } of methods) {
      assert.equal(typeof request.encode, 'function', path);
      assert.deepEqual(response.decode(new Uint8Array()), wholeOf(response).decode(new Uint8Array()), path);
    }
  });
});

/** @param {unknown} message */
function wholeOf(message) {
  const name = Object.keys(needed).find((key) => needed[key] === message) ?? '';
  return whole[name];
}
