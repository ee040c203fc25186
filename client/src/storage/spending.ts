/** What a data set has spent: charges added up so that hundreds of rounds cost the accountant no more than one. */

import { epsilonFor, type PrivacyUnit } from '@fedlora/protocol';

/** What one round costs. `unit: 'none'` promises nothing: it makes every epsilon of the data set infinite. */
export interface Charge {
  readonly runId: string;
  readonly roundId: string;
  readonly manifestHash: string;
  readonly unit: PrivacyUnit;
  readonly noiseMultiplier: number;
  readonly samplingRate: number;
  readonly steps: number;
  readonly delta: number;
}

/** The part of a charge that the accountant needs. */
export type Cost = Pick<Charge, 'unit' | 'noiseMultiplier' | 'samplingRate' | 'steps'>;

/** What is protected when a total is asked for. */
export type ProtectedUnit = 'record' | 'client';

/** What a round of a unit protects, whoever adds the noise. */
export function protectedBy(unit: Exclude<PrivacyUnit, 'none'>): ProtectedUnit {
  return unit === 'client' ? 'client' : 'record';
}

export class Spending {
  /** Steps by unit, noise multiplier and sampling rate. */
  private readonly totals = new Map<string, Cost>();

  static of(charges: Iterable<Cost>): Spending {
    const spending = new Spending();
    for (const charge of charges) spending.add(charge);
    return spending;
  }

  add({ unit, noiseMultiplier, samplingRate, steps }: Cost): void {
    const key = `${unit}/${noiseMultiplier}/${samplingRate}`;
    this.totals.set(key, { unit, noiseMultiplier, samplingRate, steps: steps + (this.totals.get(key)?.steps ?? 0) });
  }

  /**
   * Epsilon of everything added, and of `next` as well when it is given, at `delta`.
   *
   * Guarantee  an upper bound for the unit asked for. For `record`, a round of unit `client` counts with half its noise multiplier,
   *            since changing one record can move a clipped update by twice its bound; steps of `record` and `record-local` add up
   *            alike. A round of unit `none`, or one that protects records when `client` is asked for, promises nothing: the result
   *            is infinite.
   */
  epsilon(unit: ProtectedUnit, delta: number, next?: Cost): number {
    const all = next === undefined ? this : this.with(next);
    const charges = [...all.totals.values()];
    if (charges.length === 0) return 0;
    if (charges.some((charge) => charge.unit === 'none' || (unit === 'client' && charge.unit !== 'client')))
      return Infinity;
    const events = charges.map((charge) => ({
      noiseMultiplier:
        unit === 'record' && charge.unit === 'client' ? charge.noiseMultiplier / 2 : charge.noiseMultiplier,
      samplingRate: charge.samplingRate,
      steps: charge.steps,
    }));
    return epsilonFor(events, delta).epsilon;
  }

  private with(next: Cost): Spending {
    const spending = Spending.of(this.totals.values());
    spending.add(next);
    return spending;
  }
}
