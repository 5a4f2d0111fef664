import { EtcdError, StatusCode } from '../errors.js';

/**
 * Why a lease is no longer held:
 * - `expired`: no renewal succeeded for as long as its TTL.
 * - `revoked`: the server no longer has it although its TTL had not passed; somebody revoked it. The message says whether
 *   that was this client.
 * - `halted`: the client that kept it alive was closed. The server keeps it until its TTL has passed.
 * - `closed`: its session was closed or orphaned by its holder.
 */
export type LeaseLostReason = 'expired' | 'revoked' | 'halted' | 'closed';

const explanations: Record<LeaseLostReason, string> = {
  expired: 'it was not renewed within its TTL; what it guarded may belong to somebody else',
  revoked: 'it was revoked; its keys are gone',
  halted: 'the client that kept it alive was closed',
  closed: 'its session was closed',
};

const REVOKED_BY_US =
  'this program revoked it itself, by lease.revoke() or by closing another session with that lease; its keys are gone. To revoke a lease without this error, stop() its keepalive first';

/**
 * Further details.
 * @internal
 */
export interface LostMore {
  readonly cause?: unknown;
  /** Whether what was called in the meantime may be applied, or was applied. Default false. */
  readonly mayBeApplied?: boolean;
}

/** @internal */
export interface LeaseLostMore extends LostMore {
  /** Whether the lease was revoked through this client. Default false. */
  readonly byUs?: boolean;
}

/**
 * A lease is no longer kept alive, so what it guards can no longer be relied on. The signals of keepalives and sessions
 * abort with this as the reason. Code `NOT_FOUND`, or `CANCELLED` for `halted` and `closed`.
 */
export class LeaseLostError extends EtcdError {
  readonly leaseId: bigint;
  readonly why: LeaseLostReason;
  readonly #byUs: boolean;

  /** @internal */
  constructor(leaseId: bigint, why: LeaseLostReason, more: LeaseLostMore = {}) {
    const ended = why === 'expired' || why === 'revoked';
    const { cause, mayBeApplied = false, byUs = false } = more;
    super(`lease ${leaseId} is lost: ${byUs ? REVOKED_BY_US : explanations[why]}`, {
      code: ended ? StatusCode.NOT_FOUND : StatusCode.CANCELLED,
      sent: mayBeApplied,
      cause,
    });
    this.leaseId = leaseId;
    this.why = why;
    this.#byUs = byUs;
  }

  /**
   * The same loss for one of the callers that it fails, with the caller's stack.
   * @internal
   */
  forCaller(mayBeApplied: boolean): LeaseLostError {
    return new LeaseLostError(this.leaseId, this.why, { cause: this, byUs: this.#byUs, mayBeApplied });
  }
}
