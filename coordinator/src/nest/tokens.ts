/** Injection tokens of values that are no classes. */

export const LOG = Symbol('Log');
export const OPEN_API = Symbol('OpenApi');
/** The public half of the key that signs versions, 64 hex digits. */
export const PUBLIC_KEY = Symbol('PUBLIC_KEY');
