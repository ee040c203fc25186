/**
 * A base model's hyper-parameters: read from a config.json, checked, and what they say of its tensors.
 *
 * Guarantee  Every setting that would change the mathematics is known here or refused.
 */

import { FedloraError, linearLayers, linearShape } from '@fedlora/shared';
import type { ModelConfig, OpenOptions, RopeScaling } from './base-model.js';

const supportedTypes = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;
const SUPPORTED = `supported are ${supportedTypes.join(', ')}`;

/** More than any model here has; a hostile config cannot make the checks below run for ever. */
const MAXIMUM_LAYERS = 1000;

/**
 * Reads and checks a config.json.
 *
 * Edge cases head_dim absent -> hidden_size / num_attention_heads | sliding_window shorter than the context -> the context is
 *            cut to it, within which full attention is the same | rope_theta under rope_parameters (transformers 5) -> read there
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

  only('hidden_act', ['silu', undefined]);
  only('attention_bias', [false, undefined]);
  only('mlp_bias', [false, undefined]);
  only('partial_rotary_factor', [1, undefined]);
  only('use_sliding_window', [false, undefined]);
  only('is_encoder_decoder', [false, undefined]);
  checkQuantization(config['quantization_config']);

  const heads = whole('num_attention_heads');
  const hidden_size = whole('hidden_size');
  const head_dim = whole('head_dim', model_type === 'qwen3' ? 128 : hidden_size / heads);
  const num_key_value_heads = whole('num_key_value_heads', model_type === 'llama' ? heads : undefined);
  if (heads % num_key_value_heads !== 0)
    invalid(`${heads} attention heads do not share ${num_key_value_heads} key-value heads evenly.`);
  if (head_dim % 2 !== 0) invalid(`head_dim ${head_dim} is odd, so that positions cannot turn pairs.`);
  if (whole('num_hidden_layers') > MAXIMUM_LAYERS) invalid(`num_hidden_layers is over ${MAXIMUM_LAYERS}.`);

  const epsilon = config['rms_norm_eps'] ?? 1e-6;
  if (typeof epsilon !== 'number' || !(epsilon > 0 && epsilon < 1)) invalid(`rms_norm_eps is ${show(epsilon)}.`);
  const parameters = isObject(config['rope_parameters']) ? config['rope_parameters'] : {};
  const theta = parameters['rope_theta'] ?? config['rope_theta'] ?? 10_000;
  if (typeof theta !== 'number' || !(theta > 1 && Number.isFinite(theta))) invalid(`rope_theta is ${show(theta)}.`);
  const rope_scaling = parseRopeScaling(config['rope_parameters'] ?? config['rope_scaling'], options.ropeTypes ?? []);

  const tied = config['tie_word_embeddings'] ?? false;
  if (typeof tied !== 'boolean') invalid(`tie_word_embeddings is ${show(tied)}.`);
  const context = whole('max_position_embeddings', model_type === 'llama' ? 2048 : undefined);
  // Qwen names a window but uses it only with use_sliding_window, which is refused above.
  const hasWindow = model_type === 'mistral' && (config['sliding_window'] ?? null) !== null;
  return {
    model_type,
    hidden_size,
    intermediate_size: whole('intermediate_size'),
    num_hidden_layers: whole('num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads,
    head_dim,
    vocab_size: whole('vocab_size'),
    max_position_embeddings: hasWindow ? Math.min(context, whole('sliding_window')) : context,
    rms_norm_eps: epsilon,
    rope_theta: theta,
    ...(rope_scaling === undefined ? {} : { rope_scaling }),
    tie_word_embeddings: tied,
  };
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
  const { hidden_size, vocab_size, head_dim, model_type } = config;
  const tensors = new Map<string, readonly number[]>([
    ['model.embed_tokens.weight', [vocab_size, hidden_size]],
    ['model.norm.weight', [hidden_size]],
  ]);
  if (!config.tie_word_embeddings) tensors.set('lm_head.weight', [vocab_size, hidden_size]);
  for (let block = 0; block < config.num_hidden_layers; block++) {
    const prefix = `model.layers.${block}`;
    tensors.set(`${prefix}.input_layernorm.weight`, [hidden_size]);
    tensors.set(`${prefix}.post_attention_layernorm.weight`, [hidden_size]);
    for (const [name, parent] of linearLayers) {
      const [outFeatures, inFeatures] = linearShape(config, name);
      tensors.set(`${prefix}.${parent}.${name}.weight`, [outFeatures, inFeatures]);
      const hasBias = model_type === 'qwen2' && (name === 'q_proj' || name === 'k_proj' || name === 'v_proj');
      if (hasBias) tensors.set(`${prefix}.${parent}.${name}.bias`, [outFeatures]);
    }
    if (model_type === 'qwen3') {
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
