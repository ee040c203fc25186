/**
 * How many neighbours and which threshold a Harary graph needs so that its secure aggregation is both private and likely to finish.
 *
 * Source     Bell, Bonawitz, Gascón, Lepoint, Raykova 2020, "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead",
 *            arXiv:2009.05022, section 3.3; the search is that of Google's HararyGraphParameterFinder, whose answers are the vectors
 * Model      n participants on a random circle, each with its k nearest as neighbours (k / 2 on either side); A of them collude
 *            with the coordinator and D drop out, both independent of the circle
 * Arithmetic logarithms of factorials, so that nothing overflows up to a million participants
 */

import { ProtocolError } from '../errors.js';
import { logChoose, logFactorial } from '../privacy/accountant/special.js';

/** What a lying coordinator is able to do. `consistent` is our protocol: survivors sign one list before anyone gives a share. */
export type ListModel = 'consistent' | 'may-differ';

export interface GraphSetting {
  /** n: participants on the circle. */
  readonly participants: number;
  /** A: participants that may collude with the coordinator. */
  readonly colluders: number;
  /** D: participants that may drop out. */
  readonly dropouts: number;
  /** Whether the coordinator could show different survivor lists to different participants. */
  readonly lists: ListModel;
}

/** The failure probabilities that are accepted, as bits: 2^-bits for one whole aggregation. */
export interface GraphAssurance {
  /** Against learning more than the sum. */
  readonly securityBits: number;
  /** Against being unable to unmask although no more than D dropped out. */
  readonly correctnessBits: number;
}

export interface GraphParameters {
  /** k: even. */
  readonly neighbours: number;
  /** t: shares, among those of the neighbours, that recover a secret. */
  readonly threshold: number;
}

/** What this version of the protocol demands. */
export const GRAPH_ASSURANCE: GraphAssurance = { securityBits: 40, correctnessBits: 20 };

/** Fewest shares that may recover a secret, whatever the odds. */
const LEAST_THRESHOLD = 2;

/**
 * The fewest neighbours, with their threshold, that keep both promises; `undefined` if no graph of at most n - 2 neighbours does.
 *
 * Cost       about n^(1/2) checks of k steps each where few collude; a second in the worst settings of a million participants.
 * @throws ProtocolError manifest/invalid: counts that contradict each other
 */
export function findGraphParameters(
  setting: GraphSetting,
  assurance: GraphAssurance = GRAPH_ASSURANCE,
): GraphParameters | undefined {
  checkSetting(setting);
  for (let neighbours = 2; neighbours < setting.participants - 1; neighbours += 2) {
    const threshold = thresholdFor(setting, neighbours, assurance);
    if (threshold !== undefined) return { neighbours, threshold };
  }
  return undefined;
}

/**
 * Whether k neighbours and threshold t keep the promise of privacy: the honest participants stay connected, and no participant has t
 * colluding neighbours, but for a chance of 2^-securityBits. That enough neighbours survive is not asked.
 */
export function isGraphPrivate(
  setting: GraphSetting,
  parameters: GraphParameters,
  securityBits: number = GRAPH_ASSURANCE.securityBits,
): boolean {
  checkSetting(setting);
  const { neighbours, threshold } = parameters;
  return (
    staysConnected(setting, neighbours, securityBits) &&
    threshold >= Math.max(leastBinding(setting, neighbours, securityBits) + 1, LEAST_THRESHOLD)
  );
}

/**
 * The greatest threshold that k neighbours still reach, but for a chance of 2^-correctnessBits, when D drop out. More than privacy
 * needs, it makes the pieces larger into which a lying coordinator can cut a sum (SPEC §10.6).
 */
export function greatestThreshold(
  setting: GraphSetting,
  neighbours: number,
  correctnessBits: number = GRAPH_ASSURANCE.correctnessBits,
): number {
  checkSetting(setting);
  return fewestSurvivors(setting, neighbours, correctnessBits);
}

/** log2 of the number of ways to leave out at most `silent` of n: the choice that this gives a coordinator over the circle. */
export function choiceBits(participants: number, silent: number): number {
  let ways = 0;
  for (let i = 0; i <= silent; i++) ways += Math.exp(logChoose(participants, i));
  return Math.log2(ways);
}

/** The threshold for k neighbours, or `undefined` if k are too few. */
function thresholdFor(setting: GraphSetting, k: number, assurance: GraphAssurance): number | undefined {
  if (!staysConnected(setting, k, assurance.securityBits)) return undefined;
  const tooFew = leastBinding(setting, k, assurance.securityBits);
  const enough = fewestSurvivors(setting, k, assurance.correctnessBits);
  return enough <= tooFew ? undefined : Math.max(tooFew + 1, LEAST_THRESHOLD);
}

/** Whether the circle without colluders and dropouts falls apart with a chance below half of 2^-securityBits. */
function staysConnected(setting: GraphSetting, k: number, securityBits: number): boolean {
  const { participants: n, colluders, dropouts } = setting;
  const missing = colluders + dropouts;
  if (k > missing) return true;
  // Two gaps of k / 2 adjacent missing participants each are needed: a union bound over their places.
  const logChance =
    Math.log(n) +
    Math.log(n - k - 1) -
    Math.log(2) +
    logFactorial(missing) +
    logFactorial(n - k) -
    logFactorial(n) -
    logFactorial(missing - k);
  return logChance < -(securityBits + 1) * Math.log(2);
}

/** The largest number of shares that somebody hostile may hold of one participant's secret, but for a chance of 2^-(bits + 1). */
function leastBinding({ participants, colluders, lists }: GraphSetting, k: number, securityBits: number): number {
  const target = 2 ** -(securityBits + 1) / participants;
  const law = neighboursAmong(participants, colluders, k);
  let most = law.from + law.chances.length - 1;
  let tail = 0; // P[more than `most` neighbours collude]
  for (; most > law.from; most--) {
    const chance = law.chances[most - law.from];
    if (tail + chance > target) break;
    tail += chance;
  }
  // Shown different lists, honest neighbours give either kind of share: half of them suffices, beyond those who give both.
  return lists === 'consistent' ? most : Math.ceil((most + k - 1.25) / 2);
}

/** The number of surviving neighbours below which no participant falls, but for a chance of 2^-bits. */
function fewestSurvivors({ participants, dropouts }: GraphSetting, k: number, correctnessBits: number): number {
  const target = 2 ** -correctnessBits / participants;
  const law = neighboursAmong(participants, participants - dropouts, k);
  let fewest = law.from;
  let chance = law.chances[0]; // P[at most `fewest` survive]
  while (chance < target) {
    fewest++;
    chance += law.chances[fewest - law.from];
  }
  return fewest;
}

/** The hypergeometric law of how many of k neighbours, out of n participants, are among `special`: chances from `from` on. */
function neighboursAmong(
  n: number,
  special: number,
  k: number,
): { readonly from: number; readonly chances: Float64Array } {
  const from = Math.max(0, k - (n - special));
  const to = Math.min(k, special);
  const chances = new Float64Array(to - from + 1);
  let log = logChoose(special, from) + logChoose(n - special, k - from) - logChoose(n, k);
  for (let x = from; x <= to; x++) {
    chances[x - from] = Math.exp(log);
    log += Math.log(((special - x) * (k - x)) / ((x + 1) * (n - special - k + x + 1)));
  }
  return { from, chances };
}

function checkSetting({ participants, colluders, dropouts }: GraphSetting): void {
  const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= participants;
  if (!isCount(participants) || !isCount(colluders) || !isCount(dropouts)) {
    throw new ProtocolError(
      'manifest/invalid',
      `${colluders} colluders and ${dropouts} dropouts of ${participants} participants are impossible counts.`,
    );
  }
}
