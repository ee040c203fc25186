/**
 * A base model's hyper-parameters: read from a config.json, checked, and what they say of its tensors.
 *
 * Guarantee  Every setting that would change the mathematics is known here or refused.
 */

import { decodeFloats, encodeFloats, FedloraError, linearLayers, linearShape } from '@fedlora/shared';
import { architectureOf, normNames, type Activation } from './architecture.js';
import type { LayerType, ModelConfig, OpenOptions, RopeScaling } from './base-model.js';

const supportedTypes = ['llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3_text'] as const;
const SUPPORTED = `supported are ${supportedTypes.join(', ')}`;

/** More than any model here has; a hostile config cannot make the checks below run for ever. */
const MAXIMUM_LAYERS = 1000;

/**
 * Reads and checks a config.json.
 *
 * Edge cases head_dim absent -> hidden_size / num_attention_heads; for Qwen3 and Gemma as transformers has it
 *            | rope_theta under rope_parameters (transformers 5) -> read there
 *            | a setting that is absent where transformers has a default that changes the mathematics -> that default
 * @throws FedloraError base-model/invalid | base-model/unsupported
 */
export function parseModelConfig(text: string, options: OpenOptions = {}): ModelConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new FedloraError('base-model/invalid', 'It is no JSON.', { where: 'config.json', cause });
  }
  if (!isObject(parsed))
    throw new FedloraError('base-model/invalid', 'It is no JSON object.', { where: 'config.json' });
  const config = parsed;

  if (config['model_type'] === 'gemma3')
    unsupported(
      `model_type "gemma3" reads images; of Gemma 3 the text models are supported (gemma3_text); ${SUPPORTED}.`,
    );
  const model_type = supportedTypes.find((type) => type === config['model_type']);
  if (model_type === undefined) unsupported(`model_type ${show(config['model_type'])} is not supported; ${SUPPORTED}.`);

  const whole = (name: string, fallback?: number): number => {
    const value = config[name] ?? fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
      invalid(`${name} is ${show(value)}, not a positive whole number.`);
    return value;
  };
  const only = (name: string, accepted: readonly unknown[]): void => {
    const value = config[name] ?? undefined;
    if (!accepted.includes(value))
      unsupported(`${name} ${show(value)} is not supported; ${accepted.map(show).join(' or ')} is.`);
  };

  const defaults = defaultsOf[model_type];
  const activations: readonly (Activation | undefined)[] = [architectureOf({ model_type }).activation, undefined];
  only('hidden_act', activations);
  only('hidden_activation', activations);
  only('attention_bias', [false, undefined]);
  only('mlp_bias', [false, undefined]);
  only('partial_rotary_factor', [1, undefined]);
  only('is_encoder_decoder', [false, undefined]);
  only('use_bidirectional_attention', [false, undefined]);
  // transformers' Gemma 3 has the setting and does not apply it.
  if (model_type === 'gemma3_text') only('attn_logit_softcapping', [undefined]);
  checkQuantization(config['quantization_config']);

  const heads = whole('num_attention_heads');
  const hidden_size = whole('hidden_size');
  const head_dim = whole('head_dim', defaults.head_dim ?? hidden_size / heads);
  const num_key_value_heads = whole('num_key_value_heads', model_type === 'llama' ? heads : undefined);
  if (heads % num_key_value_heads !== 0)
    invalid(`${heads} attention heads do not share ${num_key_value_heads} key-value heads evenly.`);
  if (head_dim % 2 !== 0) invalid(`head_dim ${head_dim} is odd, so that positions cannot turn pairs.`);
  const blocks = whole('num_hidden_layers');
  if (blocks > MAXIMUM_LAYERS) invalid(`num_hidden_layers is over ${MAXIMUM_LAYERS}.`);

  const epsilon = config['rms_norm_eps'] ?? 1e-6;
  if (typeof epsilon !== 'number' || !(epsilon > 0 && epsilon < 1)) invalid(`rms_norm_eps is ${show(epsilon)}.`);
  const tokens = attentionSpans(config, model_type, blocks);
  const rope = readRope(config, options.ropeTypes ?? []);
  const local = model_type === 'gemma3_text' && tokens.layer_types !== undefined ? readLocalRope(config) : {};

  const tied = config['tie_word_embeddings'] ?? defaults.tie_word_embeddings;
  if (typeof tied !== 'boolean') invalid(`tie_word_embeddings is ${show(tied)}.`);
  return {
    model_type,
    hidden_size,
    intermediate_size: whole('intermediate_size'),
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads,
    head_dim,
    vocab_size: whole('vocab_size'),
    max_position_embeddings: whole('max_position_embeddings', defaults.max_position_embeddings),
    rms_norm_eps: epsilon,
    ...rope,
    ...local,
    tie_word_embeddings: tied,
    ...tokens,
    ...(defaults.gemma === undefined ? {} : gemmaNumbers(config, hidden_size, defaults.gemma)),
  };
}

/** What transformers takes where a config.json says nothing. */
interface Defaults {
  /** `undefined` for hidden_size / num_attention_heads. */
  readonly head_dim?: number;
  /** `undefined` where we ask for it. */
  readonly max_position_embeddings?: number;
  readonly tie_word_embeddings: boolean;
  /** `undefined` for attention that never slides. */
  readonly sliding_window?: number;
  readonly gemma?: GemmaDefaults;
}

interface GemmaDefaults {
  readonly query_pre_attn_scalar: number;
  readonly attn_logit_softcapping?: number;
  readonly final_logit_softcapping?: number;
  /** Every how manyeth block sees the whole row. */
  readonly fullEvery: number;
}

const defaultsOf: Readonly<Record<ModelConfig['model_type'], Defaults>> = {
  llama: { max_position_embeddings: 2048, tie_word_embeddings: false },
  mistral: { tie_word_embeddings: false, sliding_window: 4096 },
  qwen2: { tie_word_embeddings: false, sliding_window: 4096 },
  qwen3: { head_dim: 128, tie_word_embeddings: false, sliding_window: 4096 },
  gemma2: {
    head_dim: 256,
    tie_word_embeddings: true,
    sliding_window: 4096,
    gemma: {
      query_pre_attn_scalar: 256,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      fullEvery: 2,
    },
  },
  gemma3_text: {
    head_dim: 256,
    tie_word_embeddings: true,
    sliding_window: 4096,
    gemma: { query_pre_attn_scalar: 256, fullEvery: 6 },
  },
};

/** From which block on Qwen's attention slides, if it does. */
const QWEN_FIRST_SLIDING = 28;

/**
 * Which blocks slide, and how far they see.
 *
 * Edge cases Mistral: all blocks, unless sliding_window is null | Qwen: with use_sliding_window, the blocks from max_window_layers on
 *            | Gemma: all but every 2nd (Gemma 2) or sliding_window_pattern-th | layer_types overrides where transformers reads it
 */
function attentionSpans(
  config: Record<string, unknown>,
  type: ModelConfig['model_type'],
  blocks: number,
): Pick<ModelConfig, 'sliding_window' | 'layer_types'> {
  const { sliding_window: fallback, gemma } = defaultsOf[type];
  if (fallback === undefined) return {};
  const isQwen = type === 'qwen2' || type === 'qwen3';
  const use = isQwen ? (config['use_sliding_window'] ?? false) : true;
  if (typeof use !== 'boolean') invalid(`use_sliding_window is ${show(use)}.`);
  const width = config['sliding_window'] === undefined ? fallback : config['sliding_window'];
  const isWhole = typeof width === 'number' && Number.isSafeInteger(width) && width > 0;
  if (!isWhole && (width !== null || gemma !== undefined))
    invalid(`sliding_window is ${show(width)}, not a positive whole number.`);
  const stated = type === 'mistral' ? undefined : config['layer_types'];
  const slides = (block: number): boolean => {
    if (isQwen) return block >= wholeOr(config, 'max_window_layers', QWEN_FIRST_SLIDING);
    if (gemma === undefined) return true;
    const every = type === 'gemma3_text' ? wholeOr(config, 'sliding_window_pattern', gemma.fullEvery) : gemma.fullEvery;
    return (block + 1) % every !== 0;
  };
  const layer_types =
    stated === undefined || stated === null
      ? Array.from({ length: blocks }, (_, block): LayerType =>
          slides(block) ? 'sliding_attention' : 'full_attention',
        )
      : layerTypes(stated, blocks);
  if (!use || width === null || !layer_types.includes('sliding_attention')) return {};
  return { sliding_window: width, layer_types };
}

function layerTypes(stated: unknown, blocks: number): LayerType[] {
  if (!Array.isArray(stated) || stated.length !== blocks)
    invalid(`layer_types is ${show(stated)}, not a list of ${blocks} types, one for each block.`);
  return stated.map((type: unknown, block): LayerType => {
    if (type === 'full_attention' || type === 'sliding_attention') return type;
    return unsupported(
      `layer_types has ${show(type)} for block ${block}; "full_attention" and "sliding_attention" are supported.`,
    );
  });
}

/** A whole number of at least 0, or what it is where the file says nothing. */
function wholeOr(config: Record<string, unknown>, name: string, fallback: number): number {
  const value = config[name] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    invalid(`${name} is ${show(value)}, not a whole number.`);
  return value;
}

/**
 * Scalings and caps of Gemma 2 and 3.
 *
 * Edge cases a cap that is null -> none | embeddings are scaled by the root of hidden_size, rounded to the checkpoint's format as
 *            transformers rounds it: for hidden_size 3072 in bfloat16 by 55.5, which is what the model was trained with
 */
function gemmaNumbers(
  config: Record<string, unknown>,
  hiddenSize: number,
  defaults: GemmaDefaults,
): Pick<
  ModelConfig,
  'query_pre_attn_scalar' | 'attn_logit_softcapping' | 'final_logit_softcapping' | 'embedding_scale'
> {
  const positive = (name: string, fallback: number | undefined): number | undefined => {
    const value = config[name] === undefined ? fallback : config[name];
    if (value === null || value === undefined) return undefined;
    if (typeof value !== 'number' || !(value > 0 && Number.isFinite(value)))
      invalid(`${name} is ${show(value)}, not a positive number.`);
    return value;
  };
  const scalar = positive('query_pre_attn_scalar', defaults.query_pre_attn_scalar);
  if (scalar === undefined) invalid('query_pre_attn_scalar is null, not a positive number.');
  const attention = positive('attn_logit_softcapping', defaults.attn_logit_softcapping);
  const final = positive('final_logit_softcapping', defaults.final_logit_softcapping);
  return {
    query_pre_attn_scalar: scalar,
    ...(attention === undefined ? {} : { attn_logit_softcapping: attention }),
    ...(final === undefined ? {} : { final_logit_softcapping: final }),
    embedding_scale: roundedTo(config['dtype'] ?? config['torch_dtype'], Math.sqrt(hiddenSize)),
  };
}

/** A number as a tensor of the format holds it; f32 for any format but the two halves. */
function roundedTo(format: unknown, value: number): number {
  const dtype = format === 'bfloat16' ? 'BF16' : format === 'float16' ? 'F16' : 'F32';
  return decodeFloats(encodeFloats(Float32Array.of(value), dtype), dtype)[0];
}

/** Frequencies of all blocks, or of those that see the whole row. */
function readRope(
  config: Record<string, unknown>,
  computed: readonly RopeScaling['rope_type'][],
): Pick<ModelConfig, 'rope_theta' | 'rope_scaling'> {
  const all = isObject(config['rope_parameters']) ? config['rope_parameters'] : undefined;
  const own = all?.['full_attention'] ?? all;
  const parameters = isObject(own) ? own : {};
  const fallback = config['model_type'] === 'gemma3_text' ? 1_000_000 : 10_000;
  const rope_theta = base('rope_theta', parameters['rope_theta'] ?? config['rope_theta'] ?? fallback);
  const rope_scaling = parseRopeScaling(own ?? config['rope_parameters'] ?? config['rope_scaling'], computed);
  return { rope_theta, ...(rope_scaling === undefined ? {} : { rope_scaling }) };
}

/** Frequencies of sliding blocks: Gemma 3's have a base of their own and are not stretched. */
function readLocalRope(config: Record<string, unknown>): Pick<ModelConfig, 'rope_local_base_freq'> {
  const all = isObject(config['rope_parameters']) ? config['rope_parameters'] : {};
  const own = isObject(all['sliding_attention']) ? all['sliding_attention'] : {};
  const type = own['rope_type'] ?? 'default';
  if (type !== 'default') unsupported(`rope_parameters.sliding_attention ${show(type)} is not supported; default is.`);
  const stated = own['rope_theta'] ?? config['rope_local_base_freq'] ?? 10_000;
  return { rope_local_base_freq: base('rope_local_base_freq', stated) };
}

function base(name: string, value: unknown): number {
  if (typeof value !== 'number' || !(value > 1 && Number.isFinite(value))) invalid(`${name} is ${show(value)}.`);
  return value;
}

function parseRopeScaling(value: unknown, computed: readonly RopeScaling['rope_type'][]): RopeScaling | undefined {
  if (value === null || value === undefined) return undefined;
  if (!isObject(value)) invalid(`rope_scaling is ${show(value)}.`);
  const type = value['rope_type'] ?? value['type'] ?? 'default';
  if (type === 'default') return undefined;
  const rope_type = computed.find((name) => name === type);
  if (rope_type === undefined)
    unsupported(`rope_scaling ${show(type)} is not supported; ${['default', ...computed].join(', ')} is.`);
  const positive = (name: string): number => {
    const number = value[name];
    if (typeof number !== 'number' || !(number > 0 && Number.isFinite(number)))
      invalid(`rope_scaling.${name} is ${show(number)}.`);
    return number;
  };
  const factor = positive('factor');
  if (rope_type === 'linear') return { rope_type, factor };
  const low_freq_factor = positive('low_freq_factor');
  const high_freq_factor = positive('high_freq_factor');
  if (high_freq_factor <= low_freq_factor) invalid('rope_scaling.high_freq_factor is not over low_freq_factor.');
  const original_max_position_embeddings = positive('original_max_position_embeddings');
  return { rope_type, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings };
}

function checkQuantization(value: unknown): void {
  if (value === null || value === undefined) return;
  if (
    !isObject(value) ||
    value['quant_method'] !== 'bitsandbytes' ||
    value['load_in_4bit'] !== true ||
    value['bnb_4bit_quant_type'] !== 'nf4'
  ) {
    const method = isObject(value)
      ? [value['quant_method'], value['bnb_4bit_quant_type']].map(show).join(' ')
      : show(value);
    unsupported(`Quantization ${method} is not supported; unquantized weights and bitsandbytes NF4 are.`);
  }
}

/** Names and shapes of a model's tensors. */
export function expectedTensors(config: ModelConfig): ReadonlyMap<string, readonly number[]> {
  const { hidden_size, vocab_size, head_dim } = config;
  const architecture = architectureOf(config);
  const tensors = new Map<string, readonly number[]>([
    ['model.embed_tokens.weight', [vocab_size, hidden_size]],
    ['model.norm.weight', [hidden_size]],
  ]);
  if (!config.tie_word_embeddings) tensors.set('lm_head.weight', [vocab_size, hidden_size]);
  for (let block = 0; block < config.num_hidden_layers; block++) {
    const prefix = `model.layers.${block}`;
    for (const name of normNames(architecture)) tensors.set(`${prefix}.${name}.weight`, [hidden_size]);
    for (const [name, parent] of linearLayers) {
      const [outFeatures, inFeatures] = linearShape(config, name);
      tensors.set(`${prefix}.${parent}.${name}.weight`, [outFeatures, inFeatures]);
      if (architecture.biased.includes(name)) tensors.set(`${prefix}.${parent}.${name}.bias`, [outFeatures]);
    }
    if (architecture.normalizesHeads) {
      tensors.set(`${prefix}.self_attn.q_norm.weight`, [head_dim]);
      tensors.set(`${prefix}.self_attn.k_norm.weight`, [head_dim]);
    }
  }
  return tensors;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return value === undefined ? 'absent' : JSON.stringify(value);
}

function invalid(message: string): never {
  throw new FedloraError('base-model/invalid', message, { where: 'config.json' });
}

function unsupported(message: string): never {
  throw new FedloraError('base-model/unsupported', message);
}
