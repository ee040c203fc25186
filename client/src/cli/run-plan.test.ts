import type { Manifest } from '@fedlora/protocol';
import type { PlanProblem, RunForecast } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { planLines } from './run-plan.js';

const manifest = {
  title: 'A run',
  rounds: 120,
  base: { name: 'tiny' },
  privacy: { unit: 'record', delta: 1e-5 },
} as Manifest;

const plan: RunForecast = {
  manifest,
  members: Array.from({ length: 20 }, (_, i) => `organisation-${i}`),
  threshold: 11,
  minimumContributors: 12,
  dropoutsSurvived: 8,
  bytesUpPerRound: 12_345_678,
  bytesUpInAll: 1_481_481_360,
  epsilonCurve: Array.from({ length: 41 }, (_, i) => ({ rounds: 3 * i, epsilon: i === 40 ? null : i / 4 })),
  otherNoise: [
    { noiseMultiplier: 0.8, curve: [{ rounds: 120, epsilon: 12.34 }] },
    { noiseMultiplier: 1.25, curve: [{ rounds: 120, epsilon: null }] },
  ],
  caps: [
    { epsilon: 8, rounds: 96, noiseMultiplier: 0.71231 },
    { epsilon: 1000, rounds: null, noiseMultiplier: null },
  ],
  organisations: [
    { name: 'organisation-3', epsilonCap: 4, spentEpsilon: 3.21, rounds: 17 },
    { name: 'organisation-7', epsilonCap: 8, spentEpsilon: null, rounds: 0 },
  ],
  noise: { perCoordinate: 0.001234, leastNoiseToSignal: 12.345 },
  memory: {
    totalBytes: 3_250_000_000,
    leastBytes: 1_900_000_000,
    parts: [
      { kind: 'codes', title: 'linear weights, NF4 codes', bytes: 2_400_000_000 },
      { kind: 'adapter', title: 'adapter', bytes: 850_000_000 },
    ],
    countsVocabulary: true,
    rowTokens: 512,
  },
};

describe('a plan for people', () => {
  it('says every number with what it is about, in at most 100 columns', () => {
    const lines = planLines({ problems: [], plan });
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
    const text = lines.join('\n');
    expect(text.replaceAll(/\s+/g, ' ')).toContain('12 contributions to a sum; a round survives 8 dropouts');
    expect(text).toContain('12.3 MB a round, 1.48 GB in all');
    expect(text).toContain('0.00123 of the clip per value; noise to signal at least 12.3');
    expect(text.replaceAll(/\s+/g, ' ')).toContain(
      '3.25 GB with the base as NF4 and rows of 512 tokens, slower from 1.9 GB: linear weights, NF4 codes 2.4 GB, adapter 850 MB',
    );
    expect(text).not.toContain('not counted');
    expect(text.replaceAll(/\s+/g, ' ')).toContain(
      'Budget of organisation-3 17 rounds are left: it declares a cap of 4, of which 3.21 is spent',
    );
    expect(text.replaceAll(/\s+/g, ' ')).toContain('of which more than can be counted is spent');
    expect(text).toMatch(/Noise 0\.8 +would spend epsilon 12\.3 in all 120 rounds/);
    expect(text).toMatch(/Noise 1\.25 +would spend epsilon beyond counting/);
    // Rounded up: 0.7123 would be too little noise.
    expect(text).toContain('96 rounds fit; for all 120, noiseMultiplier 0.7124 is enough');
    expect(text).toContain('any number of rounds fits; for all 120, no noise is enough');
    const curve = lines.slice(-10);
    expect(curve[0]).toBe(`        12           1  ${'#'.repeat(6)}`);
    expect(curve[8]).toBe(`       108           9  ${'#'.repeat(50)}`);
    expect(curve[9]).toBe('       120   uncounted');
  });

  it('says what of the memory it could not count', () => {
    const lines = planLines({ problems: [], plan: { ...plan, memory: { ...plan.memory, countsVocabulary: false } } });
    expect(lines.join(' ').replaceAll(/\s+/g, ' ')).toContain(
      'base.shape.vocab_size is absent: embedding, head and logits are not counted',
    );
  });

  it('tells each problem with its field, remedy and code, and nothing else where there is no plan', () => {
    const problem: PlanProblem = {
      field: 'privacy.delta',
      code: 'manifest/invalid',
      message: 'must be between 0 and 1.',
      remedy: `Take ${'a positive number, '.repeat(8)}such as 1e-6.`,
      severity: 'error',
    };
    const lines = planLines({ problems: [problem, { ...problem, field: null, severity: 'advice' }], plan: null });
    expect(lines[0]).toBe('Wrong: privacy.delta: must be between 0 and 1.');
    expect(lines.slice(1, 3).join(' ').replace(/\s+/g, ' ')).toBe(` ${problem.remedy} [manifest/invalid]`);
    expect(lines).toContain('Advice: must be between 0 and 1.');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
  });
});
