/** A valid manifest for tests, with changes. */

import type { LocalRecordSteps, Manifest } from '@fedlora/protocol';

export function aManifest(changes: Partial<Manifest> = {}): Manifest {
  return {
    version: 1,
    runId: 'run-1',
    title: 'A run',
    rounds: 10,
    base: { name: 'tiny', digest: 'b'.repeat(64) },
    adapter: {
      rule: 'ffa-svd',
      r: 2,
      loraAlpha: 4,
      targetModules: ['q_proj'],
      modules: [{ name: 'base_model.model.model.layers.0.self_attn.q_proj', inFeatures: 8, outFeatures: 8 }],
      rebaseEvery: 0,
    },
    data: { format: 'alpaca', template: 'alpaca', maximumLength: 64 },
    training: { kind: 'record-step', samplingRate: 0.02, expectedRecords: 12, maximumRecords: 60 },
    privacy: {
      unit: 'record',
      l2Bound: 1,
      noiseMultiplier: 0.8,
      delta: 1e-5,
      assumedColluders: 1,
      minimumContributors: 3,
    },
    metrics: { weight: 0.1, lossBound: 8 },
    encoding: { ringBits: 32, stepsPerUnit: 2 ** 16 },
    aggregation: {
      threshold: 3,
      deadlinesMs: { advertising: 5000, sharing: 5000, training: 5000, checking: 5000, unmasking: 5000 },
    },
    server: { kind: 'adam', learningRate: 0.02, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
    rosterHash: '0'.repeat(64),
    ...changes,
  };
}

/** Steps at home for such a manifest. */
export const someLocalRecordSteps: LocalRecordSteps = {
  kind: 'local-record-steps',
  steps: 3,
  samplingRate: 0.02,
  expectedRecords: 12,
  maximumRecords: 60,
  optimizer: 'sgd',
  learningRate: 0.1,
  updateBound: 4,
  stepsPerUnit: 2 ** 18,
};

/** The same for unit `record-local`. */
export function aLocalManifest(steps: Partial<LocalRecordSteps> = {}, changes: Partial<Manifest> = {}): Manifest {
  return aManifest({
    training: { ...someLocalRecordSteps, ...steps },
    privacy: { ...aManifest().privacy, unit: 'record-local' },
    ...changes,
  });
}
