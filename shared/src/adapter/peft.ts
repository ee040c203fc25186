/**
 * A LoRA adapter in the layout of Hugging Face PEFT, so that PEFT, vLLM and llama.cpp's converter read it as it is.
 *
 * Source     PEFT `LoraConfig` and `save_pretrained`: adapter_config.json, and adapter_model.safetensors with
 *            `<module>.lora_A.weight` [r, in] and `<module>.lora_B.weight` [out, r].
 * It is bytes in, values out; which modules there are comes from the run (`run/modules.ts`).
 * Legend     delta W = scaling * B A, scaling = lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora; with a factor R between
 *            them scaling * B R A, which is plain LoRA as well: B R in the place of B.
 */

import type { AdaptedModule } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';
import { decodeFloats, elementCount, isFloatDtype, readSafetensors, writeSafetensors } from './safetensors.js';

export const ADAPTER_CONFIG_FILE = 'adapter_config.json';
export const ADAPTER_WEIGHTS_FILE = 'adapter_model.safetensors';
/** R of each module of a `fed-sb` version, beside the plain LoRA that PEFT reads. */
export const FACTOR_R_FILE = 'fed_sb.safetensors';

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

/** For each module in layout order A [r, in] and B [out, r], row-major; with R [r, r] where the layer's change is s B R A. */
export interface AdapterTensors {
  readonly modules: readonly ModuleTensors[];
}

export interface ModuleTensors {
  readonly A: Float32Array;
  readonly B: Float32Array;
  readonly R?: Float32Array;
}

/**
 * The same adapter without R: B R in the place of B.
 *
 * Shapes     B [out, r], R [r, r] -> B R [out, r]
 * Source     SPEC §12.3
 * Guarantee  Each value is the sum over k = 0, 1, ... of B[o, k] R[k, j] in f64, rounded to f32 once: the same bits everywhere, so
 *            that whoever has B and R can check a published B R for equality. Modules without R are returned as they are.
 */
export function plainLora(adapter: AdapterTensors, r: number): AdapterTensors {
  return {
    modules: adapter.modules.map((module) =>
      module.R === undefined ? module : { A: module.A, B: timesSquare(module.B, module.R, r) },
    ),
  };
}

/** left [n, r] times right [r, r]. */
function timesSquare(left: Float32Array, right: Float32Array, r: number): Float32Array {
  const product = new Float32Array(left.length);
  const row = new Float64Array(r);
  for (let begin = 0; begin < left.length; begin += r) {
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const value = left[begin + k];
      for (let j = 0; j < r; j++) row[j] += value * right[k * r + j];
    }
    product.set(row, begin);
  }
  return product;
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
 * `adapter_model.safetensors` of an adapter, in f32: plain LoRA, whether it has factors R or not.
 *
 * @throws FedloraError adapter/wrong-shape | adapter/not-finite: such an adapter must never be published
 */
export function encodeAdapter(modules: readonly AdaptedModule[], r: number, adapter: AdapterTensors): Uint8Array {
  return encodeFactors(modules, r, plainLora(adapter, r), loraFactors);
}

/**
 * `fed_sb.safetensors`: `<module>.lora_R.weight` [r, r] for each module, in f32, exactly as they are trained on from.
 *
 * @throws FedloraError adapter/wrong-shape | adapter/not-finite
 */
export function encodeFactorR(modules: readonly AdaptedModule[], r: number, adapter: AdapterTensors): Uint8Array {
  return encodeFactors(modules, r, adapter, ['R']);
}

function encodeFactors(
  modules: readonly AdaptedModule[],
  r: number,
  adapter: AdapterTensors,
  factors: readonly Factor[],
): Uint8Array {
  if (adapter.modules.length !== modules.length) {
    throw new FedloraError(
      'adapter/wrong-shape',
      `There are ${adapter.modules.length} modules of values for ${modules.length} modules.`,
    );
  }
  const tensors = modules.flatMap((module, i) =>
    tensorsOf(module, r, factors).map(({ name, shape, factor }) => ({
      name,
      shape,
      // Safe: both lists have the same length.
      values: adapter.modules[i][factor] ?? new Float32Array(0),
    })),
  );
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
  const decoded = decodeFactors(bytes, modules, r, loraFactors);
  return { modules: decoded.map(([A, B]) => ({ A, B })) };
}

/** Reads `fed_sb.safetensors`: R [r, r] of each module. Guarantee and errors as `decodeAdapter`. */
export function decodeFactorR(bytes: Uint8Array, modules: readonly AdaptedModule[], r: number): Float32Array[] {
  return decodeFactors(bytes, modules, r, ['R']).map(([R]) => R);
}

/** The values of each module's factors, in the order of `factors`. */
function decodeFactors(
  bytes: Uint8Array,
  modules: readonly AdaptedModule[],
  r: number,
  factors: readonly Factor[],
): Float32Array[][] {
  const file = readSafetensors(bytes);
  const { tensors } = file.header;
  if (tensors.size === 0 && modules.length > 0) {
    throw new FedloraError('adapter/tensor-missing', 'The adapter file has no tensors at all.');
  }
  const expected = modules.map((module) => tensorsOf(module, r, factors));
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
  return expected.map((tensorsOfModule) => tensorsOfModule.map(read));
}

type Factor = keyof ModuleTensors;

/** What PEFT's file has of each module, in this order. */
const loraFactors: readonly Factor[] = ['A', 'B'];

interface FactorTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly factor: Factor;
}

function tensorsOf(
  { name, inFeatures, outFeatures }: AdaptedModule,
  r: number,
  factors: readonly Factor[],
): FactorTensor[] {
  const shapes = { A: [r, inFeatures], B: [outFeatures, r], R: [r, r] };
  return factors.map((factor) => ({ name: `${name}.lora_${factor}.weight`, shape: shapes[factor], factor }));
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
