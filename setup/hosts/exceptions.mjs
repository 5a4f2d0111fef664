// @ts-check
/**
 * What a host can't do: client tests that fail there for a reason outside the client. `npm run runtimes` fails when one
 * of them passes, and when any other test fails. docs/measurements/runtimes.md explains each cause.
 *
 * @typedef {object} Exception
 * @property {import('@quiesce/test-services').RuntimeName[]} on
 * @property {string} file of packages/etcd/test, without `.test.ts`
 * @property {string[]} [tests] ends of the names that fail
 * @property {boolean} [mayCrash] whether the process may die from a signal in the tests over grpc-js. The file's other
 * tests then run without those. Such a row has a reproduction
 * @property {string[]} [reproduction] a program in scenarios/host-bugs without our code, and its arguments. It fails as
 * long as the host has the bug
 * @property {string} cause the cause in the words of docs/measurements/runtimes.md
 */

const DENO_GO_AWAY = "Deno's `node:http2` crashes when a connection is closed by its `goaway` listener";
const BUN_PROTOCOL = "Bun's `node:http2` handles some breaches of the protocol differently from Node's";
const DENO_PROTOCOL = "Deno's `node:http2` tolerates some breaches of the protocol that end a call on Node";

/** @type {Exception[]} */
export const exceptions = [
  ...['maintenance', 'cluster'].map((file) => ({
    on: /** @type {['deno']} */ (['deno']),
    file,
    mayCrash: true,
    cause: DENO_GO_AWAY,
    reproduction: ['http2-closed-in-goaway.mjs'],
  })),
  {
    on: ['deno'],
    file: 'faults-lifetime',
    tests: ['opening, breaking and closing, in workers too, leaves no thread, no file and no memory'],
    cause: 'Deno leaves two descriptors open for each worker that is terminated while it runs',
    reproduction: ['running-worker-leaks-files.mjs'],
  },
  {
    on: ['deno'],
    file: 'transport',
    tests: ['transport grpc-js > streams > give all messages before the status that ended them'],
    cause: "grpc-js on Deno loses messages that an error's status follows at once",
    reproduction: ['grpc-js-loses-messages.mjs'],
  },
  {
    on: ['deno'],
    file: 'test-pools',
    tests: ["tests in vitest's pool of threads leave their clients open, and the run ends with code 0"],
    cause: "Deno has no `parentPort.removeAllListeners()`, which vitest's pool of threads calls",
    reproduction: ['missing-pieces.mjs', 'removeAllListeners'],
  },
  {
    on: ['bun'],
    file: 'faults',
    tests: bothKinds([
      'GOAWAY with an error',
      'DATA before HEADERS',
      'a frame of a stream that was never opened',
      'no :status',
      'two answers on one stream',
    ]),
    cause: BUN_PROTOCOL,
    reproduction: ['http2-breaches.mjs'],
  },
  {
    on: ['deno'],
    file: 'faults',
    tests: bothKinds([
      'DATA before HEADERS',
      'GOAWAY as the first word',
      'a frame of a stream that was never opened',
      'a frame that is too long',
      'a pushed stream',
      'frames of the wrong length',
      'no :status',
    ]),
    cause: DENO_PROTOCOL,
    reproduction: ['http2-breaches.mjs'],
  },
];

function bothKinds(/** @type {string[]} */ names) {
  return names.flatMap((name) =>
    ['a unary call', 'a stream call'].map((kind) => `faults over transport grpc-js > ${kind} > ${name}`),
  );
}
