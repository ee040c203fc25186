/** The run of a simulation, and whether what it made is right. */

import type { Manifest } from '@fedlora/protocol';
import { decodeAdapter, routes, type RoundView } from '@fedlora/shared';

/** Values of one layer's factor at most; above, there are several layers. */
const LAYER_VALUES = 32_768;
const MOST_LAYERS = 1000;
const RANK = 8;
/** Time for phases in which nobody is silent by intention: clients share the machine with the coordinator. */
const AMPLE_MS = 600_000;

export interface RunOptions {
  readonly clients: number;
  readonly params: number;
  readonly rounds: number;
  readonly deadlineMs: number;
}

/** A description of at least so many trained values, whose adapter moves by the plain mean of the updates. */
export function describeRun({ clients, params, rounds, deadlineMs }: RunOptions): object {
  const layers = Math.min(MOST_LAYERS, Math.ceil(params / LAYER_VALUES));
  const width = Math.ceil(params / layers / RANK);
  const shape = {
    hidden_size: width,
    intermediate_size: width,
    num_hidden_layers: layers,
    num_attention_heads: 1,
    num_key_value_heads: 1,
  };
  return {
    title: 'A simulation',
    rounds,
    base: { name: 'simulated', digest: 'b'.repeat(64), shape },
    adapter: { rule: 'ffa-svd', r: RANK, lora_alpha: RANK, target_modules: ['q_proj'], rebaseEvery: 0 },
    data: { format: 'alpaca', maximumLength: 64 },
    privacy: {
      unit: 'none',
      l2Bound: 1,
      noiseMultiplier: 0,
      delta: 0,
      assumedColluders: Math.max(1, Math.floor(clients / 100)),
    },
    training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
    server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
    deadlinesMs: {
      advertising: AMPLE_MS,
      sharing: AMPLE_MS,
      training: deadlineMs,
      checking: AMPLE_MS,
      unmasking: AMPLE_MS,
    },
  };
}

/** The values that a version trains, in layout order. */
async function valuesOf(url: string, token: string, version: string, manifest: Manifest): Promise<Float32Array[]> {
  const answer = await fetch(url + routes.versionFile(version, 'adapter_model.safetensors'), {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!answer.ok) throw new Error(`The weights of version ${version} cannot be had: ${await answer.text()}`);
  const { modules, r } = manifest.adapter;
  return decodeAdapter(new Uint8Array(await answer.arrayBuffer()), modules, r).modules.map(({ B }) => B);
}

/** Whether a round moved each value of the adapter by the sum of these levels, over the fewest contributors. */
export async function isMovedBy(
  levels: readonly number[],
  { baseVersion, version }: RoundView,
  { url, token, manifest }: { readonly url: string; readonly token: string; readonly manifest: Manifest },
): Promise<boolean> {
  if (version === null) return false;
  const before = await valuesOf(url, token, baseVersion, manifest);
  const after = await valuesOf(url, token, version, manifest);
  const sum = levels.reduce((all, level) => all + level, 0);
  const mean = Math.fround(sum / manifest.encoding.stepsPerUnit / manifest.privacy.minimumContributors);
  return after.every((values, module) => values.every((value, i) => value === Math.fround(before[module][i] + mean)));
}
