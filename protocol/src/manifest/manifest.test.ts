import { describe, expect, it } from 'vitest';
import { aLocalManifest, aManifest, someLocalRecordSteps } from '../../../test/support/a-manifest.js';
import { boundWithMetrics } from '../update/metrics.js';
import {
  aggregationRules,
  checkManifest,
  roundCharge,
  roundLength,
  serverDivisor,
  shareStddevInSteps,
  stepStddevInSteps,
  trainedFactor,
  unitBound,
  type AggregationRule,
  type Manifest,
} from './manifest.js';

/** The terms with one field, named by its path, replaced or, for `undefined`, left out. */
function changed(path: string, value: unknown, terms = aManifest()): Manifest {
  const manifest = structuredClone(terms);
  const names = path.split('.');
  const last = names.pop()!;
  let holder = manifest as unknown as Record<string, unknown>;
  for (const name of names) holder = holder[name] as Record<string, unknown>;
  if (value === undefined) delete holder[last];
  else holder[last] = value;
  return manifest;
}

/** Every path of the terms that holds a value, and every part. */
function paths(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [prefix];
  const inner = Object.entries(value).flatMap(([name, one]) => paths(one, prefix === '' ? name : `${prefix}.${name}`));
  return prefix === '' ? inner : [prefix, ...inner];
}

const refused = expect.objectContaining({ code: 'manifest/invalid' });

describe('checkManifest', () => {
  it('accepts honest terms', () => {
    expect(() => checkManifest(aManifest(), 3)).not.toThrow();
    const none = { ...aManifest().privacy, unit: 'none', noiseMultiplier: 0, delta: 0 } as const;
    expect(() => checkManifest(aManifest({ privacy: none }), 3)).not.toThrow();
  });

  it.each([null, undefined, 7, 'terms', []])('attack: %j instead of terms', (value) => {
    expect(() => checkManifest(value as unknown as Manifest, 3)).toThrowError(refused);
  });

  describe.each(paths(aManifest()))('attack: terms whose %s', (path) => {
    it.each([
      ['is missing', undefined],
      ['is null', null],
      ['is a text that reads as a number', '0.5'],
      ['is an object', {}],
      ['is a list', []],
      ['is a boolean', true],
      ['is a negative number', -1],
    ])('%s', (_name, value) => {
      // These are texts of free content.
      if (typeof value === 'string' && ['runId', 'title', 'base.name'].includes(path)) return;
      expect(() => checkManifest(changed(path, value), 3)).toThrowError(refused);
    });
  });

  it.each([
    ['privacy.unit', 'row'],
    ['adapter.rule', 'sum'],
    ['training.kind', 'epoch'],
    ['data.format', 'chat'],
    ['data.template', 'chat'],
    ['data.template', 'plain'],
    ['data', { format: 'text', template: 'alpaca', maximumLength: 64 }],
    ['data', { format: 'messages', template: 'chat', maximumLength: 64 }],
    ['data', { format: 'messages', template: ['a'.repeat(64)], maximumLength: 64 }],
    ['server.kind', 'lion'],
    ['runId', 'r'.repeat(81)],
    ['title', 't'.repeat(301)],
    ['adapter.targetModules', [7]],
    ['adapter.modules', [null]],
    ['training.samplingRate', 1.1],
    ['privacy.delta', 1],
    ['encoding.ringBits', 64],
    // With these one record would do more to the numbers of others than ARITHMETIC_SLACK allows.
    ['metrics.weight', 0.126],
    ['metrics.lossBound', 0.99],
    ['metrics.clipping', 7],
    ['metrics.clipping', { quantile: 1.1, learningRate: 1 }],
    ['metrics.clipping', { quantile: 0.5, learningRate: '1' }],
    ['metrics.evaluation', null],
    ['metrics.evaluation', {}],
    ['metrics.evaluation', { fraction: 0 }],
    ['metrics.evaluation', { fraction: 0.51 }],
  ])('attack: terms whose %s is %j', (path, value) => {
    expect(() => checkManifest(changed(path, value), 3)).toThrowError(refused);
  });

  it.each([NaN, -1, '0', undefined])('attack: no privacy and a delta of %s, which the ledger would hold', (delta) => {
    const none = { ...aManifest().privacy, unit: 'none', noiseMultiplier: 0, delta } as Manifest['privacy'];
    expect(() => checkManifest(aManifest({ privacy: none }), 3)).toThrowError(refused);
  });
});

describe('the terms of an aggregation rule', () => {
  const modules = [
    { name: 'a', inFeatures: 7, outFeatures: 5 },
    { name: 'b', inFeatures: 3, outFeatures: 11 },
  ];
  const withRule = (rule: AggregationRule, changes: Partial<Manifest['adapter']> = {}): Manifest => {
    const frozen = rule === 'fed-sb' ? { frozenDigest: 'f'.repeat(64) } : {};
    return aManifest({ adapter: { ...aManifest().adapter, r: 3, modules, rule, ...frozen, ...changes } });
  };

  it.each([
    ['ffa-svd', ['B', 'B', 'B'], 3 * (5 + 11)],
    ['alternate', ['B', 'A', 'B'], 3 * (5 + 11)],
    ['fedavg', ['both', 'both', 'both'], 3 * (7 + 5 + 3 + 11)],
    ['fed-sb', ['R', 'R', 'R'], 2 * 9],
  ] as const)('%s trains %j, in a first vector of %i values beside two metrics', (rule, trained, length) => {
    const manifest = withRule(rule);
    expect(() => checkManifest(manifest, 3)).not.toThrow();
    expect([0, 1, 2].map((completed) => trainedFactor(manifest, completed))).toEqual(trained);
    expect(roundLength(manifest, trained[0])).toBe(length + 2);
  });

  it.each([
    ['without the digest of its frozen factors', { frozenDigest: undefined }],
    ['with something else for a digest', { frozenDigest: 'F'.repeat(64) }],
    ['that re-bases', { rebaseEvery: 5 }],
    ['whose r is more than a layer has inputs', { r: 4 }],
    ['whose r is more than a layer has outputs', { r: 6, modules: [{ name: 'a', inFeatures: 7, outFeatures: 5 }] }],
  ])('attack: fed-sb %s', (_name, changes) => {
    expect(() => checkManifest(withRule('fed-sb', changes as Partial<Manifest['adapter']>), 3)).toThrowError(refused);
  });

  it.each(aggregationRules.filter((rule) => rule !== 'fed-sb'))('attack: %s with a digest it does not have', (rule) => {
    expect(() => checkManifest(withRule(rule, { frozenDigest: 'f'.repeat(64) }), 3)).toThrowError(refused);
  });
});

describe('terms that release numbers beside the update', () => {
  const metrics = {
    ...aManifest().metrics,
    clipping: { quantile: 0.5, learningRate: 1 },
    evaluation: { fraction: 0.2 },
  };
  const more = aManifest({ metrics });
  const local = { kind: 'local-steps', steps: 2, batchSize: 4, learningRate: 0.01, maximumGradientNorm: 1 } as const;

  it('are accepted, and lengthen the vector', () => {
    expect(() => checkManifest(more, 3)).not.toThrow();
    expect(roundLength(more, 'B')).toBe(roundLength(aManifest(), 'B') + 4);
  });

  it('have a noise that covers the numbers, and are charged the same multiple of it', () => {
    expect(unitBound(more)).toBe(boundWithMetrics({ kind: 'record', l2Bound: 1 }, metrics));
    expect(shareStddevInSteps(more, 'B')).toBeGreaterThan(shareStddevInSteps(aManifest(), 'B'));
    const ofUpdates = aManifest({ metrics, training: local, privacy: { ...more.privacy, unit: 'client' } });
    expect(unitBound(ofUpdates)).toBe(boundWithMetrics({ kind: 'update', l2Bound: 1 }, metrics));
    expect(unitBound(ofUpdates)).toBeGreaterThan(unitBound(more));
    expect(roundCharge(more)).toEqual(roundCharge(aManifest()));
  });

  it('divide the sum of gradients by the records that are expected to be trained on', () => {
    expect(serverDivisor(aManifest())).toBe(12);
    expect(serverDivisor(more)).toBeCloseTo(9.6, 12);
    expect(serverDivisor(aManifest({ metrics, training: local }))).toBe(3);
  });
});

describe('terms of unit "record-local"', () => {
  it('are accepted, divide by the fewest updates, and are charged all steps of a round', () => {
    expect(() => checkManifest(aLocalManifest(), 3)).not.toThrow();
    expect(() => checkManifest(aLocalManifest({ optimizer: 'adamw' }), 3)).not.toThrow();
    expect(serverDivisor(aLocalManifest())).toBe(3);
    expect(roundCharge(aLocalManifest({ steps: 7 }))).toEqual({ noiseMultiplier: 0.8, samplingRate: 0.02, steps: 7 });
  });

  it('have a noise on each step that is all of the multiplier times the rounded sensitivity, at the scale of steps', () => {
    const sensitivity = 2 ** 18 * Math.sqrt(1 + 2 * 0.1 ** 2) * (1 + 1 / 512) + Math.sqrt(2 * 8 + 2);
    expect(stepStddevInSteps(aLocalManifest(), 'B') / (0.8 * sensitivity)).toBeCloseTo(1, 14);
    expect(shareStddevInSteps(aLocalManifest(), 'B')).toBe(0);
  });

  it('cost and are noised the same whoever is assumed to collude and however few contribute, unlike shared noise', () => {
    const few = { assumedColluders: 1, minimumContributors: 4 };
    const many = { assumedColluders: 3, minimumContributors: 5 };
    const aggregation = { ...aManifest().aggregation, threshold: 4 };
    const local = [few, many].map((terms) =>
      aLocalManifest({}, { aggregation, privacy: { ...aLocalManifest().privacy, ...terms } }),
    );
    const shared = [few, many].map((terms) =>
      aManifest({ aggregation, privacy: { ...aManifest().privacy, ...terms } }),
    );
    expect(stepStddevInSteps(local[0], 'B')).toBe(stepStddevInSteps(local[1], 'B'));
    expect(roundCharge(local[0])).toEqual(roundCharge(local[1]));
    expect(shareStddevInSteps(shared[0], 'B')).not.toBe(shareStddevInSteps(shared[1], 'B'));
  });

  it.each([
    ['record', someLocalRecordSteps],
    ['client', someLocalRecordSteps],
    ['none', someLocalRecordSteps],
    ['record-local', aManifest().training],
    [
      'record-local',
      { kind: 'local-steps', steps: 2, batchSize: 4, learningRate: 0.01, maximumGradientNorm: 1 } as const,
    ],
  ] as const)('attack: unit %s with %j', (unit, training) => {
    const noiseMultiplier = unit === 'none' ? 0 : 0.8;
    const privacy = { ...aManifest().privacy, unit, noiseMultiplier };
    expect(() => checkManifest(aManifest({ privacy, training }), 3)).toThrowError(refused);
  });

  describe.each(paths(someLocalRecordSteps))('attack: terms whose training.%s', (path) => {
    it.each([undefined, null, '0.5', {}, [], true, -1, 0, NaN, Infinity])('is %j', (value) => {
      expect(() => checkManifest(changed(`training.${path}`, value, aLocalManifest()), 3)).toThrowError(refused);
    });
  });

  const refusal = (manifest: Manifest): unknown => {
    try {
      checkManifest(manifest, 3);
      return undefined;
    } catch (error) {
      return (error as { details: { field: string } }).details.field;
    }
  };

  it('are refused where a step could wrap, or its noise is too narrow for whole numbers', () => {
    // 60 records of 1.012 and 8 deviations of 0.81 at a scale of 2^24 fit 2^31; at twice that they do not.
    expect(refusal(aLocalManifest({ stepsPerUnit: 2 ** 24 }))).toBeUndefined();
    expect(refusal(aLocalManifest({ stepsPerUnit: 2 ** 25 }))).toBe('training.stepsPerUnit');
    // 0.8 (2^s 1.012 + sqrt(18)): 6.6 and 9.9 steps.
    expect(refusal(aLocalManifest({ stepsPerUnit: 4 }))).toBe('training.stepsPerUnit');
    expect(refusal(aLocalManifest({ stepsPerUnit: 8 }))).toBeUndefined();
    expect(refusal(aLocalManifest({ stepsPerUnit: 3 }))).toBe('training.stepsPerUnit');
  });

  it('are refused where the sum of released updates could wrap, whatever the records are clipped to', () => {
    // 3 (2^16 sqrt(2) U + 1) <= 2^31 up to U = 7723.
    expect(refusal(aLocalManifest({ updateBound: 7700 }))).toBeUndefined();
    expect(refusal(aLocalManifest({ updateBound: 7750 }))).toBe('encoding.stepsPerUnit');
  });
});
