/** What a run would cost and what it would survive, from its terms alone. */

import { setImmediate as pause } from 'node:timers/promises';
import {
  noiseMultiplierFor,
  ProtocolError,
  roundCharge,
  roundLength,
  serverDivisor,
  shareStddevInSteps,
  stepsWithinBudget,
  trainedFactor,
  trainedLength,
  type AccountedSteps,
  type Manifest,
} from '@fedlora/protocol';
import type {
  BaseShape,
  CapForecast,
  DeclaredBudget,
  EpsilonPoint,
  NoiseCurve,
  NoiseForecast,
  RunForecast,
} from '@fedlora/shared';
import { organisationForecasts } from './declared-budgets.js';
import { epsilonOfRounds, type EpsilonAfter } from './epsilon-of-rounds.js';
import { memoryForecast } from './memory-forecast.js';
import { bytesUp } from './run-view.js';

/** Steps between the points of the curve; a shorter run has a point after each round. */
const CURVE_STEPS = 40;
/** Of the noise multiplier: what would change if there were somewhat less, or more. */
const OTHER_NOISE = [0.8, 1.25];
/** Relative; the noise multiplier of a description has seldom more digits. */
const NOISE_PRECISION = 1e-3;

/**
 * @param epsilonCaps positive; for each it is found how many rounds fit, and how much noise all of them need
 * @param budgets what members declare, by name; other names are passed over
 * Cost   some tenths of a second for each cap where there is very little noise; other work goes on in between
 */
export async function forecast(
  manifest: Manifest,
  base: BaseShape,
  members: readonly string[],
  epsilonCaps: readonly number[],
  budgets: ReadonlyMap<string, DeclaredBudget> = new Map(),
): Promise<RunForecast> {
  const charge = roundCharge(manifest);
  const epsilonAfter = charge === undefined ? undefined : epsilonOfRounds(charge, manifest.privacy.delta);
  const { aggregation, privacy, rounds } = manifest;
  const lengths = [0, 1].map((round) => roundLength(manifest, trainedFactor(manifest, round)));
  const otherNoise: NoiseCurve[] = [];
  const caps: CapForecast[] = [];
  if (charge !== undefined && epsilonAfter !== undefined) {
    for (const ratio of OTHER_NOISE) {
      await pause();
      const noiseMultiplier = ratio * charge.noiseMultiplier;
      const after = epsilonOfRounds({ ...charge, noiseMultiplier }, privacy.delta);
      otherNoise.push({ noiseMultiplier, curve: epsilonCurve(rounds, after) });
    }
    for (const epsilon of epsilonCaps) {
      await pause();
      caps.push(capForecast(manifest, charge, epsilonAfter, epsilon));
    }
  }
  return {
    manifest,
    members,
    threshold: aggregation.threshold,
    minimumContributors: privacy.minimumContributors,
    dropoutsSurvived: dropoutsSurvived(manifest, members.length),
    bytesUpPerRound: 4 * Math.max(...lengths.slice(0, rounds)),
    bytesUpInAll: bytesUp(manifest, rounds),
    epsilonCurve: epsilonAfter === undefined ? [] : epsilonCurve(rounds, epsilonAfter),
    otherNoise,
    caps,
    organisations: await organisationForecasts(manifest, members, budgets),
    noise: noiseForecast(manifest, members.length),
    memory: memoryForecast(base, manifest),
  };
}

/** Of all members, those without whom every phase still has its threshold and the sum its contributors. */
export function dropoutsSurvived({ aggregation, privacy }: Manifest, members: number): number {
  return members - Math.max(aggregation.threshold, privacy.minimumContributors);
}

function epsilonCurve(rounds: number, epsilonAfter: EpsilonAfter): EpsilonPoint[] {
  const steps = Math.min(rounds, CURVE_STEPS);
  return Array.from({ length: steps + 1 }, (_, i) => Math.round((i * rounds) / steps)).map((after) => ({
    rounds: after,
    epsilon: finiteOrNull(epsilonAfter(after)),
  }));
}

function capForecast(
  { privacy: { delta }, rounds }: Manifest,
  charge: AccountedSteps,
  epsilonAfter: EpsilonAfter,
  epsilon: number,
): CapForecast {
  // Every step counted here is a round.
  const budget = { ...charge, epsilon, delta, spent: [] };
  const fitting = stepsWithinBudget(budget, (events) => epsilonAfter(events[0].steps));
  const target = { epsilon, delta, samplingRate: charge.samplingRate, steps: rounds * charge.steps };
  return { epsilon, rounds: finiteOrNull(fitting), noiseMultiplier: noiseMultiplierOrNull(target) };
}

function noiseMultiplierOrNull(target: Parameters<typeof noiseMultiplierFor>[0]): number | null {
  try {
    return noiseMultiplierFor(target, NOISE_PRECISION);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'privacy/not-reachable') return null;
    throw error;
  }
}

/**
 * Noise of the sum over the greatest signal there can be.
 *
 * Formula    sigma_share sqrt(n) / s is each value's noise with all n members, in units of the update; N C bounds the norm of the sum
 *            of N units clipped to C. N is the expected number of records, or n whole updates. A vector of P trained values has
 *            sqrt(P) times a value's noise.
 */
function noiseForecast(manifest: Manifest, members: number): NoiseForecast | null {
  const { adapter, encoding, privacy, training } = manifest;
  const trained = trainedFactor(manifest, 0);
  const share = shareStddevInSteps(manifest, trained);
  if (share === 0) return null;
  const units = training.kind === 'record-step' ? serverDivisor(manifest) : members;
  const perCoordinate = (share * Math.sqrt(members)) / encoding.stepsPerUnit / (units * privacy.l2Bound);
  const values = trainedLength(adapter.modules, adapter.r, trained);
  return { perCoordinate, leastNoiseToSignal: perCoordinate * Math.sqrt(values) };
}

/** JSON has no infinity. */
function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
