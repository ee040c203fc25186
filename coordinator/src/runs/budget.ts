/** What a run has spent of its members' privacy, as the accountant sees it. */

import { epsilonFor, roundCharge, type Manifest } from '@fedlora/protocol';

/** Epsilon after some rounds, each remembered: the accountant takes milliseconds and the dashboard asks often. */
export class Budget {
  private readonly known = new Map<string, number>();

  /** Epsilon at the run's delta after `rounds` charged rounds; `null` where no promise is made. */
  epsilonAfter(manifest: Manifest, rounds: number): number | null {
    const charge = roundCharge(manifest);
    if (charge === undefined) return null;
    if (rounds === 0) return 0;
    const { delta } = manifest.privacy;
    const key = JSON.stringify([charge, delta, rounds]);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const { epsilon } = epsilonFor([{ ...charge, steps: charge.steps * rounds }], delta);
    this.known.set(key, epsilon);
    return epsilon;
  }
}
