/** The public face of the protocol. Everything here is pure: no clock, no network, no global randomness. */

export * from './errors.js';
export * from './random.js';
export * from './update/stages.js';
export * from './update/layout.js';
export * from './update/metrics.js';
export * from './manifest/manifest.js';
export * from './manifest/roster.js';
