export { EnvironmentError, QuiesceError, ServiceError, UsageError } from './errors.js';
export type { ExitStatus } from './process-group.js';
export { type RunningService, type ServiceSpec, startService } from './service.js';
