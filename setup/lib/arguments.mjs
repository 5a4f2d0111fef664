// @ts-check
import { parseArgs } from 'node:util';
import { Help, UsageError } from './errors.mjs';

/**
 * Like `parseArgs`, but refuses unknown arguments with a one-line message, and answers `--help`.
 * @template {import('node:util').ParseArgsConfig & { args: string[] }} Config
 * @param {Config} config
 * @param {string} hint how the command is used
 */
export function parse(config, hint) {
  if (config.args.includes('--help')) throw new Help(hint);
  try {
    return parseArgs(config);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message.split('. ')[0] ?? '', hint);
  }
}
