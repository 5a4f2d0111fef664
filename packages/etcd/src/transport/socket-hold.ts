import type { Socket } from 'node:net';
import { ChannelCredentials } from '@grpc/grpc-js';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * Reaches the sockets of a grpc-js channel, which it does not show otherwise: each new connection passes
 * through the channel's credentials. grpc-js refs a connection's socket while calls are in flight on it.
 */
export class SocketHold {
  readonly #tcpKeepAliveMs: number;
  readonly #sockets = new Set<HeldSocket>();
  #held = true;

  /** @param tcpKeepAliveMs idle time before TCP's keepalive probes start, in ms; 0 for none. */
  constructor(tcpKeepAliveMs: number) {
    this.#tcpKeepAliveMs = tcpKeepAliveMs;
  }

  /** Credentials by which this object learns of each connection made with them. */
  observe(credentials: ChannelCredentials): ChannelCredentials {
    return new ObservedCredentials(credentials, (socket) => this.#add(socket));
  }

  /** Calls in flight keep the process alive (the default). */
  ref(): void {
    this.#setHeld(true);
  }

  /** They no longer do. */
  unref(): void {
    this.#setHeld(false);
  }

  /** Ends the connections once what was written to them has gone. */
  close(): void {
    this.#setHeld(false);
    // Not at once, so that the channel can say goodbye.
    const sockets = [...this.#sockets];
    setImmediate(() => {
      for (const { socket } of sockets) socket.destroySoon();
    });
  }

  #setHeld(held: boolean): void {
    this.#held = held;
    for (const socket of this.#sockets) socket.setHeld(held);
  }

  #add(socket: Socket): void {
    if (this.#tcpKeepAliveMs > 0) socket.setKeepAlive(true, this.#tcpKeepAliveMs);
    const held = new HeldSocket(socket, this.#held);
    this.#sockets.add(held);
    socket.once('close', () => this.#sockets.delete(held));
  }
}

/** A socket whose `ref`, as called by grpc-js, holds the process only while that is allowed. */
class HeldSocket {
  readonly #ref: () => void;
  readonly #unref: () => void;
  #wanted = false;
  #held: boolean;

  constructor(
    readonly socket: Socket,
    held: boolean,
  ) {
    this.#held = held;
    this.#ref = socket.ref.bind(socket);
    this.#unref = socket.unref.bind(socket);
    socket.ref = () => this.#want(true);
    socket.unref = () => this.#want(false);
  }

  setHeld(held: boolean): void {
    this.#held = held;
    this.#apply();
  }

  #want(wanted: boolean): Socket {
    this.#wanted = wanted;
    this.#apply();
    return this.socket;
  }

  #apply(): void {
    if (this.#wanted && this.#held) this.#ref();
    else this.#unref();
  }
}

class ObservedCredentials extends ChannelCredentials {
  readonly #inner: ChannelCredentials;
  readonly #connected: (socket: Socket) => void;

  constructor(inner: ChannelCredentials, connected: (socket: Socket) => void) {
    super();
    this.#inner = inner;
    this.#connected = connected;
  }

  override _isSecure(): boolean {
    return this.#inner._isSecure();
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...args: Parameters<ChannelCredentials['_createSecureConnector']>
  ): SecureConnector {
    const inner = this.#inner._createSecureConnector(...args);
    return {
      connect: async (socket) => {
        const result = await inner.connect(socket);
        this.#connected(result.socket);
        return result;
      },
      waitForReady: () => inner.waitForReady(),
      getCallCredentials: () => inner.getCallCredentials(),
      destroy: () => inner.destroy(),
    };
  }
}
