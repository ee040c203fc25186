/** The public face: a coordinator inside another program, such as a test. */

export { startCoordinator, type RunningCoordinator } from './start-coordinator.js';
export type { CoordinatorConfig } from './config/coordinator-config.js';
