/**
 * Shamir's secret sharing of 32-byte secrets over a prime field just above 2^256. Knows nothing of rounds.
 *
 * Source     Shamir 1979, "How to share a secret"; SPEC §5.1.
 * Guarantee  t shares determine the secret; any t - 1 shares have the same distribution whatever the secret is, exactly, because
 *            coefficients are drawn uniformly from the field by rejection.
 * Divergence The field is a little larger than the secrets, so a set of wrong shares may combine to an element that is no secret;
 *            `combine` refuses that. Shares are not authenticated here: `secagg` commits to each.
 * Secrets    bigint arithmetic is not constant-time (SECURITY.md).
 */

import { fromHex, toHex } from '../bytes/hex.js';
import { ProtocolError } from '../errors.js';
import type { RandomSource } from '../random.js';

/** 2^256 + 297: the smallest prime over 2^256. */
export const FIELD_PRIME: bigint = 2n ** 256n + 297n;

/** Bytes of a secret: any 32 bytes, read as a big-endian integer, are a field element. */
export const SECRET_SHARED_BYTES = 32;

/** Bytes of a share: a field element, big-endian. The first byte is 0 or 1. */
export const SHARE_BYTES = 33;

const PRIME_BYTES = fromElement(FIELD_PRIME, SHARE_BYTES);

/** One share and the point at which the polynomial takes it. */
export interface Share {
  /** Not zero: in `secagg`, participant index + 1. */
  readonly x: number;
  /** 33 bytes, canonical. */
  readonly bytes: Uint8Array;
}

/** Lagrange coefficients at zero for a set of points: computed once, used for every secret shared among the same holders. */
export interface Interpolation {
  readonly xs: readonly number[];
  readonly coefficients: readonly bigint[];
}

/**
 * Splits a secret into one share for each point of `xs`, any `threshold` of which recover it.
 *
 * Shapes     secret [32] u8 -> xs.length shares of [33] u8
 * Secrets    the coefficients are forgotten; the caller wipes secret and shares.
 * @throws ProtocolError sharing/invalid: a threshold outside 1..n, a point that is zero, repeated or not a whole number, a secret
 *         of another length
 */
export function split(
  secret: Uint8Array,
  terms: { readonly threshold: number; readonly xs: readonly number[] },
  random: RandomSource,
): readonly Share[] {
  const { threshold, xs } = terms;
  if (secret.length !== SECRET_SHARED_BYTES)
    throw invalid(`A secret has ${SECRET_SHARED_BYTES} bytes, not ${secret.length}.`);
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > xs.length) {
    throw invalid(`A threshold of ${threshold} is impossible for ${xs.length} shares.`);
  }
  checkPoints(xs);
  // f(X) = secret + a_1 X + ... + a_{t-1} X^{t-1}
  const coefficients = [toElement(secret), ...Array.from({ length: threshold - 1 }, () => uniformElement(random))];
  return xs.map((x) => ({ x, bytes: fromElement(evaluate(coefficients, BigInt(x)), SHARE_BYTES) }));
}

/**
 * The secret behind at least `threshold` shares, from the first `threshold` of them.
 *
 * @throws ProtocolError secagg/too-few-shares: fewer shares than the threshold
 * @throws ProtocolError sharing/invalid: a repeated point, or a share that is not canonical
 * @throws ProtocolError secagg/wrong-share: the shares combine to no secret, so one is wrong
 */
export function combine(shares: readonly Share[], threshold: number): Uint8Array {
  if (shares.length < threshold) throw new ProtocolError('secagg/too-few-shares');
  const used = shares.slice(0, threshold);
  return combineWith(
    interpolationAtZero(used.map((share) => share.x)),
    used.map((share) => share.bytes),
  );
}

/**
 * The Lagrange coefficients with which values at `xs` give the value at zero: `l_i = prod_{j != i} x_j / (x_j - x_i)`.
 *
 * `prime` is another field's only in tests against other people's vectors.
 * @throws ProtocolError sharing/invalid: a point that is zero, repeated or out of range
 */
export function interpolationAtZero(xs: readonly number[], prime: bigint = FIELD_PRIME): Interpolation {
  checkPoints(xs);
  const coefficients = xs.map((x) => {
    let numerator = 1n;
    let denominator = 1n;
    for (const other of xs) {
      if (other === x) continue;
      numerator = (numerator * BigInt(other)) % prime;
      denominator = modulo(denominator * BigInt(other - x), prime);
    }
    return (numerator * inverse(denominator, prime)) % prime;
  });
  return { xs, coefficients };
}

/** Like `combine`, with coefficients computed before. `shares[i]` belongs to `interpolation.xs[i]`. */
export function combineWith(interpolation: Interpolation, shares: readonly Uint8Array[]): Uint8Array {
  if (shares.length !== interpolation.xs.length) throw invalid('There is not one share for each point.');
  const secret = interpolate(interpolation, shares.map(decodeShare));
  if (secret >= 2n ** BigInt(8 * SECRET_SHARED_BYTES)) {
    throw new ProtocolError('secagg/wrong-share', 'The shares combine to no secret: at least one is wrong.');
  }
  return fromElement(secret, SECRET_SHARED_BYTES);
}

/** The value at zero of the polynomial with these values at the interpolation's points. */
export function interpolate(
  interpolation: Interpolation,
  values: readonly bigint[],
  prime: bigint = FIELD_PRIME,
): bigint {
  let sum = 0n;
  interpolation.coefficients.forEach((coefficient, i) => {
    // callers give one value for each point.
    sum += coefficient * values[i];
  });
  return sum % prime;
}

/** Whether bytes are a share's one encoding: 33 bytes that stand for less than the prime. */
export function isCanonicalShare(bytes: Uint8Array): boolean {
  if (bytes.length !== SHARE_BYTES) return false;
  for (let i = 0; i < SHARE_BYTES; i++) if (bytes[i] !== PRIME_BYTES[i]) return bytes[i] < PRIME_BYTES[i];
  return false; // the prime itself
}

function decodeShare(bytes: Uint8Array): bigint {
  if (!isCanonicalShare(bytes)) throw invalid('A share is not a field element in canonical form.');
  return toElement(bytes);
}

function checkPoints(xs: readonly number[]): void {
  for (const x of xs) {
    if (!Number.isInteger(x) || x < 1 || x > 0xffff) throw invalid(`${x} cannot be the point of a share.`);
  }
  if (new Set(xs).size !== xs.length) throw invalid('Two shares have the same point.');
}

/** Horner's rule. The intermediate value is reduced at each step; x is small. */
function evaluate(coefficients: readonly bigint[], x: bigint): bigint {
  let value = 0n;
  for (let i = coefficients.length - 1; i >= 0; i--) {
    // i is in range.
    value = (value * x + coefficients[i]) % FIELD_PRIME;
  }
  return value;
}

/** Uniform over the field: 257 random bits, again until they are below the prime (about two tries). */
function uniformElement(random: RandomSource): bigint {
  for (;;) {
    const bytes = random(SHARE_BYTES);
    bytes[0] = bytes[0] & 1;
    const element = toElement(bytes);
    bytes.fill(0);
    if (element < FIELD_PRIME) return element;
  }
}

/** The inverse of `a` modulo `prime`, by the extended Euclidean algorithm. `a` is not zero. */
function inverse(a: bigint, prime: bigint): bigint {
  let [r, next] = [prime, a];
  let [s, nextS] = [0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next] = [next, r - quotient * next];
    [s, nextS] = [nextS, s - quotient * nextS];
  }
  return modulo(s, prime);
}

function modulo(a: bigint, prime: bigint): bigint {
  const remainder = a % prime;
  return remainder < 0n ? remainder + prime : remainder;
}

function toElement(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes)}`);
}

function fromElement(element: bigint, length: number): Uint8Array {
  return fromHex(element.toString(16).padStart(2 * length, '0'));
}

function invalid(message: string): ProtocolError {
  return new ProtocolError('sharing/invalid', message);
}
