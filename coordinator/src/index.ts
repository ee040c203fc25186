/** The public face: a coordinator inside another program, such as a test, and the arithmetic of a run for what studies it. */

export { startCoordinator, type RunningCoordinator } from './start-coordinator.js';
export type { CoordinatorConfig } from './config/coordinator-config.js';
export { planRun } from './runs/plan-run.js';
export { firstAdapter } from './aggregation/first-adapter.js';
export { applySum, type Applied, type TrainedState } from './aggregation/conclude.js';
