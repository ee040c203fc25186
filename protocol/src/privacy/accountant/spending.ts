/** What a data set has spent: costs added up so that hundreds of rounds cost the accountant no more than one. */

import type { PrivacyUnit } from '../../manifest/manifest.js';
import type { AccountedSteps } from './events.js';
import { epsilonFor } from './rdp.js';

/** Steps of one kind, and what they protect. `none` promises nothing: it makes every epsilon infinite. */
export interface Cost extends AccountedSteps {
  readonly unit: PrivacyUnit;
}

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
    const steps = (next === undefined ? this : this.with(next)).steps(unit);
    if (steps === undefined) return Infinity;
    return steps.length === 0 ? 0 : epsilonFor(steps, delta).epsilon;
  }

  /** The same as steps for any accountant; `undefined` where nothing is promised. */
  steps(unit: ProtectedUnit): AccountedSteps[] | undefined {
    const costs = this.costs();
    if (costs.some((cost) => cost.unit === 'none' || (unit === 'client' && cost.unit !== 'client'))) return undefined;
    return costs.map(({ unit: protects, noiseMultiplier, samplingRate, steps }) => ({
      noiseMultiplier: unit === 'record' && protects === 'client' ? noiseMultiplier / 2 : noiseMultiplier,
      samplingRate,
      steps,
    }));
  }

  /** What was added, by kind of step. */
  costs(): Cost[] {
    return [...this.totals.values()];
  }

  private with(next: Cost): Spending {
    const spending = Spending.of(this.totals.values());
    spending.add(next);
    return spending;
  }
}
