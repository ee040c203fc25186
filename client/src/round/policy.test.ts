import type { Manifest } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import { aLocalManifest, aManifest } from '../../../test/support/a-manifest.js';
import { judge, refuse, type Outlook, type PolicyTerms } from './policy.js';

const policy: PolicyTerms = {
  epsilonCap: 4,
  epsilonCapPerPeriod: undefined,
  periodDays: 30,
  maximumDelta: 1e-5,
  requireDifferentialPrivacy: true,
  allowedUnits: ['record', 'client'],
  minimumContributors: 3,
  leastThreshold: 3,
  leastAssumedColluders: 1,
  maximumSamplingRate: 0.05,
  maximumL2Bound: 2,
  evaluation: 'with-noise',
  allowedBases: ['b'.repeat(64)],
  approval: 'automatic',
  hours: { windows: [], timeZone: undefined },
  unrelatedDatasets: [],
  canaries: 'never',
  gpuHoursPerPeriod: undefined,
  declareBudget: false,
};

const manifest = aManifest();
const { privacy, training, aggregation } = manifest;
if (training.kind !== 'record-step') throw new Error('The fixture is a record step.');

const ownNoise = aLocalManifest();
const owningNoise: PolicyTerms = { ...policy, allowedUnits: ['record-local'] };
const withoutNoise = { ...privacy, unit: 'none', noiseMultiplier: 0 } as const;
const allowingNone = { requireDifferentialPrivacy: false, allowedUnits: ['none'] as const };
const measuring = (terms: Manifest['privacy']): Manifest =>
  aManifest({ privacy: terms, metrics: { ...manifest.metrics, evaluation: { fraction: 0.1 } } });

const outlookAt = (epsilon: number, changes: Partial<Outlook> = {}): Outlook => ({
  epsilon,
  epsilonInPeriod: epsilon,
  isApproved: false,
  ...changes,
});

describe('refuse', () => {
  it.each([
    ['terms within every limit', policy, manifest, 3.9, undefined],
    ['a round that ends exactly at the cap', policy, manifest, 4, undefined],
    ['records under their organisation’s own noise', owningNoise, ownNoise, 3.9, undefined],
    ['the same, where the owner allows shared noise only', policy, ownNoise, 3.9, 'policy/unit-not-allowed'],
    [
      'the same, with more records in a step than the owner allows',
      { ...owningNoise, maximumSamplingRate: 0.01 },
      ownNoise,
      3.9,
      'policy/sampling-rate-too-high',
    ],
    ['the same, past the cap', owningNoise, ownNoise, 4.0001, 'policy/epsilon-cap'],
    ['a round past the cap', policy, manifest, 4.0001, 'policy/epsilon-cap'],
    ['an epsilon that could not be computed', policy, manifest, Number.NaN, 'policy/epsilon-cap'],
    ['a data set whose promise is gone', policy, manifest, Infinity, 'policy/epsilon-cap'],
    [
      'another base model',
      policy,
      aManifest({ base: { name: 'x', digest: 'c'.repeat(64) } }),
      1,
      'policy/base-not-allowed',
    ],
    ['any base model, where none is allowed', { ...policy, allowedBases: [] }, manifest, 1, 'policy/base-not-allowed'],
    [
      'another base model, where any is allowed',
      { ...policy, allowedBases: ['*'] },
      aManifest({ base: { name: 'x', digest: 'c'.repeat(64) } }),
      1,
      undefined,
    ],
    [
      'no differential privacy',
      policy,
      aManifest({ privacy: { ...privacy, unit: 'none', noiseMultiplier: 0 } }),
      Infinity,
      'policy/no-differential-privacy',
    ],
    [
      'no differential privacy, which the owner dropped in one place only',
      { ...policy, requireDifferentialPrivacy: false },
      aManifest({ privacy: { ...privacy, unit: 'none', noiseMultiplier: 0 } }),
      Infinity,
      'policy/unit-not-allowed',
    ],
    [
      'no differential privacy, which the owner allowed by name',
      { ...policy, requireDifferentialPrivacy: false, allowedUnits: ['none'] as const },
      aManifest({ privacy: { ...privacy, unit: 'none', noiseMultiplier: 0 } }),
      Infinity,
      undefined,
    ],
    [
      'a unit that is not allowed',
      { ...policy, allowedUnits: ['client'] as const },
      manifest,
      1,
      'policy/unit-not-allowed',
    ],
    [
      'a delta at which epsilon would promise little, for unit "record"',
      policy,
      aManifest({ privacy: { ...privacy, delta: 1.1e-5 } }),
      1,
      'policy/delta-too-large',
    ],
    [
      'a delta at which epsilon would promise little, for unit "client"',
      policy,
      aManifest({ privacy: { ...privacy, unit: 'client', delta: 0.5 } }),
      1,
      'policy/delta-too-large',
    ],
    [
      'too few contributors',
      policy,
      aManifest({ privacy: { ...privacy, minimumContributors: 2 } }),
      1,
      'policy/too-few-contributors',
    ],
    [
      'a threshold below the owner’s',
      policy,
      aManifest({ aggregation: { ...aggregation, threshold: 2 } }),
      1,
      'policy/threshold-too-low',
    ],
    [
      'sampling more often than allowed',
      policy,
      aManifest({ training: { ...training, samplingRate: 0.051 } }),
      1,
      'policy/sampling-rate-too-high',
    ],
    [
      'a larger clipping bound',
      policy,
      aManifest({ privacy: { ...privacy, l2Bound: 2.1 } }),
      1,
      'policy/bound-too-large',
    ],
    [
      'any clipping bound, where none is set',
      { ...policy, maximumL2Bound: undefined },
      aManifest({ privacy: { ...privacy, l2Bound: 99 } }),
      1,
      undefined,
    ],
    [
      'noise that counts on more honest members than the owner does',
      policy,
      aManifest({ privacy: { ...privacy, assumedColluders: 0 } }),
      1,
      'policy/too-few-colluders-assumed',
    ],
    ['measuring held-out rows under noise', policy, measuring(privacy), 1, undefined],
    [
      'measuring held-out rows, where no run may',
      { ...policy, evaluation: 'never' as const },
      measuring(privacy),
      1,
      'policy/evaluation-not-allowed',
    ],
    [
      'measuring held-out rows without noise, where only noise allows it',
      { ...policy, ...allowingNone },
      measuring(withoutNoise),
      Infinity,
      'policy/evaluation-not-allowed',
    ],
    [
      'measuring held-out rows without noise, which the owner allowed by name',
      { ...policy, ...allowingNone, evaluation: 'always' as const },
      measuring(withoutNoise),
      Infinity,
      undefined,
    ],
  ])('%s', (_name, terms, offered, projected, code) => {
    expect(refuse(terms, offered, outlookAt(projected))).toBe(code);
  });

  it('holds the cap of a period besides that of all time', () => {
    const limited: PolicyTerms = { ...policy, epsilonCapPerPeriod: 1 };
    expect(refuse(limited, manifest, outlookAt(3.9, { epsilonInPeriod: 1 }))).toBeUndefined();
    expect(refuse(limited, manifest, outlookAt(3.9, { epsilonInPeriod: 1.001 }))).toBe('policy/epsilon-cap-of-period');
    expect(refuse(limited, manifest, outlookAt(3.9, { epsilonInPeriod: Number.NaN }))).toBe(
      'policy/epsilon-cap-of-period',
    );
    expect(refuse(limited, manifest, outlookAt(4.1, { epsilonInPeriod: 0.1 }))).toBe('policy/epsilon-cap');
  });

  it('waits for the owner where each manifest needs its approval, and asks for none where it would decline anyway', () => {
    const careful: PolicyTerms = { ...policy, approval: 'each-manifest' };
    expect(refuse(careful, manifest, outlookAt(1))).toBe('policy/awaiting-approval');
    expect(refuse(careful, manifest, outlookAt(1, { isApproved: true }))).toBeUndefined();
    expect(refuse(careful, manifest, outlookAt(9, { isApproved: true }))).toBe('policy/epsilon-cap');
  });
});

describe('judge', () => {
  it('gives every rule with what was asked and what is allowed, also after the first that is broken', () => {
    const asked = aManifest({
      base: { name: 'x', digest: 'c'.repeat(64) },
      privacy: { ...privacy, delta: 1e-3 },
      metrics: { ...manifest.metrics, evaluation: { fraction: 0.1 } },
    });
    const verdicts = judge(policy, asked, outlookAt(5));
    expect(verdicts.filter(({ isKept }) => !isKept).map(({ rule, asked, allowed }) => [rule, asked, allowed])).toEqual([
      ['allowedBases', 'x (cccccccccccc…)', '1 by digest'],
      ['maximumDelta', '0.001', 'at most 0.00001'],
      ['epsilonCap', '5', 'at most 4'],
    ]);
    expect(verdicts.filter(({ isKept }) => isKept).map(({ rule }) => rule)).toEqual([
      'requireDifferentialPrivacy',
      'allowedUnits',
      'minimumContributors',
      'leastThreshold',
      'leastAssumedColluders',
      'maximumSamplingRate',
      'maximumL2Bound',
      'evaluation',
    ]);
  });
});
