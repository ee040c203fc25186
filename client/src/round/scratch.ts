/** The private numbers that a computation leaves behind, taken hold of as they are made and overwritten together. */

import type { Wipeable } from '@fedlora/protocol';

/**
 * What is computed from rows and not handed on: raw sums, trained weights, losses.
 *
 * What it does not do: an engine and the garbage collector may hold copies (protocol's `Secret` says the same of keys). Wiping
 * shortens the time in which a memory dump shows an update that nothing has bounded.
 */
export class Scratch {
  private readonly kept: Wipeable[] = [];

  /** Takes hold of values, and answers for their wiping. */
  keep<Values extends Wipeable>(values: Values): Values {
    this.kept.push(values);
    return values;
  }

  /** Overwrites everything that was kept with zeros. May be called again. */
  wipe(): void {
    for (const values of this.kept.splice(0)) values.fill(0);
  }
}
