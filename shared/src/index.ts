/** The public face of what both programs agree on. */

export * from './adapter/attestation.js';
export * from './adapter/convert.js';
export * from './adapter/frozen-factors.js';
export * from './adapter/peft.js';
export * from './adapter/safetensors.js';
export * from './adapter/version.js';
export * from './api/access.js';
export * from './api/audit.js';
export * from './api/organisations.js';
export * from './api/release.js';
export * from './api/views.js';
export * from './errors/catalogue.js';
export * from './errors/fedlora-error.js';
export * from './messages/access.js';
export * from './messages/enrol.js';
export * from './messages/hub.js';
export * from './messages/is-byte-array.js';
export * from './messages/operator.js';
export * from './messages/query.js';
export * from './messages/release.js';
export * from './messages/round.js';
export * from './run/description.js';
export * from './run/modules.js';
export * from './run/repository.js';
export * from './wire/protocol-version.js';
export * from './wire/session.js';
