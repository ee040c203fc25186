/** Reads a base model into the tensors that graphs take as inputs. */

import { linearLayers, type EnginePlan, type LinearName, type Quantization } from '@fedlora/shared';
import type { Tensor } from 'onnxruntime-node';
import { architectureOf, normNames, normWeight } from '../weights/architecture.js';
import { EMBEDDING, HEAD, type BaseModel } from '../weights/base-model.js';
import type { HalfTable } from '../weights/half-table.js';
import { quantizedLinear, type QuantizedWeight, type QuantizeOptions } from '../weights/nf4-store.js';
import { dequantizeNf4, type Nf4Values } from '../weights/nf4.js';
import { tensorOf, type Sessions } from './sessions.js';
import { shapeOf, type GraphSpec } from './spec.js';

/** What happens to the linear layers' weights: 4 bits, as QLoRA has it, or as they are. */
/** Inputs of graphs by name: those of the whole model, and of each block without prefix. */
export interface BaseWeights {
  readonly model: ReadonlyMap<string, Tensor>;
  readonly blocks: readonly ReadonlyMap<string, Tensor>[];
  /** Embedding and head, if they are held in 16 bits; then they are not in `model`. */
  readonly tables?: { readonly embedding: HalfTable; readonly head: HalfTable };
}

/**
 * Reads one tensor at a time, and quantizes on threads what is to be quantized.
 *
 * With form `nf4` weights stay codes. With `dense` or `merged` they are f32; if quantization is asked for, they are what the codes
 * stand for, so that every form computes with the same weights.
 */
export async function readBaseWeights(
  base: BaseModel,
  spec: GraphSpec,
  quantization: Quantization,
  tableForm: EnginePlan['tables'],
  options: QuantizeOptions = {},
): Promise<BaseWeights> {
  const { hidden_size: D, num_hidden_layers } = base.config;
  const model = new Map<string, Tensor>();
  const tables = tableForm === 'stored' ? await readTables(base) : undefined;
  if (tables === undefined) await readDenseTables(base, model);
  model.set('norm', tensorOf(normWeight(base.config, await base.tensor('model.norm.weight', [D])), [D]));
  const quantized = quantization === 'nf4' ? (await quantizedLinear(base, undefined, options)).tensors : undefined;
  const blocks = [];
  for (let block = 0; block < num_hidden_layers; block++) blocks.push(await readBlock(base, spec, quantized, block));
  return { model, blocks, ...(tables === undefined ? {} : { tables }) };
}

/** Embedding and head in 16 bits, if both are stored so. */
async function readTables(base: BaseModel): Promise<BaseWeights['tables']> {
  const { hidden_size: D, vocab_size: V, tie_word_embeddings } = base.config;
  const embedding = await base.halves?.(EMBEDDING, [V, D]);
  const head = tie_word_embeddings ? embedding : await base.halves?.(HEAD, [V, D]);
  return embedding === undefined || head === undefined ? undefined : { embedding, head };
}

/** The same weights where the device reads them; tables in 16 bits stay. */
export async function placeWeights(weights: BaseWeights, sessions: Sessions): Promise<BaseWeights> {
  const model = await sessions.place(weights.model);
  const blocks = [];
  for (const block of weights.blocks) blocks.push(await sessions.place(block));
  return { ...weights, model, blocks };
}

async function readDenseTables(base: BaseModel, model: Map<string, Tensor>): Promise<void> {
  const { hidden_size: D, vocab_size: V, tie_word_embeddings } = base.config;
  const embedding = tensorOf(await base.tensor(EMBEDDING, [V, D]), [V, D]);
  model.set('embedding', embedding);
  model.set('head', tie_word_embeddings ? embedding : tensorOf(await base.tensor(HEAD, [V, D]), [V, D]));
}

async function readBlock(
  base: BaseModel,
  spec: GraphSpec,
  quantized: ReadonlyMap<string, QuantizedWeight> | undefined,
  block: number,
): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  const architecture = architectureOf(spec.config);
  const read = (path: string, size: number): Promise<Float32Array> =>
    base.tensor(`model.layers.${block}.${path}`, [size]);
  const readNorm = async (name: string, path: string, size: number): Promise<void> => {
    tensors.set(`${name}.weight`, tensorOf(normWeight(spec.config, await read(`${path}.weight`, size)), [size]));
  };
  for (const norm of normNames(architecture)) await readNorm(norm, norm, spec.config.hidden_size);
  if (architecture.normalizesHeads) {
    for (const norm of ['q_norm', 'k_norm']) await readNorm(norm, `self_attn.${norm}`, spec.config.head_dim);
  }
  for (const [name, parent] of linearLayers) {
    const shape = shapeOf(spec, name);
    if (architecture.biased.includes(name))
      tensors.set(`${name}.bias`, tensorOf(await read(`${parent}.${name}.bias`, shape[0]), [shape[0]]));
    const path = `model.layers.${block}.${parent}.${name}.weight`;
    const weight = quantized?.get(path);
    if (weight === undefined) tensors.set(`${name}.weight`, tensorOf(await base.tensor(path, shape), shape));
    else putQuantized(tensors, spec, name, weight);
  }
  return tensors;
}

function putQuantized(
  tensors: Map<string, Tensor>,
  spec: GraphSpec,
  name: LinearName,
  { codes, absmax }: Nf4Values,
): void {
  if (spec.weights === 'nf4') {
    tensors.set(`${name}.codes`, tensorOf(codes, [codes.length]));
    tensors.set(`${name}.absmax`, tensorOf(absmax, [absmax.length]));
    return;
  }
  const shape = shapeOf(spec, name);
  tensors.set(`${name}.weight`, tensorOf(dequantizeNf4({ codes, absmax }, shape[0] * shape[1]), shape));
}
