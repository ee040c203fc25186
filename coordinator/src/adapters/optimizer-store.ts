/** The server optimizer's memory, one safetensors file for each adapter version that a round may start from. */

import { createHash } from 'node:crypto';
import type { TrainedFactor } from '@fedlora/protocol';
import { decodeFloats, FedloraError, readSafetensors, writeSafetensors } from '@fedlora/shared';
import type { Moments, OptimizerState } from '../aggregation/server-optimizer.js';
import { NoSuchBlob, type BlobStore } from '../storage/blob-store.js';

const factors: readonly TrainedFactor[] = ['A', 'B', 'both', 'R'];
const HASH_BYTES = 32;

export class OptimizerStore {
  constructor(private readonly blobs: BlobStore) {}

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
    await this.blobs.put(nameOf(versionId), Buffer.concat([createHash('sha256').update(bytes).digest(), bytes]));
  }

  /** What a version's training goes on from; nothing for a run's first version. @throws FedloraError version/damaged */
  async read(versionId: string): Promise<OptimizerState> {
    let file: Uint8Array;
    try {
      file = await this.blobs.get(nameOf(versionId));
    } catch (error) {
      if (error instanceof NoSuchBlob)
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
    await this.blobs.tidy();
    const needed = new Set([...versionIds].map(nameOf));
    for await (const { name } of this.blobs.list()) if (!needed.has(name)) await this.blobs.delete(name);
  }

  /** Removes what a version needed, once a newer one is in place. */
  async remove(versionId: string): Promise<void> {
    await this.blobs.delete(nameOf(versionId));
  }
}

function nameOf(versionId: string): string {
  return `${versionId}.safetensors`;
}
