/** Descriptions of runs that nobody computes: organisations without an engine take part in them. */

/** A base model of one block, which is on no disk. */
export const tinyBase = {
  name: 'tiny',
  digest: 'b'.repeat(64),
  shape: {
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 2,
  },
};

/** A run of two rounds without noise. */
export const plainRun = {
  title: 'A run',
  rounds: 2,
  base: tinyBase,
  adapter: { rule: 'ffa-svd', r: 4, lora_alpha: 8, target_modules: ['q_proj'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 64 },
  privacy: { unit: 'none', l2Bound: 1, noiseMultiplier: 0, delta: 0, assumedColluders: 1 },
  training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
  server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
};

/** A run of five rounds that protects single records, with noise. */
export const privateRun = {
  ...plainRun,
  rounds: 5,
  privacy: { unit: 'record', l2Bound: 1, noiseMultiplier: 1, delta: 1e-5, assumedColluders: 1 },
  training: { kind: 'record-step', samplingRate: 0.05, expectedRecords: 30, maximumRecords: 50 },
  server: { kind: 'adam', learningRate: 0.01, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
};

/** Of three rounds, and of four organisations of which three must answer. */
export const runOfFour = {
  ...plainRun,
  rounds: 3,
  privacy: { ...plainRun.privacy, minimumContributors: 3 },
  threshold: 3,
};
