/**
 * Rows that are the same, or nearly: a record that stands in the data twice is learned twice, and the privacy of one row is not that
 * of its owner any more.
 *
 * Source     MinHash: Broder 1997, "On the resemblance and containment of documents"; banding: Leskovec, Rajaraman, Ullman,
 *            "Mining of Massive Datasets", 3.4
 * Method     A row is the set of its shingles of SHINGLE words. For each of HASHES hash functions the least hash of a shingle is kept;
 *            two rows agree in one with a probability that is their Jaccard similarity J. Rows that agree in all of some band are
 *            compared: those with J = 0.9 are with a probability of 1 - (1 - 0.9^8)^16 > 0.9998, those with 0.5 with 6 %.
 */

import { createHash } from 'node:crypto';

/** Words of a shingle. */
const SHINGLE = 3;
export const HASHES = 128;
const BANDS = 16;
const ROWS_PER_BAND = HASHES / BANDS;
/** Rows this similar count as nearly the same. The estimate has a standard deviation of sqrt(J (1 - J) / HASHES) < 0.036 there. */
const THRESHOLD = 0.8;
/** Shingles of a row that are looked at: the beginning of a book tells it from others. */
const MOST_SHINGLES = 2000;

export interface Duplicates {
  /** Rows that are the same, letter for letter up to case and space, as one before them. */
  readonly exact: number;
  /** Others that are nearly the same as one before them. */
  readonly near: number;
  /** Pairs of row numbers, from 0, the earlier first: as many as were asked for. */
  readonly examples: readonly (readonly [number, number])[];
}

/** Counts rows that repeat an earlier one. `texts`: one text a row. Cost: about 10 microseconds a shingle, 512 bytes a row. */
export function findDuplicates(texts: readonly string[], mostExamples: number): Duplicates {
  const seen = new Map<string, number>();
  const buckets = Array.from({ length: BANDS }, () => new Map<string, number[]>());
  const signatures = new Map<number, Uint32Array>();
  const examples: [number, number][] = [];
  let exact = 0;
  let near = 0;
  texts.forEach((text, row) => {
    const words = wordsOf(text);
    const digest = createHash('sha256').update(words.join(' ')).digest('base64');
    const first = seen.get(digest);
    if (first !== undefined) {
      exact++;
      if (examples.length < mostExamples) examples.push([first, row]);
      return;
    }
    seen.set(digest, row);
    const signature = minHash(shinglesOf(words));
    const bands = Array.from({ length: BANDS }, (_, band) =>
      signature.subarray(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND).join(),
    );
    const candidates = new Set(bands.flatMap((key, band) => buckets[band].get(key) ?? []));
    const twin = [...candidates].find((other) => similarity(signature, signatures.get(other)!) >= THRESHOLD);
    if (twin !== undefined) {
      near++;
      if (examples.length < mostExamples) examples.push([twin, row]);
      return; // Its like are found by the first of them.
    }
    signatures.set(row, signature);
    bands.forEach((key, band) => {
      const bucket = buckets[band].get(key);
      if (bucket === undefined) buckets[band].set(key, [row]);
      else bucket.push(row);
    });
  });
  return { exact, near, examples };
}

/** [HASHES] u32: the least value of each hash function over the shingles. Of no shingles: all ones. */
export function minHash(shingles: readonly string[]): Uint32Array {
  const least = new Uint32Array(HASHES).fill(0xffffffff);
  for (const shingle of shingles) {
    const base = fnv1a(shingle);
    for (let i = 0; i < HASHES; i++) {
      const value = mix(base ^ Math.imul(i + 1, 0x9e3779b1));
      if (value < least[i]) least[i] = value;
    }
  }
  return least;
}

/** Share of hash functions in which two signatures agree: an unbiased estimate of the Jaccard similarity. */
export function similarity(a: Uint32Array, b: Uint32Array): number {
  let equal = 0;
  for (let i = 0; i < HASHES; i++) if (a[i] === b[i]) equal++;
  return equal / HASHES;
}

function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** Short rows are one shingle. */
function shinglesOf(words: readonly string[]): readonly string[] {
  if (words.length <= SHINGLE) return [words.join(' ')];
  const count = Math.min(words.length - SHINGLE + 1, MOST_SHINGLES);
  return Array.from({ length: count }, (_, i) => words.slice(i, i + SHINGLE).join(' '));
}

/** 32-bit FNV-1a of the UTF-16 units. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The finalizer of MurmurHash3: every bit of the input changes half of the bits of the output. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
