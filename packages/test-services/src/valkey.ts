import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceSpec } from 'quiesce';
import { findUpwards } from './find-upwards.js';

/** Where setup/provide/valkey.mjs writes down which server it found. */
const RECORD = join('.cache', 'valkey', 'path');

/**
 * The Valkey-compatible server to start: `VALKEY_BIN` where that is set, else the one that set-up found;
 * `undefined` where there is none.
 */
export function valkeyBinary(): string | undefined {
  if (process.env.VALKEY_BIN) return process.env.VALKEY_BIN;
  const record = findUpwards(RECORD);
  const binary = record === undefined ? '' : readFileSync(record, 'utf8').trim();
  return binary !== '' && existsSync(binary) ? binary : undefined;
}

/** A Valkey-compatible server on loopback, without persistence; it provides `VALKEY_PORT`. */
export function valkeyService(binary: string): ServiceSpec {
  return {
    command: [
      ...[binary, '--port', `\${port:client}`, '--bind', '127.0.0.1', '--dir', `\${dir}`],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
    ],
    ports: ['client'],
    ready: { log: 'Ready to accept connections', port: 'client' },
    provides: { VALKEY_PORT: `\${port:client}` },
  };
}
