/** Injection tokens of values that are no classes. */

export const LOG = Symbol('Log');
