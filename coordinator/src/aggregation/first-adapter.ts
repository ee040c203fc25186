/** The adapter that a run starts from. B or R is zero, so the base model is unchanged; the rest comes from a public seed, so anyone can check it. */

import type { Manifest, RandomSource } from '@fedlora/protocol';
import { setImmediate as pause } from 'node:timers/promises';
import { publicRandom } from '@fedlora/protocol/node';
import { checkedFrozenFactors, orthonormalRows, type AdapterTensors } from '@fedlora/shared';

/**
 * Version 0 of a run.
 *
 * Shapes     A [r, in], B [out, r] for each module, and R [r, r] for `fed-sb`
 * Guarantee  depends on the manifest only. `ffa-svd`: the rows of each A are orthonormal. `alternate` and `fedavg`: A uniform
 *            within 1/sqrt(in), which is the Kaiming initialisation that PEFT uses. `fed-sb`: the frozen factors of the run's id.
 * @throws FedloraError adapter/frozen-mismatch
 * @throws RangeError r is more than a module has inputs, or outputs where B is frozen; `planRun` refuses such runs
 */
export async function firstAdapter(manifest: Manifest): Promise<AdapterTensors> {
  const { rule, r, modules } = manifest.adapter;
  if (rule === 'fed-sb') return checkedFrozenFactors(manifest, { publicRandom, pause });
  const random = publicRandom(`fedlora/first-adapter/v1\n${manifest.runId}`);
  const makeA = rule === 'ffa-svd' ? orthonormalRows : kaimingUniform;
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: makeA(r, inFeatures, random),
      B: new Float32Array(outFeatures * r),
    })),
  };
}

function kaimingUniform(rows: number, columns: number, random: RandomSource): Float32Array {
  const bound = 1 / Math.sqrt(columns);
  const bytes = Buffer.from(random(8 * rows * columns));
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    const uniform = Number(bytes.readBigUInt64LE(8 * i) >> 11n) / 2 ** 53; // [0, 1) with 53 bits
    return (2 * uniform - 1) * bound;
  });
}
