/**
 * The noise: an exact discrete Gaussian, fast enough for every value of every round.
 *
 * Law        P[x] proportional to exp(-x^2 / (2 sigma^2)) on the whole numbers, sigma the exact value of the given f64.
 *
 * Method     Rejection from a step function above the half bell. The non-negative numbers are cut into J blocks of L numbers, L a
 *            power of two, and one tail. Block j has the whole-number weight H_j >= S exp(-(jL)^2 / (2 sigma^2)); S is the largest
 *            whole number for which all weights together are at most 2^31.
 *            1. Draw a block with probability proportional to its weight: an alias table with whole-number thresholds, exact. Its
 *               slots, and the numbers below a slot's weight, are powers of two: bits of one word choose both.
 *            2. Draw a place in the block (m random bits, L = 2^m) and a sign; reject -0, so that 0 is not counted twice.
 *            3. Accept x with probability a(x) = S exp(-x^2 / (2 sigma^2)) / H_j <= 1.
 *            A value then comes out at a rate of H_j / L * a(x) = S / L * exp(-x^2 / (2 sigma^2)): the law, whatever the H_j are.
 *            Step 3 compares a uniform U with a(x). U's first 32 bits are compared with a table (the squeeze, 98 % of the draws),
 *            then with a(x) in f64; each time only if the gap is over FLOAT_MARGIN, about 2^5 times the worst rounding error.
 *            Else (about 2^-32 of the draws) U gets more bits and a(x) is computed in rationals: `isBelowExp`.
 *            The tail, beyond 9.5 sigma (2^-31 of the draws, nearly all rejected), is cut into steps of at least sigma with
 *            weights 1/2, 1/4, ...; it always goes the exact way.
 *
 * Exactness  rests on: the random source; whole-number arithmetic below 2^53; Math.exp with a relative error below 2^-44, which
 *            building a sampler checks at each block's start against rationals. It does not rest on Math.exp being right to
 *            the last bit, nor on any truncation: every whole number has its exact probability.
 *
 * Timing     How many draws are rejected is independent of the values that are accepted, as each starts afresh; which comparison
 *            accepts is not quite. So the time of a whole vector carries a trace of all its values together, and nobody but this
 *            process can time less than a vector.
 *
 * Source     SPEC §17; law: Canonne, Kamath, Steinke 2020, arXiv:2004.00010; shares of the noise: Kairouz, Liu, Steinke 2021, arXiv:2102.06387
 */

import { ProtocolError } from '../errors.js';
import type { RandomSource } from '../random.js';
import type { NoisedUpdate, PrivateStep, QuantizedUpdate } from '../update/stages.js';
import { expInterval, exactRational, isBelowExp, type Rational, uniformBits } from './exact.js';

/** The range of standard deviations the tables are made for. The ring of 2^32 has no use for more. */
const LEAST_STDDEV = 2 ** -4;
const LARGEST_STDDEV = 2 ** 30;

/** Relative. exp(-t) for t <= 9.5^2 / 2 + 1 is off by 4 roundings of t (47 * 4 u) and Math.exp's own: below 2^-45 in V8. */
const FLOAT_MARGIN = 2 ** -40;
/** What a sampler demands of Math.exp when it is built. */
const EXP_TOLERANCE = 2 ** -44;

/** One for slot, pick and sign; one for the place; one for U. */
const WORDS_PER_DRAW = 3;
/** Bits of the first word that choose a block; the last one is the sign. */
const CHOICE_BITS = 31;
const CHUNK_BYTES = 65_536;

/** The inner precision of the sampler. No choice changes the law; tests choose values that make the rare paths common. */
export interface SamplerInternals {
  /** log2 of a slot's weight in the alias table: how fine the weights are. As many as the first word has room for. */
  readonly pickBits?: number;
  /** How many bits of U the fast comparisons see; 1 to 32. */
  readonly acceptBits?: number;
  /** Blocks per sigma, at least 1, rounded to a power of two of numbers per block. */
  readonly blocksPerSigma?: number;
  /** Where the tail begins, in sigma, at least 1/2 and at most 9.5. */
  readonly tailStartInSigmas?: number;
  /** Told whenever a rare path is taken. */
  readonly onRarePath?: (path: 'tail' | 'undecided') => void;
}

export interface DiscreteGaussianSampler {
  readonly stddevInSteps: number;
  /** Adds an independent sample to each value of `target`, mod 2^32 (sums in the ring are mod 2^32 anyway). */
  addTo(target: Int32Array, random: RandomSource): void;
}

/**
 * A sampler of the discrete Gaussian with the standard deviation parameter `stddevInSteps`.
 *
 * Units      stddevInSteps: sigma of the law, in integer steps; for sigma >= 1 the true deviation is within 1.1e-7 of it
 * Guarantee  samples are independent and follow the law exactly (module comment)
 * Edge cases sigma outside [2^-4, 2^30] or not finite -> privacy/invalid-parameter
 * Cost       some milliseconds and at most 60 KiB for the tables; 12 random bytes a draw, about 1.02 draws a sample
 * Secrets    randomness is zeroed after use; samples are in the sums in `target` only
 */
export function discreteGaussianSampler(
  stddevInSteps: number,
  internals: SamplerInternals = {},
): DiscreteGaussianSampler {
  const table = buildTable(stddevInSteps, internals);
  return { stddevInSteps, addTo: (target, random) => addSamples(table, target, random) };
}

interface Table {
  /** exp's argument is x^2 times this rational, 1 / (2 sigma^2), exactly. */
  readonly inverseTwiceVariance: Rational;
  readonly inverseTwiceVarianceFloat: number;
  /** S */
  readonly hat: number;
  readonly acceptBits: number;
  /** m: a block has 2^m numbers. */
  readonly blockBits: number;
  /** J; index J is the tail, what follows rejects. */
  readonly blocks: number;
  /** log2 of a tail step over a block. */
  readonly tailStepBits: number;
  readonly weights: Float64Array;
  /** Alias table: slot k gives k when the pick, of pickBits bits, is below threshold[k], else k + toAlias[k]. */
  readonly slotBits: number;
  readonly pickBits: number;
  readonly threshold: Int32Array;
  readonly toAlias: Int32Array;
  /** Accept at once when U's known bits, as a whole number, are below this. */
  readonly squeeze: Uint32Array;
  /** S / H_j * 2^acceptBits: brings exp to the scale of U's known bits. */
  readonly acceptScale: Float64Array;
  readonly onRarePath: (path: 'tail' | 'undecided') => void;
}

function buildTable(sigma: number, internals: SamplerInternals): Table {
  const { acceptBits = 32, blocksPerSigma = 64, tailStartInSigmas = 9.5, onRarePath = () => undefined } = internals;
  const allowed =
    sigma >= LEAST_STDDEV &&
    sigma <= LARGEST_STDDEV &&
    Number.isInteger(acceptBits) &&
    acceptBits >= 1 &&
    acceptBits <= 32 &&
    blocksPerSigma >= 1 &&
    blocksPerSigma <= 1024 &&
    tailStartInSigmas >= 0.5 &&
    tailStartInSigmas <= 9.5;
  if (!allowed) throw noSampler(sigma);
  const { numerator, denominator } = exactRational(sigma);
  const inverseTwiceVariance = { numerator: denominator * denominator, denominator: 2n * numerator * numerator };
  const inverseTwiceVarianceFloat = 1 / (2 * sigma * sigma);

  const blockBits = Math.max(0, Math.floor(Math.log2(sigma / blocksPerSigma)));
  const L = 2 ** blockBits;
  const blocks = Math.ceil((tailStartInSigmas * sigma) / L);
  const tailStepBits = Math.max(0, Math.ceil(Math.log2(sigma / L)));

  // exp at the start of each block, and what the tail takes (see sampleTail): the weights are these times S, rounded up.
  const shape = new Float64Array(blocks + 1);
  for (let j = 0; j <= blocks; j++) {
    const start = j * L;
    shape[j] = Math.exp(-(start * start) * inverseTwiceVarianceFloat);
    if (j < blocks) checkExp(shape[j], start, inverseTwiceVariance);
  }
  shape[blocks] *= 2 ** (tailStepBits + 1);

  // One slot for each weight and one for what fills the table up.
  let slotBits = 0;
  while (2 ** slotBits < blocks + 2) slotBits++;
  const pickBits = internals.pickBits ?? CHOICE_BITS - slotBits;
  const S = largestHat(shape, 2 ** (slotBits + pickBits));
  if (!(Number.isInteger(pickBits) && pickBits >= 0 && slotBits + pickBits <= CHOICE_BITS && S >= 1)) {
    throw noSampler(sigma);
  }

  const weights = new Float64Array(blocks + 1);
  const squeeze = new Uint32Array(blocks);
  const acceptScale = new Float64Array(blocks);
  for (let j = 0; j < blocks; j++) {
    // Rounded up: a weight may be too large, never too small.
    weights[j] = Math.min(S, Math.ceil(shape[j] * S * (1 + FLOAT_MARGIN)));
    acceptScale[j] = (S / weights[j]) * 2 ** acceptBits;
    // Rounded down: the least that any x of the block is accepted with. U < (u + 1) 2^-b <= squeeze 2^-b <= a(x).
    const end = (j + 1) * L - 1;
    squeeze[j] = Math.floor(Math.exp(-(end * end) * inverseTwiceVarianceFloat) * acceptScale[j] * (1 - FLOAT_MARGIN));
  }
  // The tail's weight makes its acceptance at most 1 at its start (see sampleTail), so everywhere.
  weights[blocks] = Math.max(1, Math.ceil(shape[blocks] * S * (1 + FLOAT_MARGIN)));

  return {
    inverseTwiceVariance,
    inverseTwiceVarianceFloat,
    hat: S,
    acceptBits,
    blockBits,
    blocks,
    tailStepBits,
    weights,
    ...aliasTable(weights, slotBits, pickBits),
    squeeze,
    acceptScale,
    onRarePath,
  };
}

function noSampler(sigma: number): ProtocolError {
  return new ProtocolError('privacy/invalid-parameter', `No noise sampler for a standard deviation of ${sigma} steps.`);
}

/**
 * The largest S for which weights S shape[j] (1 + FLOAT_MARGIN), each rounded up, add to at most `capacity`: rounding adds less
 * than 1 to each. 2^-30 covers that margin and the rounding of this sum. Below 1 if the table is too coarse for any.
 */
function largestHat(shape: Float64Array, capacity: number): number {
  let sum = 0;
  for (const part of shape) sum += part;
  return Math.floor((capacity - shape.length) / (sum * (1 + 2 ** -30)));
}

/** Refuses a platform whose Math.exp is worse than the margins allow. */
function checkExp(float: number, x: number, inverseTwiceVariance: Rational): void {
  const bits = 160;
  const { low, high } = expInterval(scaled(inverseTwiceVariance, BigInt(x)), bits);
  const unit = 2 ** -bits;
  if (float >= Number(low) * unit * (1 - EXP_TOLERANCE) && float <= Number(high) * unit * (1 + EXP_TOLERANCE)) return;
  throw new ProtocolError(
    'privacy/invalid-parameter',
    'Math.exp of this platform is not precise enough for the noise.',
  );
}

/** x^2 times a rational. */
function scaled(rational: Rational, x: bigint): Rational {
  return { numerator: rational.numerator * x * x, denominator: rational.denominator };
}

/**
 * Alias table (Walker 1977, Vose 1991) in whole numbers: 2^slotBits slots of the weight 2^pickBits each; the weights are filled up
 * with one more entry, after the last, which rejects.
 *
 * Guarantee  entry i is drawn with probability weights[i] / 2^(slotBits + pickBits), exactly: all numbers are whole and at most 2^31.
 */
function aliasTable(
  weights: Float64Array,
  slotBits: number,
  pickBits: number,
): Pick<Table, 'slotBits' | 'pickBits' | 'threshold' | 'toAlias'> {
  const slots = 2 ** slotBits;
  const slotWeight = 2 ** pickBits;
  let sum = 0;
  for (const weight of weights) sum += weight;
  const left = new Float64Array(slots);
  left.set(weights);
  left[weights.length] = slotWeight * slots - sum; // not negative: see largestHat

  const threshold = new Int32Array(slots);
  const toAlias = new Int32Array(slots);
  const light: number[] = [];
  const heavy: number[] = [];
  for (let k = 0; k < slots; k++) (left[k] < slotWeight ? light : heavy).push(k);
  while (light.length > 0) {
    const k = light.pop() as number; // Safe: not empty.
    const giver = heavy[heavy.length - 1]; // There is one: the weights left sum to slotWeight times the slots left.
    threshold[k] = left[k];
    toAlias[k] = giver - k;
    left[giver] -= slotWeight - left[k];
    if (left[giver] < slotWeight) {
      heavy.pop();
      light.push(giver);
    }
  }
  for (const k of heavy) threshold[k] = slotWeight;
  return { slotBits, pickBits, threshold, toAlias };
}

function addSamples(table: Table, target: Int32Array, random: RandomSource): void {
  const { blockBits, blocks, slotBits, threshold, toAlias, squeeze, acceptScale } = table;
  const { inverseTwiceVarianceFloat: inverse, onRarePath } = table;
  const blockLength = 2 ** blockBits;
  const placeMask = blockLength - 1;
  const slotMask = 2 ** slotBits - 1;
  const pickMask = 2 ** table.pickBits - 1;
  const dropBits = 32 - table.acceptBits;
  const n = target.length;

  for (let i = 0; i < n;) {
    // As much as the rest is likely to take, in whole chunks for long vectors.
    const wanted = Math.ceil((n - i) * 1.05 + 16) * WORDS_PER_DRAW * 4;
    const words = toWords(random(Math.min(CHUNK_BYTES, wanted)));
    const end = words.length - WORDS_PER_DRAW;
    for (let w = 0; w <= end && i < n; w += WORDS_PER_DRAW) {
      // Half of all picks take the alias and half of all samples are negative, at random: no branch depends on either.
      const head = words[w];
      const slot = head & slotMask;
      const pick = (head >>> slotBits) & pickMask;
      const j = slot + (toAlias[slot] & ((threshold[slot] - 1 - pick) >> 31)); // the shift gives -1 from the threshold on, else 0
      const sign = head >> 31; // -1 or 0
      if (j >= blocks) {
        if (j > blocks) continue; // what fills the table up
        onRarePath('tail');
        const x = sampleTail(table, random);
        if (x !== undefined) target[i++] += Number(BigInt.asIntN(32, sign < 0 ? -x : x));
        continue;
      }
      const place = words[w + 1] & placeMask;
      if ((j | place) === 0 && sign < 0) continue; // -0
      const u = words[w + 2] >>> dropBits;
      if (u >= squeeze[j]) {
        // U = (u + fraction) 2^-acceptBits against a(x): surely over, surely under, or unknown.
        const x = j * blockLength + place;
        const acceptance = Math.exp(-(x * x) * inverse) * acceptScale[j];
        if (u >= acceptance * (1 + FLOAT_MARGIN)) continue;
        if (u + 1 > acceptance * (1 - FLOAT_MARGIN)) {
          onRarePath('undecided');
          if (!acceptsExactly(table, j, x, u, random)) continue;
        }
      }
      const x = (j << blockBits) + place; // mod 2^32
      target[i++] += (x ^ sign) - sign; // -x for -1: reduced mod 2^32 by the array
    }
    words.fill(0);
  }
}

/** Step 3 without floats: U begins with u and goes on as long as it takes. */
function acceptsExactly(table: Table, j: number, x: number, u: number, random: RandomSource): boolean {
  const factor = { numerator: BigInt(table.hat), denominator: BigInt(table.weights[j]) };
  return isBelowExp(BigInt(u), table.acceptBits, factor, scaled(table.inverseTwiceVariance, BigInt(x)), random);
}

/**
 * A number of the tail, or nothing when it is rejected.
 *
 * The tail is cut into steps of L' = 2^tailStepBits L >= sigma numbers. Step g = 0, 1, ... is drawn with probability 2^-(g+1), a
 * place in it uniformly. For the rate S / L exp(-x^2 / (2 sigma^2)) of all other numbers, with the tail's weight H_J:
 *   H_J 2^-(g+1) / L' * a(x) = S / L exp(..)   so   a(x) = S 2^(tailStepBits + g + 1) exp(-x^2 / (2 sigma^2)) / H_J.
 * a <= 1 at the tail's start by the choice of H_J; from step to step exp falls by at least exp(-x L'/sigma^2 - L'^2/(2 sigma^2))
 * <= exp(-1/2 - 1/2) < 1/2 for x >= sigma / 2, and the power doubles: so a <= 1 everywhere.
 */
function sampleTail(table: Table, random: RandomSource): bigint | undefined {
  let step = 0;
  while ((random(1)[0] & 1) === 0) step++;
  const stepBits = table.blockBits + table.tailStepBits;
  const place = uniformBits(40, random) & ((1n << BigInt(stepBits)) - 1n);
  const x = (BigInt(table.blocks) << BigInt(table.blockBits)) + (BigInt(step) << BigInt(stepBits)) + place;
  const factor = {
    numerator: BigInt(table.hat) << BigInt(table.tailStepBits + step + 1),
    denominator: BigInt(table.weights[table.blocks]),
  };
  return isBelowExp(0n, 0, factor, scaled(table.inverseTwiceVariance, x), random) ? x : undefined;
}

/** Random bytes as words, in the platform's order: uniform words are uniform in any order. Copied when they are not aligned. */
function toWords(bytes: Uint8Array): Int32Array {
  const count = bytes.byteLength >>> 2;
  if ((bytes.byteOffset & 3) === 0) return new Int32Array(bytes.buffer, bytes.byteOffset, count);
  const words = new Int32Array(new Uint8Array(bytes.subarray(0, count * 4)).buffer);
  bytes.fill(0);
  return words;
}

/**
 * Adds this participant's share of the noise to its rounded update.
 *
 * Shapes     levels [P] i32 -> levels [P] i32
 * Units      stddevInSteps: sigma of this share, as `noiseShareStddev` gives it; or a sampler of it, whose tables are made once
 * Guarantee  every value gets an independent exact discrete Gaussian; the addition is mod 2^32, like the sum it goes into
 * Edge cases stddev 0 -> privacy/invalid-parameter: without noise is a decision with a name of its own, `withoutNoise`
 * Secrets    the noise alone exists in the result only: a copy of it would undo it
 * @throws ProtocolError privacy/invalid-parameter: stddev outside [2^-4, 2^30]
 */
export function addDiscreteGaussian(
  quantized: QuantizedUpdate,
  stddevInSteps: number | DiscreteGaussianSampler,
  random: RandomSource,
): NoisedUpdate {
  const sampler = typeof stddevInSteps === 'number' ? discreteGaussianSampler(stddevInSteps) : stddevInSteps;
  const levels = quantized.levels.slice();
  sampler.addTo(levels, random);
  // Safe: this is the step that makes a noised update.
  return { levels } as NoisedUpdate;
}

/**
 * Adds all the noise that a rounded sum needs to be private by itself, whoever else adds none or tells theirs.
 *
 * Shapes     levels [P] i32 -> levels [P] i32
 * Units      noiseMultiplier z = sigma / sensitivity, no unit; the sampler's sigma in steps
 * Guarantee  every value gets an independent exact discrete Gaussian of sigma >= z D2, D2 being the sensitivity after rounding
 *            that the sum itself carries
 * Edge cases a sampler that is narrower, by however little -> privacy/invalid-parameter | z not over 0 -> the same
 * Secrets    as `addDiscreteGaussian`
 */
export function addWholeNoise(
  quantized: QuantizedUpdate,
  noiseMultiplier: number,
  sampler: DiscreteGaussianSampler,
  random: RandomSource,
): PrivateStep {
  const needed = noiseMultiplier * quantized.l2SensitivityInSteps;
  if (!(noiseMultiplier > 0 && sampler.stddevInSteps >= needed)) {
    throw new ProtocolError(
      'privacy/invalid-parameter',
      'The noise is narrower than the sum needs to be private alone.',
    );
  }
  const levels = quantized.levels.slice();
  sampler.addTo(levels, random);
  // Safe: this is the step that makes a sum private by itself.
  return { levels } as PrivateStep;
}

/**
 * Passes a rounded update on without noise: for the protected unit `none` only, which promises no differential privacy.
 * A function of its own, so that a standard deviation that came out as 0 by mistake is an error instead.
 */
export function withoutNoise(quantized: QuantizedUpdate): NoisedUpdate {
  // Safe: the manifest's unit `none` says in so many words that there is no noise.
  return { levels: quantized.levels.slice() } as NoisedUpdate;
}

/** The public terms from which a share of the noise follows. */
export interface NoiseShareTerms {
  /** sigma / sensitivity, of the noise in the sum; no unit. */
  readonly noiseMultiplier: number;
  /** D2, with what rounding adds. */
  readonly l2SensitivityInSteps: number;
  /** m: a sum of fewer is never uncovered. */
  readonly minimumContributors: number;
  /** c: how many of them may tell the coordinator their noise. */
  readonly assumedColluders: number;
}

/**
 * Standard deviation of one participant's share: the variance sigma^2 = (z D2)^2, split over the m - c shares that are sure to be
 * in a sum and unknown to the adversary. `sigma_i = z D2 / sqrt(m - c)`.
 *
 * Units      in integer steps
 * @throws ProtocolError privacy/invalid-parameter: unless z > 0, D2 > 0 and 0 <= c < m
 */
export function noiseShareStddev(terms: NoiseShareTerms): number {
  const { noiseMultiplier, l2SensitivityInSteps, minimumContributors, assumedColluders } = terms;
  const allowed =
    noiseMultiplier > 0 &&
    noiseMultiplier < Infinity &&
    l2SensitivityInSteps > 0 &&
    l2SensitivityInSteps < Infinity &&
    Number.isInteger(minimumContributors) &&
    Number.isInteger(assumedColluders) &&
    assumedColluders >= 0 &&
    minimumContributors > assumedColluders;
  if (!allowed) {
    throw new ProtocolError(
      'privacy/invalid-parameter',
      'The terms of a noise share need z > 0, D2 > 0 and 0 <= c < m.',
    );
  }
  return (noiseMultiplier * l2SensitivityInSteps) / Math.sqrt(minimumContributors - assumedColluders);
}

/**
 * How far a sum of `shares` discrete Gaussians is from one discrete Gaussian of the summed variance: a bound on the max-divergence
 * of one value, both ways. The accountant treats the sum as one Gaussian; with shares of 4 steps this is below 1e-67 per value.
 *
 * Units      stddevInSteps of one share
 * Source     Kairouz, Liu, Steinke 2021, arXiv:2102.06387, theorem 1: tau = 10 sum_{k=1}^{n-1} exp(-2 pi^2 sigma^2 k / (k + 1))
 */
export function distributedGaussianTau(stddevInSteps: number, shares: number): number {
  if (!(stddevInSteps > 0) || !Number.isInteger(shares) || shares < 1) {
    throw new ProtocolError(
      'privacy/invalid-parameter',
      'tau needs a positive standard deviation and at least one share.',
    );
  }
  let sum = 0;
  for (let k = 1; k < shares; k++) sum += Math.exp((-2 * Math.PI ** 2 * stddevInSteps ** 2 * k) / (k + 1));
  return 10 * sum;
}
