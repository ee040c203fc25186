/**
 * Frozen factors: matrices with orthonormal rows or columns that follow from public randomness, the same bits on every machine.
 *
 * Source     Singhal et al. 2025, arXiv:2502.15436 (Fed-SB), and 2024, arXiv:2411.19557 (LoRA-SB): R is trained between
 *            orthonormal A and B, so that a step on R is the step of full fine-tuning, projected.
 * Divergence The paper takes A, B and the first R from the singular vectors of a full fine-tuning update, which it computes from
 *            training rows. That update would cost privacy before the first round and is as large as the base model, so here A and B
 *            are random and R starts at zero: the adapter starts as the base model, as LoRA does, in directions that no row chose.
 *            The steps are those of SPEC §12.2.
 * Legend     r = rank, in and out = features of an adapted layer
 */

import { canonicalJson, sha256, toHex, type AdaptedModule, type Manifest, type RandomSource } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';
import type { AdapterTensors, ModuleTensors } from './peft.js';
import { encodeFloats } from './safetensors.js';

/** A row of which less than this share of its length is left beside the rows before it is drawn again. */
const SMALLEST_SHARE = 1e-3;

/**
 * Rows of length 1 at right angles, in directions that are nearly uniform.
 *
 * Shapes     -> [rows, columns] with X X^T = I up to rounding to f32, row-major
 * Source     Gram-Schmidt, each row twice (Giraud et al. 2005: twice is enough), on values of the binomial law of 32 fair bits about
 *            its mean, which is near to a Gaussian's.
 * Guarantee  depends on the bytes of `random` only, and on no logarithm or cosine, which machines round differently: sums, products,
 *            quotients and square roots in f64, in a fixed order, rounded to f32 at the end.
 * Cost       2 rows^2 columns multiplications, twice.
 * @throws RangeError rows > columns: so many rows cannot be at right angles
 */
export function orthonormalRows(rows: number, columns: number, random: RandomSource): Float32Array {
  if (rows > columns) throw new RangeError(`${rows} rows of ${columns} values cannot be at right angles.`);
  const result = new Float32Array(rows * columns);
  const made: Float64Array[] = [];
  while (made.length < rows) {
    const row = drawn(columns, random);
    const before = Math.sqrt(dot(row, row));
    for (let pass = 0; pass < 2; pass++) for (const other of made) subtractAlong(row, other, dot(row, other));
    const length = Math.sqrt(dot(row, row));
    if (!(length > SMALLEST_SHARE * before)) continue;
    for (let i = 0; i < columns; i++) row[i] /= length;
    result.set(row, made.length * columns);
    made.push(row);
  }
  return result;
}

/**
 * The frozen factors of a `fed-sb` adapter with R at zero: by module A [r, in] with orthonormal rows, then B [out, r] with
 * orthonormal columns.
 *
 * @throws RangeError r is more than a module has inputs or outputs
 */
export function frozenFactors(modules: readonly AdaptedModule[], r: number, random: RandomSource): AdapterTensors {
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: orthonormalRows(r, inFeatures, random),
      B: transposed(orthonormalRows(r, outFeatures, random), r, outFeatures),
      R: new Float32Array(r * r),
    })),
  };
}

/** What a program gives for the frozen factors of a run. */
export interface FrozenFactorsParts {
  /** The public keystream of a label: `publicRandom` of `@fedlora/protocol/node`. */
  readonly publicRandom: (label: string) => RandomSource;
  /** Lets the program do something else: awaited after each module. */
  readonly pause: () => Promise<void>;
}

export interface FrozenFactors {
  /** A, B, and R at zero. */
  readonly adapter: AdapterTensors;
  /** Hex SHA-256 over the hashes of A and B (f32, little-endian) of each module in layout order. */
  readonly digest: string;
}

/**
 * The frozen factors of a run: those of its id.
 *
 * Cost       As `orthonormalRows`. For all linear layers of 7B and r = 64 a minute and a quarter of a core, estimated from single layers.
 * @throws RangeError r is more than a module has inputs or outputs
 */
export async function frozenFactorsOfRun(
  runId: string,
  { modules, r }: Pick<Manifest['adapter'], 'modules' | 'r'>,
  { publicRandom, pause }: FrozenFactorsParts,
): Promise<FrozenFactors> {
  const domain = 'fedlora/frozen-factors/v1';
  const random = publicRandom(`${domain}\n${runId}`);
  const hashOf = (values: Float32Array): string => toHex(sha256(encodeFloats(values, 'F32')));
  const made: ModuleTensors[] = [];
  const factors: [string, string][] = [];
  for (const module of modules) {
    const [own] = frozenFactors([module], r, random).modules;
    made.push(own);
    factors.push([hashOf(own.A), hashOf(own.B)]);
    await pause();
  }
  return { adapter: { modules: made }, digest: toHex(sha256(canonicalJson({ domain, factors }))) };
}

/**
 * The same, if they are those that the run's terms name.
 *
 * @throws FedloraError adapter/frozen-mismatch
 */
export async function checkedFrozenFactors(
  { runId, adapter: terms }: Pick<Manifest, 'runId' | 'adapter'>,
  parts: FrozenFactorsParts,
): Promise<AdapterTensors> {
  const { adapter, digest } = await frozenFactorsOfRun(runId, terms, parts);
  if (digest !== terms.frozenDigest) throw new FedloraError('adapter/frozen-mismatch');
  return adapter;
}

/** Ones among 32 random bits, less 16: mean 0, variance 8. */
function drawn(count: number, random: RandomSource): Float64Array {
  const bytes = random(4 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: count }, (_, i) => onesOf(view.getUint32(4 * i, true)) - 16);
}

function onesOf(word: number): number {
  let pairs = word - ((word >>> 1) & 0x55555555);
  pairs = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((pairs + (pairs >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** target -= share * values */
function subtractAlong(target: Float64Array, values: Float64Array, share: number): void {
  for (let i = 0; i < target.length; i++) target[i] -= share * values[i];
}

/** [rows, columns] -> [columns, rows] */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column];
  return result;
}
