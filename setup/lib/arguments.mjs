// @ts-check
import { parseArgs } from 'node:util';
import { UsageError } from './errors.mjs';

/**
 * Like `parseArgs`, but refuses unknown arguments with a one-line message.
 * @template {import('node:util').ParseArgsConfig} Config
 * @param {Config} config
 * @param {string} hint how the command is used
 */
export function parse(config, hint) {
  try {
    return parseArgs(config);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message.split('. ')[0] ?? '', hint);
  }
}
