import { isAuthOff } from '../server-errors.js';

/** Name and password of one of etcd's users. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** A token that etcd accepts as it is, such as a JWT that was signed elsewhere. */
export interface FixedToken {
  readonly token: string;
}

/** Who makes the calls. */
export type AuthOptions = Credentials | FixedToken;

/**
 * The token of a user, fetched when first needed and again when the server refuses it. However many calls need one,
 * one request fetches it.
 * @internal
 */
export class TokenSource {
  readonly #authenticate: () => Promise<string>;
  #fetching: Promise<string> | undefined;
  #token: string | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param authenticate calls `Auth.Authenticate`.
   * @param fixed another one can't come: who is refused with this one is refused.
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

  /** A new token in place of `refused`; the one that another call has fetched meanwhile will do. */
  refresh(refused: string | undefined): Promise<string> {
    if (this.#token !== undefined && this.#token !== refused) return Promise.resolve(this.#token);
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** A token that is not older than that: what lives long should not begin with one about to expire. */
  notOlderThan(ms: number): Promise<string> {
    const young = performance.now() - this.#fetchedAt <= ms;
    return young && this.#token !== undefined ? Promise.resolve(this.#token) : this.refresh(this.#token);
  }

  /** The server didn't take it, however young: {@link notOlderThan} gives another. */
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
    this.#fetchedAt = performance.now();
    return this.#token;
  }
}
