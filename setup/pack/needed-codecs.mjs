// @ts-check
// Keeps only the generated code that the client uses: it encodes requests and decodes answers. The other halves are a
// sixth of its code.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'oxc-parser';
import { SetupError } from '../lib/errors.mjs';

const METHODS = ['encode', 'decode', 'create', 'fromPartial'];
/** The modules of the messages, and of the services' methods, among the compiled modules. */
const MESSAGES = 'rpc/generated/etcdserverpb/rpc.js';
const SERVICES = 'rpc/generated/etcdserverpb/methods.js';

/**
 * The messages' module, without the methods that no other module calls.
 * @param {string} dir where the compiled modules are
 * @returns {{ file: string, code: string }}
 */
export function neededCodecs(dir) {
  const file = join(dir, MESSAGES);
  const code = readFileSync(file, 'utf8');
  const methods = methodsOf(code);
  /** @type {Set<string>} */
  const needed = new Set();
  const more = usedIn(dir, [...methods.keys()]);
  for (let next = more.pop(); next !== undefined; next = more.pop()) {
    const method = methods.get(next);
    if (method === undefined || needed.has(next)) continue;
    needed.add(next);
    more.push(...callsIn(code.slice(method.start, method.end)));
  }
  const dropped = [...methods].filter(([name]) => !needed.has(name)).map(([, range]) => range);
  let rest = '';
  let at = 0;
  for (const { start, end } of dropped.sort((a, b) => a.start - b.start)) {
    rest += code.slice(at, start);
    at = code[end] === ',' ? end + 1 : end;
  }
  return { file, code: rest + code.slice(at) };
}

/**
 * Where the messages' methods are, by `Message.method`.
 * @param {string} code
 * @returns {Map<string, { start: number, end: number }>}
 */
function methodsOf(code) {
  const found = new Map();
  for (const statement of parseSync(MESSAGES, code).program.body) {
    if (statement.type !== 'ExportNamedDeclaration') continue;
    const { declaration } = statement;
    if (declaration?.type !== 'VariableDeclaration') continue;
    for (const { id, init } of declaration.declarations) {
      if (id.type !== 'Identifier' || init?.type !== 'ObjectExpression') continue;
      for (const property of init.properties) {
        if (property.type !== 'Property' || property.key.type !== 'Identifier' || !property.method) continue;
        if (METHODS.includes(property.key.name)) found.set(`${id.name}.${property.key.name}`, property);
      }
    }
  }
  return found;
}

/**
 * What the other modules use: for each service method, a request's `encode` and an answer's `decode`, and the methods
 * that they name. A message that is used in another way, for example as an argument, is kept completely.
 * @param {string} dir
 * @param {readonly string[]} all
 */
function usedIn(dir, all) {
  const used = [];
  for (const file of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.js') || file === MESSAGES) continue;
    const code = withoutComments(file, readFileSync(join(dir, file), 'utf8'));
    if (file === SERVICES) {
      for (const [, role, name] of code.matchAll(/\b(request|response): (\w+)/g)) {
        used.push(`${name}.${role === 'request' ? 'encode' : 'decode'}`);
      }
      continue;
    }
    const imports = [...code.matchAll(/import \{([^}]*)\} from '[^']*etcdserverpb\/rpc\.js';/g)];
    if (imports.length !== code.split('etcdserverpb/rpc.js').length - 1) {
      throw new SetupError(
        `${file} takes messages other than by import { name }: which of their methods it uses isn't seen`,
      );
    }
    for (const [list = '', names = ''] of imports) {
      const rest = code.replace(list, '');
      for (const [, name = '', local = name] of names.matchAll(/(\w+)(?: as (\w+))?/g)) {
        for (const [, method] of rest.matchAll(new RegExp(`\\b${local}\\b(?:\\.(\\w+)\\()?`, 'g'))) {
          used.push(
            ...all.filter((one) => one === `${name}.${method}` || (!method && one.startsWith(`${name}.`))),
          );
        }
      }
    }
  }
  return used;
}

/**
 * A message that a comment names isn't used by that.
 * @param {string} file
 * @param {string} code
 */
function withoutComments(file, code) {
  let rest = '';
  let at = 0;
  for (const { start, end } of parseSync(file, code).comments) {
    rest += code.slice(at, start);
    at = end;
  }
  return rest + code.slice(at);
}

/** @param {string} code */
const callsIn = (code) =>
  Array.from(code.matchAll(/\b\w+\.(?:encode|decode|create|fromPartial)\(/g), ([call]) => call.slice(0, -1));
