/** The adapter that a run starts from. B is zero, so the base model is unchanged; A comes from a public seed, so anyone can check it. */

import { createCipheriv, createHash } from 'node:crypto';
import type { Manifest } from '@fedlora/protocol';
import { FedloraError, type AdapterTensors } from '@fedlora/shared';

/**
 * Version 0 of a run.
 *
 * Shapes     A [r, in], B [out, r] for each module
 * Guarantee  depends on the manifest only. `ffa-svd`: the rows of each A are orthonormal. `alternate`: A uniform within
 *            1/sqrt(in), which is the Kaiming initialisation that PEFT uses.
 * @throws FedloraError run/invalid-description: r is more than a module has inputs, so that r orthonormal rows do not exist
 */
export function firstAdapter(manifest: Manifest): AdapterTensors {
  const { rule, r, modules } = manifest.adapter;
  const uniform = publicUniform(manifest.runId);
  return {
    modules: modules.map(({ name, inFeatures, outFeatures }) => {
      if (rule === 'ffa-svd' && r > inFeatures) {
        throw new FedloraError(
          'run/invalid-description',
          `adapter.r is ${r}, but ${name} has only ${inFeatures} inputs.`,
        );
      }
      const A = rule === 'ffa-svd' ? orthonormalRows(r, inFeatures, uniform) : kaimingUniform(r, inFeatures, uniform);
      return { A, B: new Float32Array(outFeatures * r) };
    }),
  };
}

/** Numbers in [0, 1) with 53 bits from the AES-256-CTR keystream of the run id's hash: public, and the same everywhere. */
function publicUniform(runId: string): () => number {
  const seed = createHash('sha256').update(`fedlora/first-adapter/v1\n${runId}`).digest();
  const cipher = createCipheriv('aes-256-ctr', seed, Buffer.alloc(16));
  const zeros = Buffer.alloc(1 << 16);
  let bytes = Buffer.alloc(0);
  let at = 0;
  return () => {
    if (at + 8 > bytes.length) {
      bytes = cipher.update(zeros);
      at = 0;
    }
    const value = bytes.readBigUInt64LE(at) >> 11n;
    at += 8;
    return Number(value) / 2 ** 53;
  };
}

function kaimingUniform(rows: number, columns: number, uniform: () => number): Float32Array {
  const bound = 1 / Math.sqrt(columns);
  return Float32Array.from({ length: rows * columns }, () => (2 * uniform() - 1) * bound);
}

/** Gaussian rows made orthonormal by Gram-Schmidt, twice over, since once loses digits. */
function orthonormalRows(rows: number, columns: number, uniform: () => number): Float32Array {
  const result = new Float32Array(rows * columns);
  const made: Float64Array[] = [];
  while (made.length < rows) {
    const row = Float64Array.from(
      { length: columns },
      () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    );
    for (let pass = 0; pass < 2; pass += 1) {
      for (const other of made) {
        let along = 0;
        for (let i = 0; i < columns; i += 1) along += row[i] * other[i];
        for (let i = 0; i < columns; i += 1) row[i] -= along * other[i];
      }
    }
    let squares = 0;
    for (const value of row) squares += value * value;
    if (squares < 1e-12) continue; // So unlucky a draw is drawn again.
    const norm = Math.sqrt(squares);
    result.set(
      row.map((value) => value / norm),
      made.length * columns,
    );
    made.push(row.map((value) => value / norm));
  }
  return result;
}
