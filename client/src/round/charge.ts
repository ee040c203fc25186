/** What a round costs, by its terms alone. */

import { roundCharge, type Manifest } from '@fedlora/protocol';
import type { Charge } from '../storage/ledger-chain.js';

/** The line of the ledger that a round of this manifest is to have. */
export function chargeOf(manifest: Manifest, manifestHash: string, roundId: string): Charge {
  return {
    runId: manifest.runId,
    roundId,
    manifestHash,
    unit: manifest.privacy.unit,
    delta: manifest.privacy.delta,
    ...(roundCharge(manifest) ?? { noiseMultiplier: 0, samplingRate: 1, steps: 1 }),
  };
}
