import { setMaxListeners } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { clearTimeout, LONGEST_TIMER_MS, setImmediate, setTimeout } from '../../util/timers.js';
import { afterReading } from '../../util/wait.js';
import { CONNECTING_SIGNAL } from './abortable-resolver.js';
import { SocketHold } from './socket-hold.js';

/** What a {@link GrpcJsChannel} is made with. */
export interface ChannelInit {
  readonly target: string;
  readonly credentials: grpc.ChannelCredentials;
  readonly options: grpc.ChannelOptions;
  /** Idle time before TCP's keepalive probes start, in ms; 0 for none. */
  readonly tcpKeepAliveMs: number;
  /** Bound on being without a connection while one is wanted, in ms. */
  readonly connectTimeoutMs: number;
  readonly referenced: boolean;
  /** The channel no longer makes connections, for this reason, and has been retired. */
  readonly gaveUp: () => void;
  /** The channel was retired, its last call has ended, and nothing of it is left. */
  readonly ended: () => void;
}

/**
 * A channel of grpc-js, for as long as it is usable. grpc-js has no bound on making a connection. So a channel waits
 * forever if its attempt is never answered, or is reset during the TLS handshake (grpc/grpc-node#2785). And a
 * connection attempt that is under way when the channel is closed still becomes a connection, which stays. This class
 * has a bound, and leaves nothing behind.
 */
export class GrpcJsChannel {
  readonly client: grpc.Client;
  readonly #init: ChannelInit;
  readonly #sockets: SocketHold;
  readonly #ending = new AbortController();
  #calls = 0;
  #connectTimer: NodeJS.Timeout | undefined;
  #retired = false;
  #ended = false;
  #why: string | undefined;

  constructor(init: ChannelInit) {
    this.#init = init;
    setMaxListeners(0, this.#ending.signal);
    this.#sockets = new SocketHold(init.tcpKeepAliveMs);
    if (!init.referenced) this.#sockets.unref();
    this.client = new grpc.Client(init.target, this.#sockets.observe(init.credentials), {
      ...init.options,
      [CONNECTING_SIGNAL]: this.#ending.signal,
    });
    this.#watch();
  }

  /** Why the channel was given up, where this side decided that. */
  get why(): string | undefined {
    return this.#why;
  }

  callBegan(): void {
    this.#calls += 1;
  }

  callEnded(): void {
    this.#calls -= 1;
    if (this.#retired && this.#calls === 0) this.#end();
  }

  /** Takes no new calls. Calls that have a connection continue. The others fail, with nothing sent. */
  retire(why?: string): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#why = why;
    clearTimeout(this.#connectTimer);
    // Before the end, so that the calls that fail because of it find the channel retired.
    this.client.close();
    if (this.#calls === 0) this.#end();
  }

  /** Ends the channel, with the calls on it. */
  close(): void {
    this.retire();
    this.#end();
  }

  ref(): void {
    this.#sockets.ref();
  }

  unref(): void {
    this.#sockets.unref();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#sockets.close();
    // Ends connections that aren't made yet. The others have said goodbye by then.
    setImmediate(() => setImmediate(() => this.#ending.abort()));
    this.#init.ended();
  }

  /** Ends a connection attempt that takes too long. */
  #watch(): void {
    const channel = this.client.getChannel();
    const { CONNECTING, SHUTDOWN } = grpc.connectivityState;
    const bound = this.#init.connectTimeoutMs;
    const tooLong = (): void => {
      if (this.#retired || channel.getConnectivityState(false) !== CONNECTING) return;
      this.retire(`connect timeout: no connection within ${bound} ms`);
      this.#init.gaveUp();
    };
    const look = (): void => {
      clearTimeout(this.#connectTimer);
      const state = channel.getConnectivityState(false);
      if (this.#retired || state === SHUTDOWN) return;
      if (state === CONNECTING && bound <= LONGEST_TIMER_MS) {
        // Something that arrived meanwhile may still wait to be read, if the event loop was blocked. A call's own
        // deadline comes first.
        this.#connectTimer = setTimeout(() => afterReading(() => setImmediate(tooLong)), bound).unref();
      }
      channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
    };
    look();
  }
}
