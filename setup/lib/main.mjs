// @ts-check
import { endChildren } from './command.mjs';
import { Help, SetupError } from './errors.mjs';

/** Oldest Node that runs this project. */
const MIN_NODE = 20;

/** Exit codes of the signals that ask this process to end. */
const SIGNALS = /** @type {const} */ ({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 });

/**
 * Runs one of the repository's commands. Its result is the exit code. A `SetupError` becomes one clear line and its
 * exit code. An interrupt is passed on to the children, and the process waits until they have cleaned up.
 * @param {(args: string[]) => Promise<number>} command gets the arguments after `--`
 */
export async function main(command) {
  /** @type {number | undefined} */
  let interrupted;
  for (const signal of /** @type {(keyof typeof SIGNALS)[]} */ (Object.keys(SIGNALS))) {
    process.on(signal, () => {
      // A second interrupt doesn't wait.
      const first = interrupted === undefined;
      interrupted ??= SIGNALS[signal];
      void endChildren(first ? signal : 'SIGKILL').then(() => process.exit(interrupted));
    });
  }
  try {
    requireNode();
    process.exitCode = await command(process.argv.slice(2));
  } catch (error) {
    if (error instanceof Help) return void process.stdout.write(`${error.message}\n`);
    if (!(error instanceof SetupError)) throw error;
    if (error.output) process.stderr.write(`${error.output}\n`);
    process.stderr.write(`✖ ${error.message}\n`);
    if (error.hint) process.stderr.write(`  ${error.hint}\n`);
    process.exitCode = error.exitCode;
  }
}

function requireNode() {
  if (Number.parseInt(process.versions.node, 10) >= MIN_NODE) return;
  throw new SetupError(`Node ${MIN_NODE} or newer is needed, this is ${process.versions.node}`);
}
