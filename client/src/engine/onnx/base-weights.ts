/** Reads a base model into the tensors that graphs take as inputs. */

import { linearLayers, type LinearName } from '@fedlora/shared';
import type { Tensor } from 'onnxruntime-node';
import { architectureOf, normNames, normWeight } from '../weights/architecture.js';
import type { BaseModel } from '../weights/base-model.js';
import { dequantizeNf4, quantizeNf4, type Nf4Values } from '../weights/nf4.js';
import { tensorOf } from './sessions.js';
import { shapeOf, type GraphSpec } from './spec.js';

/** What happens to the linear layers' weights: 4 bits, as QLoRA has it, or as they are. */
export type Quantization = 'nf4' | 'none';

/** Inputs of graphs by name: those of the whole model, and of each block without prefix. */
export interface BaseWeights {
  readonly model: ReadonlyMap<string, Tensor>;
  readonly blocks: readonly ReadonlyMap<string, Tensor>[];
}

/**
 * Reads and quantizes, one tensor at a time.
 *
 * With form `nf4` weights stay codes. With `dense` or `merged` they are f32; if quantization is asked for, they are what the codes
 * stand for, so that every form computes with the same weights.
 */
export async function readBaseWeights(
  base: BaseModel,
  spec: GraphSpec,
  quantization: Quantization,
): Promise<BaseWeights> {
  const { hidden_size: D, vocab_size: V, num_hidden_layers, tie_word_embeddings } = base.config;
  const model = new Map<string, Tensor>();
  const embedding = tensorOf(await base.tensor('model.embed_tokens.weight', [V, D]), [V, D]);
  model.set('embedding', embedding);
  model.set('head', tie_word_embeddings ? embedding : tensorOf(await base.tensor('lm_head.weight', [V, D]), [V, D]));
  model.set('norm', tensorOf(normWeight(base.config, await base.tensor('model.norm.weight', [D])), [D]));
  const blocks = [];
  for (let block = 0; block < num_hidden_layers; block++) blocks.push(await readBlock(base, spec, quantization, block));
  return { model, blocks };
}

async function readBlock(
  base: BaseModel,
  spec: GraphSpec,
  quantization: Quantization,
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
    if (quantization === 'none') {
      tensors.set(`${name}.weight`, tensorOf(await base.tensor(path, shape), shape));
      continue;
    }
    const quantized = (await base.nf4?.(path, shape)) ?? quantizeNf4(await base.tensor(path, shape));
    putQuantized(tensors, spec, name, quantized);
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
