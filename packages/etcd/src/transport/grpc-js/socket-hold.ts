import type { Socket } from 'node:net';
import { ChannelCredentials } from '@grpc/grpc-js';
import { setImmediate, setTimeout } from '../../util/timers.js';

/** How long a connection has to send what was written to it, in ms. */
const GOODBYE_MS = 1_000;

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * Gives access to the sockets of a grpc-js channel, which grpc-js doesn't offer otherwise: each new connection passes
 * through the channel's credentials. grpc-js refs a connection's socket while calls are in flight on it.
 */
export class SocketHold {
  readonly #tcpKeepAliveMs: number;
  readonly #sockets = new Set<HeldSocket>();
  /** Sockets whose TLS handshake is under way. */
  readonly #raw = new Set<Socket>();
  #held = true;
  #closed = false;

  /** @param tcpKeepAliveMs idle time before TCP's keepalive probes start, in ms; 0 for none. */
  constructor(tcpKeepAliveMs: number) {
    this.#tcpKeepAliveMs = tcpKeepAliveMs;
  }

  /** Credentials that notify this object of each connection made with them. */
  observe(credentials: ChannelCredentials): ChannelCredentials {
    // After the channel is closed, grpc-js still connects what was in its back-off.
    const mayConnect = (): boolean => !this.#closed;
    return new ObservedCredentials(credentials, mayConnect, async (socket, secure) => {
      if (this.#closed) throw this.#refuse(socket);
      this.#raw.add(socket);
      // Whoever destroys the socket knows why. Until it is secured, nobody else listens.
      socket.on('error', () => {});
      try {
        const secured = await secure();
        if (this.#closed) throw this.#refuse(secured.socket);
        this.#add(secured.socket);
        return secured;
      } finally {
        this.#raw.delete(socket);
      }
    });
  }

  /** Calls in flight keep the process alive (the default). */
  ref(): void {
    this.#setHeld(true);
  }

  /** Calls in flight no longer keep the process alive. */
  unref(): void {
    this.#setHeld(false);
  }

  /**
   * Ends the connections once everything written to them is sent, or a second has passed. Connections that are still
   * being made also end.
   */
  close(): void {
    this.#closed = true;
    this.#setHeld(false);
    for (const socket of this.#raw) socket.destroy();
    const sockets = [...this.#sockets];
    if (sockets.length === 0) return;
    // Not at once, so that the channel can say goodbye.
    setImmediate(() => {
      for (const { socket } of sockets) socket.destroySoon();
    });
    setTimeout(() => {
      for (const { socket } of sockets) socket.destroy();
    }, GOODBYE_MS).unref();
  }

  #refuse(socket: Socket): Error {
    socket.destroy();
    return closedChannel();
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

function closedChannel(): Error {
  return new Error('the channel was closed');
}

type Secured = Awaited<ReturnType<SecureConnector['connect']>>;

/** Decides about a new TCP connection, and secures it. */
type Connect = (socket: Socket, secure: () => Promise<Secured>) => Promise<Secured>;

class ObservedCredentials extends ChannelCredentials {
  readonly #inner: ChannelCredentials;
  readonly #mayConnect: () => boolean;
  readonly #connect: Connect;

  constructor(inner: ChannelCredentials, mayConnect: () => boolean, connect: Connect) {
    super();
    this.#inner = inner;
    this.#mayConnect = mayConnect;
    this.#connect = connect;
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
      connect: (socket) => this.#connect(socket, () => inner.connect(socket)),
      waitForReady: () => (this.#mayConnect() ? inner.waitForReady() : Promise.reject(closedChannel())),
      getCallCredentials: () => inner.getCallCredentials(),
      destroy: () => inner.destroy(),
    };
  }
}
