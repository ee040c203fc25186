/**
 * A LoRA adapter as llama.cpp loads it with `--lora`.
 *
 * Source     llama.cpp `convert_lora_to_gguf.py` for the keys and names; `llama-adapter.h`, llama_adapter_lora_weight.get_scale, for
 *            the scaling: scale alpha / r, with alpha from the file, r the rows of `lora_a` and scale 1 unless the server is told otherwise.
 * Legend     as in PEFT's layout: delta W = scaling B A, A [r, in], B [out, r].
 * Guarantee  llama.cpp adds the delta W that PEFT adds, in llama.cpp's order of rows; up to the rounding of `dtype`, and of alpha to f32.
 * Divergence With `use_rslora` the alpha that is written is lora_alpha sqrt(r), so that llama.cpp's division by r gives PEFT's
 *            lora_alpha / sqrt(r). The Python converter writes lora_alpha, which there scales the adapter down by sqrt(r).
 */

import {
  adaptedModules,
  decodeAdapter,
  encodeWeights,
  expandTargetModules,
  FedloraError,
  type AdapterConfig,
  type WeightDtype,
} from '@fedlora/shared';
import type { ModelConfig } from '../base-model.js';
import { ggufArchitecture, ggufName } from './names.js';
import { permutedHeads, permuteRows } from './permuted-rows.js';
import { writeGguf, type GgufEntry, type GgufTensorToWrite } from './write-gguf.js';

/** What PEFT puts before the names of the base model's modules. */
const PEFT_PREFIX = 'base_model.model.';
/** Of the layout of quantized tensors: what the Python converter writes, though an adapter has none. */
const QUANTIZATION_VERSION = 2;

/**
 * The file's bytes.
 *
 * @param weights `adapter_model.safetensors`
 * @param base    of the model that is served
 * @param version the adapter's id; `undefined` for an adapter that is no version
 * @throws FedloraError adapter/unsupported: a module that is no linear layer of a block | adapter/tensor-missing |
 *         adapter/tensor-unexpected | adapter/wrong-shape: of another base model | adapter/not-finite: also a value that `dtype` cannot hold
 */
export function encodeGgufAdapter(
  adapter: AdapterConfig,
  weights: Uint8Array,
  base: ModelConfig,
  dtype: WeightDtype,
  version?: string,
): Uint8Array<ArrayBuffer> {
  const targets = expandTargetModules(adapter.target_modules);
  if ('unknown' in targets)
    throw new FedloraError('adapter/unsupported', `There is no linear layer called ${targets.unknown.join(', ')}.`);
  const { r, lora_alpha, use_rslora, base_model_name_or_path } = adapter;
  const modules = adaptedModules(base, targets.names);
  const factors = decodeAdapter(weights, modules, r).modules;
  const text = (value: string): GgufEntry => ({ kind: 'text', value });
  const metadata = new Map<string, GgufEntry>([
    ['general.architecture', text(ggufArchitecture(base))],
    ['general.type', text('adapter')],
    ['adapter.type', text('lora')],
    ['general.name', text(`LoRA adapter of ${base_model_name_or_path}`)],
    ...(version === undefined ? [] : [['general.version', text(version)] as const]),
    ['general.base_model.count', { kind: 'u32', value: 1 }],
    ['general.base_model.0.name', text(base_model_name_or_path)],
    ['adapter.lora.alpha', { kind: 'f32', value: use_rslora ? lora_alpha * Math.sqrt(r) : lora_alpha }],
    ['general.quantization_version', { kind: 'u32', value: QUANTIZATION_VERSION }],
  ]);
  const tensors = modules.flatMap(({ name: module, inFeatures, outFeatures }, i): GgufTensorToWrite[] => {
    const weight = `${module.slice(PEFT_PREFIX.length)}.weight`;
    const heads = permutedHeads(base, weight);
    // Rows of delta W are those of B.
    const B = heads === undefined ? factors[i].B : permuteRows(factors[i].B, heads, outFeatures, r);
    const stored = ggufName(base, weight);
    return [
      { name: `${stored}.lora_a`, shape: [r, inFeatures], dtype, bytes: encodeWeights(weight, factors[i].A, dtype) },
      { name: `${stored}.lora_b`, shape: [outFeatures, r], dtype, bytes: encodeWeights(weight, B, dtype) },
    ];
  });
  return writeGguf(metadata, tensors);
}
