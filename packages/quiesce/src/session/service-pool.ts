import { messageOf, ServiceError } from '../errors.js';
import type { Scenario } from '../plan/scenario.js';
import { describeExit, type RunningService, type ServiceSpec, startService } from '../service/service.js';

/** What happens to services while a plan runs. */
export type ServiceEvent =
  | { readonly type: 'service-starting'; readonly service: string }
  | { readonly type: 'service-ready'; readonly service: string };

/** What a scenario gets from the services it uses. */
export interface NeededServices {
  readonly env: Readonly<Record<string, string>>;
  /** Aborted when one of them dies, or when everything must stop. */
  readonly signal: AbortSignal;
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(';')[0] ?? '';

interface PooledService {
  readonly service: RunningService;
  /** Aborted, with a ServiceError as its reason, when the service dies. */
  readonly failed: AbortSignal;
}

/** Starts services when they are first requested, watches them, and stops them all at the end. */
export class ServicePool {
  readonly #specs: Readonly<Record<string, ServiceSpec>>;
  readonly #onEvent: (event: ServiceEvent) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #started = new Map<string, PooledService>();
  readonly failures = new Map<string, ServiceError>();
  #stopping = false;

  constructor(
    specs: Readonly<Record<string, ServiceSpec>>,
    onEvent: (event: ServiceEvent) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#specs = specs;
    this.#onEvent = onEvent;
    this.#signal = signal;
  }

  /** Starts what a scenario uses. If it can't, says why. */
  async of(scenario: Scenario): Promise<NeededServices | string> {
    const signal = this.#signal;
    if (signal?.aborted) return messageOf(signal.reason);
    const env: Record<string, string> = {};
    const stops = signal === undefined ? [] : [signal];
    try {
      for (const name of scenario.uses) {
        const { service, failed } = await this.#get(name);
        Object.assign(env, service.env);
        stops.push(failed);
      }
    } catch (error) {
      if (!signal?.aborted && !(error instanceof ServiceError)) throw error;
      return firstLine(error);
    }
    return { env, signal: AbortSignal.any(stops) };
  }

  async #get(name: string): Promise<PooledService> {
    const failure = this.failures.get(name);
    if (failure !== undefined) throw failure;
    const started = this.#started.get(name);
    if (started !== undefined) return started;
    this.#onEvent({ type: 'service-starting', service: name });
    try {
      const signal = this.#signal === undefined ? {} : { signal: this.#signal };
      const service = await startService(name, this.#specs[name] as ServiceSpec, signal);
      const pooled = { service, failed: this.#watch(service) };
      this.#started.set(name, pooled);
      this.#onEvent({ type: 'service-ready', service: name });
      return pooled;
    } catch (error) {
      if (error instanceof ServiceError) this.failures.set(name, error);
      throw error;
    }
  }

  #watch(service: RunningService): AbortSignal {
    const died = new AbortController();
    const fail = (what: string): void => {
      if (this.#stopping) return;
      this.failures.set(service.name, new ServiceError(service.name, what, service.log()));
      died.abort(new ServiceError(service.name, what));
    };
    service.exited.then(
      (status) => fail(`${describeExit(status)} while it was needed`),
      (error) => fail(`is lost: ${messageOf(error)}`),
    );
    return died.signal;
  }

  async stopAll(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#started.values()].map(({ service }) => service.stop()));
  }
}
