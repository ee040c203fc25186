/**
 * A LoRA adapter in the layout of Hugging Face PEFT, so that PEFT, vLLM and llama.cpp's converter read it as it is.
 *
 * Source     PEFT `LoraConfig` and `save_pretrained`: adapter_config.json, and adapter_model.safetensors with
 *            `<module>.lora_A.weight` [r, in] and `<module>.lora_B.weight` [out, r].
 * It is bytes in, values out; which modules there are comes from the run (`run/modules.ts`).
 * Legend     delta W = scaling * B A, scaling = lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora.
 */

import type { AdaptedModule } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';
import { decodeFloats, elementCount, isFloatDtype, readSafetensors, writeSafetensors } from './safetensors.js';

export const ADAPTER_CONFIG_FILE = 'adapter_config.json';
export const ADAPTER_WEIGHTS_FILE = 'adapter_model.safetensors';

/** What of `adapter_config.json` varies. */
export interface AdapterConfig {
  readonly base_model_name_or_path: string;
  readonly revision: string | null;
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  /** What training dropped, for the record: it has no effect afterwards, and is not read back. 0 if absent. */
  readonly lora_dropout?: number;
  readonly target_modules: readonly string[];
}

/** For each module in layout order A [r, in] and B [out, r], row-major. */
export interface AdapterTensors {
  readonly modules: readonly { readonly A: Float32Array; readonly B: Float32Array }[];
}

/** The text of `adapter_config.json`: the same config gives the same bytes. */
export function adapterConfigJson(config: AdapterConfig): string {
  const fields = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: config.base_model_name_or_path,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout ?? 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: config.r,
    rank_pattern: {},
    revision: config.revision,
    target_modules: config.target_modules,
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: config.use_rslora,
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

/**
 * Reads an `adapter_config.json`, ours or another's.
 *
 * @throws FedloraError adapter/invalid-config: malformed | adapter/unsupported: more than plain LoRA, and what
 */
export function parseAdapterConfig(text: string): AdapterConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new FedloraError('adapter/invalid-config', 'adapter_config.json is no JSON.', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    invalidConfig('adapter_config.json is no object.');
  const config = new Map(Object.entries(parsed as Record<string, unknown>));

  const mustBe = (name: string, accepted: readonly unknown[]): void => {
    const value = config.get(name);
    if (!accepted.includes(value)) unsupported(`${name} is ${JSON.stringify(value) ?? 'absent'}`);
  };
  mustBe('peft_type', ['LORA']);
  mustBe('task_type', ['CAUSAL_LM', null, undefined]);
  mustBe('bias', ['none', undefined]);
  mustBe('fan_in_fan_out', [false, undefined]);
  mustBe('use_dora', [false, undefined]);
  for (const name of [
    'modules_to_save',
    'layers_to_transform',
    'target_parameters',
    'trainable_token_indices',
    'exclude_modules',
  ]) {
    mustBe(name, [null, undefined]);
  }
  for (const name of ['rank_pattern', 'alpha_pattern']) {
    const value = config.get(name) ?? {};
    if (typeof value !== 'object' || Object.keys(value).length > 0) unsupported(`${name} is not empty`);
  }

  const r = config.get('r');
  const alpha = config.get('lora_alpha');
  const targets = config.get('target_modules');
  const name = config.get('base_model_name_or_path') ?? '';
  const revision = config.get('revision') ?? null;
  if (typeof r !== 'number' || !Number.isInteger(r) || r < 1) invalidConfig('r is no positive whole number.');
  if (typeof alpha !== 'number' || !(alpha > 0)) invalidConfig('lora_alpha is no positive number.');
  const list: unknown[] = typeof targets === 'string' ? [targets] : Array.isArray(targets) ? targets : [];
  if (list.length === 0 || !list.every((target) => typeof target === 'string'))
    invalidConfig('target_modules is no list of names.');
  if (typeof name !== 'string' || (revision !== null && typeof revision !== 'string'))
    invalidConfig('base_model_name_or_path or revision is no text.');
  return {
    base_model_name_or_path: name,
    revision,
    r,
    lora_alpha: alpha,
    use_rslora: config.get('use_rslora') === true,
    target_modules: list,
  };
}

/**
 * `adapter_model.safetensors` of an adapter, in f32.
 *
 * @throws FedloraError adapter/wrong-shape | adapter/not-finite: such an adapter must never be published
 */
export function encodeAdapter(modules: readonly AdaptedModule[], r: number, adapter: AdapterTensors): Uint8Array {
  if (adapter.modules.length !== modules.length) {
    throw new FedloraError(
      'adapter/wrong-shape',
      `There are ${adapter.modules.length} modules of values for ${modules.length} modules.`,
    );
  }
  const tensors = modules.flatMap((module, i) => {
    // Safe: both lists have the same length.
    const { A, B } = adapter.modules[i];
    return tensorsOf(module, r).map(({ name, shape, factor }) => ({ name, shape, values: factor === 'A' ? A : B }));
  });
  for (const { name, shape, values } of tensors) {
    if (values.length !== elementCount(shape)) wrongShape(name, [values.length], shape);
    checkFinite(name, values);
  }
  return writeSafetensors(tensors);
}

/**
 * Reads `adapter_model.safetensors` (F32, F16, BF16 or F64) for the modules that the run adapts.
 *
 * Guarantee  every module has both factors in its shape, all values are finite, and no tensor was ignored.
 * @throws FedloraError safetensors/*: not the format | adapter/tensor-missing | adapter/tensor-unexpected |
 *         adapter/wrong-shape | adapter/not-finite
 */
export function decodeAdapter(bytes: Uint8Array, modules: readonly AdaptedModule[], r: number): AdapterTensors {
  const file = readSafetensors(bytes);
  const { tensors } = file.header;
  if (tensors.size === 0 && modules.length > 0) {
    throw new FedloraError('adapter/tensor-missing', 'The adapter file has no tensors at all.');
  }
  const expected = modules.map((module) => tensorsOf(module, r));
  const names = new Set(expected.flat().map(({ name }) => name));
  const missing = [...names].filter((name) => !tensors.has(name));
  if (missing.length > 0) {
    throw new FedloraError(
      'adapter/tensor-missing',
      `The adapter lacks ${missing.length} of ${names.size} tensors, first ${missing[0]}.`,
    );
  }
  const unexpected = [...tensors.keys()].filter((name) => !names.has(name));
  if (unexpected.length > 0) {
    throw new FedloraError(
      'adapter/tensor-unexpected',
      `The adapter has ${unexpected.length} unexpected tensors, first ${unexpected[0]}.`,
    );
  }
  const read = ({ name, shape }: FactorTensor): Float32Array => {
    // Safe: no name is missing.
    const entry = tensors.get(name)!;
    if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i]))
      wrongShape(name, entry.shape, shape);
    if (!isFloatDtype(entry.dtype))
      throw new FedloraError('safetensors/unsupported-dtype', `${name} is ${entry.dtype}, not floating point.`);
    // Safe: as above.
    const values = decodeFloats(file.bytesOf(name)!, entry.dtype);
    checkFinite(name, values);
    return values;
  };
  return { modules: expected.map(([A, B]) => ({ A: read(A), B: read(B) })) };
}

interface FactorTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly factor: 'A' | 'B';
}

function tensorsOf({ name, inFeatures, outFeatures }: AdaptedModule, r: number): readonly [FactorTensor, FactorTensor] {
  return [
    { name: `${name}.lora_A.weight`, shape: [r, inFeatures], factor: 'A' },
    { name: `${name}.lora_B.weight`, shape: [outFeatures, r], factor: 'B' },
  ];
}

function checkFinite(name: string, values: Float32Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new FedloraError('adapter/not-finite', `${name} has a value that is not finite.`, { details: { index: at } });
}

function wrongShape(name: string, actual: readonly number[], expected: readonly number[]): never {
  throw new FedloraError('adapter/wrong-shape', `${name} is [${actual.join(', ')}], not [${expected.join(', ')}].`);
}

function invalidConfig(message: string): never {
  throw new FedloraError('adapter/invalid-config', message);
}

function unsupported(what: string): never {
  throw new FedloraError('adapter/unsupported', `The adapter is not plain LoRA: ${what}.`);
}
