/** Injection tokens of values that are no classes. */

export const LOG = Symbol('Log');
export const OPEN_API = Symbol('OpenApi');
