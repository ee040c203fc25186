/**
 * Small base models whose weights follow from a seed, so that known answers about them need no file.
 *
 * The same generator is in test/fixtures/engine/make_fixtures.py, which computes the answers with transformers and peft.
 */

import { linearLayers, linearShape } from '@fedlora/shared';
import type { AdapterValues, LoraModule } from '../engine.js';
import { architectureOf, normNames } from '../weights/architecture.js';
import type { BaseModel, ModelConfig } from '../weights/base-model.js';

/** x -> 1664525 x + 1013904223 mod 2^32; a value is the upper 24 bits, as a fraction in [-1, 1). Not for secrets. */
export class KnownValues {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  values(count: number, spread: number, centre = 0): Float32Array {
    return Float32Array.from({ length: count }, () => {
      this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
      return centre + spread * ((this.#state >>> 8) / 2 ** 23 - 1);
    });
  }
}

/** The base model of a seed, and the generator as it stands after it, from which an adapter may be drawn. */
export function knownModel(
  config: ModelConfig,
  seed: number,
): { readonly base: BaseModel; readonly values: KnownValues } {
  const values = new KnownValues(seed);
  const { hidden_size: D, vocab_size: V } = config;
  const architecture = architectureOf(config);
  const norm = (count: number): Float32Array => values.values(count, 0.3, 1 - architecture.normOffset);
  const tensors = new Map<string, Float32Array>();
  tensors.set('model.embed_tokens.weight', values.values(V * D, 1));
  tensors.set('model.norm.weight', norm(D));
  if (!config.tie_word_embeddings) tensors.set('lm_head.weight', values.values(V * D, 0.5));
  for (let block = 0; block < config.num_hidden_layers; block++) {
    const prefix = `model.layers.${block}.`;
    for (const name of normNames(architecture)) tensors.set(`${prefix}${name}.weight`, norm(D));
    for (const [name, parent] of linearLayers) {
      const [outFeatures, inFeatures] = linearShape(config, name);
      tensors.set(
        `${prefix}${parent}.${name}.weight`,
        values.values(outFeatures * inFeatures, 2 / Math.sqrt(inFeatures)),
      );
      if (architecture.biased.includes(name))
        tensors.set(`${prefix}${parent}.${name}.bias`, values.values(outFeatures, 0.5));
    }
    if (architecture.normalizesHeads) {
      tensors.set(`${prefix}self_attn.q_norm.weight`, norm(config.head_dim));
      tensors.set(`${prefix}self_attn.k_norm.weight`, norm(config.head_dim));
    }
  }
  const base: BaseModel = {
    config,
    directory: 'generated',
    digest: '',
    has: (name) => tensors.has(name),
    async tensor(name, shape) {
      const tensor = tensors.get(name);
      const count = shape.reduce((product, size) => product * size, 1);
      if (tensor === undefined || tensor.length !== count)
        throw new Error(`A known model has no ${name} of ${count} values.`);
      return tensor;
    },
  };
  return { base, values };
}

/** An adapter drawn from a generator, module by module, A before B. */
export function knownAdapter(values: KnownValues, modules: readonly LoraModule[], r: number): AdapterValues {
  return {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: values.values(r * inFeatures, 1 / Math.sqrt(inFeatures)),
      B: values.values(outFeatures * r, 0.2),
    })),
  };
}
