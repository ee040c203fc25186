/**
 * Several adapters of one base model as one, with the semantics of PEFT's `add_weighted_adapter`.
 *
 * Source     PEFT 0.19 `LoraModel.add_weighted_adapter`; test/fixtures/merge has its results
 * Legend     adapter i changes a layer by s_i B_i A_i, and has weight w_i; c_i = w_i s_i
 *
 *   linear     A = sum of sign(c_i) sqrt|c_i| A_i, B = sum of sqrt|c_i| B_i; all of one rank. An approximation: its product has the
 *              mixed terms B_i A_j as well, which belong to no adapter
 *   cat        A = the rows of all c_i A_i, B = the columns of all B_i; the rank is the sum of ranks. Exact
 *   svd        the product of the asked rank that is nearest to the sum of all c_i B_i A_i. The best of its size
 *
 * A layer that only some adapters change gets what those say. The result has lora_alpha = r, so a scaling of 1.
 * Divergence sums are in f64 and rounded once; `svd` refuses a rank over the sum of ranks, which would only add zeros; the result never
 *            has use_rslora, which PEFT copies from the first adapter, so that what it saves is scaled by sqrt(r) when it is loaded.
 */

import type { AdaptedModule } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';
import { decodeAdapter, type AdapterConfig, type AdapterTensors, type ModuleTensors } from './peft.js';
import { readSafetensors } from './safetensors.js';
import { truncatedProduct } from './singular-vectors.js';

export const mergeMethods = ['linear', 'cat', 'svd'] as const;
export type MergeMethod = (typeof mergeMethods)[number];

/** An adapter with the layers that it changes, in the order of their names. */
export interface LoraAdapter {
  readonly config: AdapterConfig;
  readonly modules: readonly AdaptedModule[];
  readonly tensors: AdapterTensors;
}

export interface WeightedAdapter {
  readonly adapter: LoraAdapter;
  /** Any finite number but 0; below it, what the adapter learned is taken away. */
  readonly weight: number;
}

export interface MergeChoice {
  readonly method: MergeMethod;
  /** Of the result, for `svd`; the largest of the adapters' if absent. */
  readonly rank?: number;
}

/** Of layers with more ranks in all than this, nobody could serve the result. */
const LARGEST_RANK = 4096;

/**
 * Reads an adapter whose layers nobody says beforehand: they are those that its file has.
 *
 * @throws FedloraError safetensors/* | adapter/*: as `decodeAdapter`
 */
export function readLora(config: AdapterConfig, weights: Uint8Array): LoraAdapter {
  const { tensors } = readSafetensors(weights).header;
  const modules: AdaptedModule[] = [];
  for (const { name, shape } of tensors.values()) {
    const module = /^(.+)\.lora_A\.weight$/.exec(name)?.[1];
    const outFeatures = tensors.get(`${module}.lora_B.weight`)?.shape[0];
    // A factor without the other, and whatever is no factor, is found below, where every tensor must be one of these.
    if (module !== undefined && outFeatures !== undefined)
      modules.push({ name: module, inFeatures: shape[1] ?? 0, outFeatures });
  }
  modules.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { config, modules, tensors: decodeAdapter(weights, modules, config.r) };
}

/** What an adapter's product B A is multiplied by. */
export function loraScaling({ lora_alpha: alpha, r, use_rslora: isRankStabilised }: AdapterConfig): number {
  return alpha / (isRankStabilised ? Math.sqrt(r) : r);
}

/**
 * The adapters as one.
 *
 * Guarantee  the same adapters, weights and choice give the same bits on every machine
 * @param betweenLayers is waited for after each layer: a large model's take seconds, and others may want their turn
 * @throws FedloraError adapter/not-mergeable: fewer than two, another base model, ranks or shapes that do not fit, and which
 */
export async function mergeAdapters(
  parts: readonly WeightedAdapter[],
  choice: MergeChoice,
  betweenLayers: () => Promise<unknown> = () => Promise.resolve(),
): Promise<LoraAdapter> {
  const r = rankOf(parts, choice);
  const [first, ...others] = parts.map(({ adapter }) => adapter.config);
  for (const { base_model_name_or_path: name, revision } of others)
    if (name !== first.base_model_name_or_path || revision !== first.revision)
      refuse(`They are of different base models: ${first.base_model_name_or_path} and ${name}.`);
  const layers = layersOf(parts);
  const modules: AdaptedModule[] = [];
  const tensors: ModuleTensors[] = [];
  for (const name of [...layers.keys()].sort()) {
    // Safe: a key of it; each has one part or more.
    const layer = layers.get(name)!;
    const { inFeatures, outFeatures } = layer[0];
    if (layer.some((part) => part.inFeatures !== inFeatures || part.outFeatures !== outFeatures))
      refuse(`The layer ${name} has different shapes in them.`);
    modules.push({ name, inFeatures, outFeatures });
    tensors.push(methods[choice.method](layer, r));
    await betweenLayers();
  }
  const config: AdapterConfig = {
    base_model_name_or_path: first.base_model_name_or_path,
    revision: first.revision,
    r,
    lora_alpha: r,
    use_rslora: false,
    target_modules: [...new Set(parts.flatMap(({ adapter }) => adapter.config.target_modules))].sort(),
  };
  return { config, modules, tensors: { modules: tensors } };
}

/** What one adapter has of a layer, with c = weight times scaling. */
interface LayerPart extends AdaptedModule, ModuleTensors {
  readonly r: number;
  readonly c: number;
}

function layersOf(parts: readonly WeightedAdapter[]): Map<string, LayerPart[]> {
  const layers = new Map<string, LayerPart[]>();
  for (const { adapter, weight } of parts) {
    const { config, modules, tensors } = adapter;
    modules.forEach((module, i) => {
      const part = { ...module, ...tensors.modules[i], r: config.r, c: weight * loraScaling(config) };
      layers.set(module.name, [...(layers.get(module.name) ?? []), part]);
    });
  }
  return layers;
}

/** The rank of the result. */
function rankOf(parts: readonly WeightedAdapter[], { method, rank }: MergeChoice): number {
  if (parts.length < 2) refuse('A merge takes two adapters or more.');
  if (parts.some(({ weight }) => !Number.isFinite(weight) || weight === 0))
    refuse('Each weight is a finite number other than 0.');
  const ranks = parts.map(({ adapter }) => adapter.config.r);
  const sum = ranks.reduce((all, r) => all + r, 0);
  if (sum > LARGEST_RANK) refuse(`Their ranks add up to ${sum}; at most ${LARGEST_RANK} are merged.`);
  if (method !== 'svd' && rank !== undefined) refuse(`The rank is not free with ${method}: only svd takes one.`);
  switch (method) {
    case 'linear':
      if (new Set(ranks).size > 1) refuse(`Linear merging needs equal ranks; these are ${ranks.join(', ')}.`);
      return ranks[0];
    case 'cat':
      return sum;
    case 'svd': {
      const asked = rank ?? Math.max(...ranks);
      if (!Number.isInteger(asked) || asked < 1 || asked > sum)
        refuse(`The rank must be from 1 to ${sum}, the sum of their ranks.`);
      return asked;
    }
    default:
      return method satisfies never;
  }
}

/** How each method makes one layer, of the rank r of the whole. */
const methods: Readonly<Record<MergeMethod, (layer: readonly LayerPart[], r: number) => ModuleTensors>> = {
  linear(layer) {
    const sum = (factor: 'A' | 'B', signed: boolean): Float32Array => {
      const total = new Float64Array(layer[0][factor].length);
      for (const part of layer) {
        const times = Math.sqrt(Math.abs(part.c)) * (signed ? Math.sign(part.c) : 1);
        part[factor].forEach((value, i) => (total[i] += times * value));
      }
      return Float32Array.from(total);
    };
    return { A: sum('A', true), B: sum('B', false) };
  },

  cat(layer, r) {
    return fromFactors(layer, r, factorsOf(layer));
  },

  svd(layer, r) {
    const factors = factorsOf(layer);
    // Fewer adapters change this layer than the whole has ranks for: nothing is left out, and the rest stays 0.
    return factors.rowsOfA.length <= r
      ? fromFactors(layer, r, factors)
      : truncatedProduct(factors.columnsOfB, factors.rowsOfA, r);
  },
};

interface Factors {
  readonly columnsOfB: readonly Float64Array[];
  readonly rowsOfA: readonly Float64Array[];
}

/** All ranks of a layer, one after the other; the weights are in A. */
function factorsOf(layer: readonly LayerPart[]): Factors {
  const columnsOfB: Float64Array[] = [];
  const rowsOfA: Float64Array[] = [];
  for (const { A, B, r, c, inFeatures, outFeatures } of layer) {
    for (let k = 0; k < r; k++) {
      columnsOfB.push(Float64Array.from({ length: outFeatures }, (_, row) => B[row * r + k]));
      rowsOfA.push(Float64Array.from({ length: inFeatures }, (_, column) => c * A[k * inFeatures + column]));
    }
  }
  return { columnsOfB, rowsOfA };
}

/** The same product in factors of rank r, the rest of them 0. */
function fromFactors([{ inFeatures, outFeatures }]: readonly LayerPart[], r: number, factors: Factors): ModuleTensors {
  const A = new Float32Array(r * inFeatures);
  const B = new Float32Array(outFeatures * r);
  factors.rowsOfA.forEach((row, k) => A.set(row, k * inFeatures));
  factors.columnsOfB.forEach((column, k) => column.forEach((value, row) => (B[row * r + k] = value)));
  return { A, B };
}

function refuse(why: string): never {
  throw new FedloraError('adapter/not-mergeable', why);
}
