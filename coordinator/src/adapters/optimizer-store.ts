/** The server optimizer's memory on disk, one safetensors file for each adapter version that a round may start from. */

import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainedFactor } from '@fedlora/protocol';
import { decodeFloats, FedloraError, readSafetensors, writeSafetensors } from '@fedlora/shared';
import type { Moments, OptimizerState } from '../aggregation/server-optimizer.js';
import { isMissing, writeAtomically } from '../storage/durable-file.js';

const factors: readonly TrainedFactor[] = ['A', 'B', 'both', 'R'];
const HASH_BYTES = 32;

export class OptimizerStore {
  constructor(private readonly folder: string) {}

  /** Stores what belongs to a version: the SHA-256, then the tensors. */
  async write(versionId: string, state: OptimizerState): Promise<void> {
    const tensors = factors.flatMap((factor) => {
      const moments = state[factor];
      if (moments === undefined) return [];
      return [
        { name: `${factor}.step`, shape: [1], values: Float32Array.of(moments.step) },
        { name: `${factor}.first`, shape: [moments.first.length], values: moments.first },
        { name: `${factor}.second`, shape: [moments.second.length], values: moments.second },
      ];
    });
    const bytes = writeSafetensors(tensors);
    await writeAtomically(
      this.path(versionId),
      Buffer.concat([createHash('sha256').update(bytes).digest(), bytes]),
      0o600,
    );
  }

  /** What a version's training goes on from; nothing for a run's first version. @throws FedloraError version/damaged */
  async read(versionId: string): Promise<OptimizerState> {
    let file: Buffer;
    try {
      file = await readFile(this.path(versionId));
    } catch (error) {
      if (isMissing(error))
        throw new FedloraError('version/damaged', 'The training state of the newest version is missing.');
      throw error;
    }
    const bytes = file.subarray(HASH_BYTES);
    if (!createHash('sha256').update(bytes).digest().equals(file.subarray(0, HASH_BYTES))) {
      throw new FedloraError('version/damaged', 'The training state of the newest version is damaged.');
    }
    const content = readSafetensors(bytes);
    const values = (name: string): Float32Array | undefined => {
      const bytesOfTensor = content.bytesOf(name);
      return bytesOfTensor === undefined ? undefined : decodeFloats(bytesOfTensor, 'F32');
    };
    const state: Partial<Record<TrainedFactor, Moments>> = {};
    for (const factor of factors) {
      const [step, first, second] = [values(`${factor}.step`), values(`${factor}.first`), values(`${factor}.second`)];
      if (step !== undefined && first !== undefined && second !== undefined)
        state[factor] = { step: step[0], first, second };
    }
    return state;
  }

  /** Removes everything but what the given versions need. */
  async keepOnly(versionIds: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (!versionIds.has(name.replace(/\.safetensors$/, ''))) await rm(join(this.folder, name), { force: true });
    }
  }

  /** Removes what a version needed, once a newer one is in place. */
  async remove(versionId: string): Promise<void> {
    await rm(this.path(versionId), { force: true });
  }

  private path(versionId: string): string {
    return join(this.folder, `${versionId}.safetensors`);
  }
}
