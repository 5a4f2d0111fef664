import { isAuthOff } from '../server-errors.js';
import { monotonicMs } from '../util/timers.js';

/** Name and password of an etcd user. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly token?: undefined;
}

/** A token that etcd accepts as it is, such as a JWT that was signed elsewhere. */
export interface FixedToken {
  readonly token: string;
  readonly username?: undefined;
  readonly password?: undefined;
}

/** The identity that makes the calls. */
export type AuthOptions = Credentials | FixedToken;

/**
 * The token of a user, fetched when first needed and again when the server refuses it. One request fetches it for all
 * calls that need it.
 * @internal
 */
export class TokenSource {
  readonly #authenticate: () => Promise<string>;
  #fetching: Promise<string> | undefined;
  #token: string | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param authenticate calls `Auth.Authenticate`.
   * @param fixed whether no other token can come, so that a refusal is final.
   */
  constructor(
    authenticate: () => Promise<string>,
    readonly fixed: boolean,
  ) {
    this.#authenticate = authenticate;
  }

  /** The token last fetched; empty while the server has authentication off, `undefined` before the first. */
  get current(): string | undefined {
    return this.#token;
  }

  /** A new token to replace `refused`. If another call has fetched one in the meantime, that one is used. */
  refresh(refused: string | undefined): Promise<string> {
    if (this.#token !== undefined && this.#token !== refused) return Promise.resolve(this.#token);
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** A token that isn't older than this. A long-lived stream shouldn't begin with a token that is about to expire. */
  notOlderThan(ms: number): Promise<string> {
    const young = monotonicMs() - this.#fetchedAt <= ms;
    return young && this.#token !== undefined ? Promise.resolve(this.#token) : this.refresh(this.#token);
  }

  /** The server refused the token, however young it is. The next {@link notOlderThan} fetches another one. */
  refused(): void {
    this.#fetchedAt = Number.NEGATIVE_INFINITY;
  }

  async #fetch(): Promise<string> {
    try {
      this.#token = await this.#authenticate();
    } catch (error) {
      if (!isAuthOff(error)) throw error;
      this.#token = '';
    }
    this.#fetchedAt = monotonicMs();
    return this.#token;
  }
}
