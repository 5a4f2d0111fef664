import type { ServiceSpec } from 'quiesce';

/** A Valkey-compatible server on loopback, without persistence. It provides `VALKEY_PORT`. */
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
