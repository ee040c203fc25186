/** How everybody trains who trains without a federation, and so without noise: the base's warm start, and each organisation alone. */

export const TOKENS_PER_BATCH = 8192;

export const TRAINING_ALONE = {
  trained: 'both',
  init: 'kaiming',
  accumulation: 1,
  schedule: 'linear',
  warmupRatio: 0.03,
  weightDecay: 0,
  maximumGradientNorm: 1,
  optim: 'adamw',
  tokensPerBatch: TOKENS_PER_BATCH,
} as const;
