/**
 * A holder for secret bytes that cannot be printed by accident and refuses to be used after it was wiped.
 *
 * What it does not do: JavaScript cannot promise erasure. The garbage collector may have copied the bytes, and arithmetic on
 * them leaves copies. Wiping shortens the time in which a memory dump is useful, and makes a second use of a one-time key fail.
 */

import { ProtocolError } from '../errors.js';

const PRINTED = '[secret]';

/** Secret bytes. Takes ownership: the caller must not keep or share the array it passes in. */
export class Secret {
  readonly #bytes: Uint8Array;
  #wiped = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * The bytes themselves, not a copy.
   *
   * @throws ProtocolError secret/wiped: it was wiped already, so somebody tried to use a one-time secret twice
   */
  reveal(): Uint8Array {
    if (this.#wiped) throw new ProtocolError('secret/wiped');
    return this.#bytes;
  }

  get isWiped(): boolean {
    return this.#wiped;
  }

  /** Overwrites the bytes with zeros. May be called again. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return PRINTED;
  }

  toJSON(): string {
    return PRINTED;
  }

  /** What `util.inspect` and `console.log` of Node print. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return PRINTED;
  }
}

/** Wipes every secret in a list: what callers do with the `consumed` of a protocol step. */
export function wipe(secrets: Iterable<Secret>): void {
  for (const secret of secrets) secret.wipe();
}

/** Takes hold of secret bytes, and answers for their wiping. */
export type Keep = (bytes: Uint8Array) => Secret;

/**
 * Runs a step that makes secrets. If it throws midway, every secret that it made so far is wiped before the error goes on.
 *
 * @param work gets a function that turns bytes into a `Secret` and remembers it
 */
export function wipingOnThrow<Result>(work: (keep: Keep) => Result): Result {
  const made: Secret[] = [];
  try {
    return work((bytes) => {
      const secret = new Secret(bytes);
      made.push(secret);
      return secret;
    });
  } catch (error) {
    wipe(made);
    throw error;
  }
}

/** Numbers that can be overwritten: any typed array, or an array of numbers. */
export interface Wipeable {
  fill(value: 0): unknown;
}

/** Lends secret bytes or numbers to a computation and overwrites them with zeros afterwards, also if it throws. */
export function usingOnce<Values extends Wipeable, Result>(values: Values, use: (values: Values) => Result): Result {
  try {
    return use(values);
  } finally {
    values.fill(0);
  }
}
