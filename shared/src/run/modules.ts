/** Which linear layers of a base model are adapted, and their shapes. */

import type { AdaptedModule } from '@fedlora/protocol';

/** The shape parameters this needs, under Hugging Face's names. */
export interface ShapeConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim?: number | undefined;
}

/** The linear layers of one block, in layout order, with the submodule that holds them. */
export const linearLayers = [
  ['q_proj', 'self_attn'],
  ['k_proj', 'self_attn'],
  ['v_proj', 'self_attn'],
  ['o_proj', 'self_attn'],
  ['gate_proj', 'mlp'],
  ['up_proj', 'mlp'],
  ['down_proj', 'mlp'],
] as const;

export type LinearName = (typeof linearLayers)[number][0];

/** Shape [out, in] of a linear layer. */
export function linearShape(config: ShapeConfig, name: LinearName): readonly [outFeatures: number, inFeatures: number] {
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const queries = config.num_attention_heads * headDim;
  const keys = config.num_key_value_heads * headDim;
  switch (name) {
    case 'q_proj':
      return [queries, config.hidden_size];
    case 'k_proj':
    case 'v_proj':
      return [keys, config.hidden_size];
    case 'o_proj':
      return [config.hidden_size, queries];
    case 'gate_proj':
    case 'up_proj':
      return [config.intermediate_size, config.hidden_size];
    case 'down_proj':
      return [config.hidden_size, config.intermediate_size];
    default:
      return name satisfies never;
  }
}

/** Expands `all-linear` and returns the known names in layout order, or the names that are unknown. */
export function expandTargetModules(
  targets: readonly string[],
): { readonly names: readonly LinearName[] } | { readonly unknown: readonly string[] } {
  const known = linearLayers.map(([name]) => name);
  const asked = targets.includes('all-linear') ? known : targets;
  const unknown = asked.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length > 0) return { unknown };
  return { names: known.filter((name) => asked.includes(name)) };
}

/** The adapted modules of a base model, in layout order: by block, then q, k, v, o, gate, up, down. */
export function adaptedModules(config: ShapeConfig, names: readonly LinearName[]): AdaptedModule[] {
  const modules: AdaptedModule[] = [];
  for (let block = 0; block < config.num_hidden_layers; block += 1) {
    for (const [name, parent] of linearLayers) {
      if (!names.includes(name)) continue;
      const [outFeatures, inFeatures] = linearShape(config, name);
      modules.push({ name: `base_model.model.model.layers.${block}.${parent}.${name}`, inFeatures, outFeatures });
    }
  }
  return modules;
}
