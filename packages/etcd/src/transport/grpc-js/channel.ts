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
  /** It makes no connection any more, for this reason, and has been retired. */
  readonly gaveUp: () => void;
  /** It was retired, its last call has ended, and nothing is left of it. */
  readonly ended: () => void;
}

/**
 * A channel of grpc-js, for as long as it is usable. grpc-js has no bound on making a connection, so that a channel
 * whose attempt is never answered, or is reset as TLS is set up, waits forever (grpc/grpc-node#2785). And what it is
 * about to connect when it is closed becomes a connection anyway, which stays. This one has a bound, and ends
 * whole.
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

  /** Why it was given up, where that was this side's decision. */
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

  /** Takes no new calls. Those that have a connection continue; the others fail, with nothing sent. */
  retire(why?: string): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#why = why;
    clearTimeout(this.#connectTimer);
    // Before the end, so that calls which fail by it find it retired.
    this.client.close();
    if (this.#calls === 0) this.#end();
  }

  /** Ends it, with the calls on it. */
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
    // Ends those that aren't connected yet; the others have said goodbye by then.
    setImmediate(() => setImmediate(() => this.#ending.abort()));
    this.#init.ended();
  }

  /** Ends an attempt to connect that takes too long. */
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
        // What has come meanwhile may wait to be read, when something has blocked the event loop.
        // A call's own deadline goes first.
        this.#connectTimer = setTimeout(() => afterReading(() => setImmediate(tooLong)), bound).unref();
      }
      channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
    };
    look();
  }
}
