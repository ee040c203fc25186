import { epsilonFor, type Manifest } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { forecast } from './forecast.js';

const MEMBERS = ['bank', 'clinic', 'council', 'museum'];
const SHAPE = {
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
};
const { adapter, privacy, training } = aManifest();
/** One module of 8 inputs and 32 outputs, at rank 2: B has 64 values and A has 16; two metrics go with either. */
const wide = { ...adapter, modules: [{ name: 'a', inFeatures: 8, outFeatures: 32 }] };
const of = (changes: Partial<Manifest>, caps: readonly number[] = []) =>
  forecast(aManifest(changes), SHAPE, MEMBERS, caps);

describe('the forecast of a run', () => {
  it('counts masked words of four bytes, of each factor in the rounds that train it', async () => {
    expect(await of({ adapter: wide })).toMatchObject({ bytesUpPerRound: 4 * 66, bytesUpInAll: 10 * 4 * 66 });
    const alternate = { ...wide, rule: 'alternate' } as const;
    const bytes = { bytesUpPerRound: 4 * 66, bytesUpInAll: 4 * (2 * 66 + 18) };
    expect(await of({ adapter: alternate, rounds: 3 })).toMatchObject(bytes);
  });

  it('survives the dropouts that leave the threshold and the contributors of a sum', async () => {
    expect((await of({})).dropoutsSurvived).toBe(1);
    expect((await of({ privacy: { ...privacy, minimumContributors: 4 } })).dropoutsSurvived).toBe(0);
  });

  it('has a curve of at most 41 points, each of them the accountant’s', async () => {
    expect((await of({})).epsilonCurve.map(({ rounds }) => rounds)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const { epsilonCurve } = await of({ rounds: 1000 });
    expect(epsilonCurve).toHaveLength(41);
    expect(epsilonCurve[0]).toEqual({ rounds: 0, epsilon: 0 });
    for (const at of [1, 17, 40]) {
      const { rounds, epsilon } = epsilonCurve[at];
      expect(rounds).toBe(25 * at);
      const steps = { noiseMultiplier: 0.8, samplingRate: 0.02, steps: rounds };
      expect(epsilon).toBeCloseTo(epsilonFor([steps], 1e-5).epsilon, 8);
    }
  });

  it('says what less noise would spend, and more', async () => {
    const { otherNoise, epsilonCurve } = await of({});
    expect(otherNoise.map(({ noiseMultiplier }) => noiseMultiplier)).toEqual([0.8 * 0.8, 1.25 * 0.8]);
    for (const { noiseMultiplier, curve } of otherNoise) {
      expect(curve.map(({ rounds }) => rounds)).toEqual(epsilonCurve.map(({ rounds }) => rounds));
      const { epsilon } = epsilonFor([{ noiseMultiplier, samplingRate: 0.02, steps: 7 }], 1e-5);
      expect(curve[7].epsilon).toBeCloseTo(epsilon, 8);
    }
  });

  it('says how many rounds fit a cap, and with which noise all of them do', async () => {
    const epsilonOf = (rounds: number, noiseMultiplier = 0.8): number =>
      epsilonFor([{ noiseMultiplier, samplingRate: 0.02, steps: rounds }], 1e-5).epsilon;
    const { caps } = await of({ rounds: 1000 }, [3, 0.001]);
    const [{ rounds, noiseMultiplier }, tight] = caps;
    expect(rounds).toBeGreaterThan(10);
    expect(epsilonOf(rounds ?? NaN)).toBeLessThanOrEqual(3);
    expect(epsilonOf((rounds ?? NaN) + 1)).toBeGreaterThan(3);
    expect(epsilonOf(1000, noiseMultiplier ?? NaN)).toBeLessThanOrEqual(3);
    expect(epsilonOf(1000, (noiseMultiplier ?? NaN) * 0.998)).toBeGreaterThan(3);
    expect(tight).toMatchObject({ epsilon: 0.001, rounds: 0 });
  });

  it('compares the noise of all four with the greatest signal that the expected records can give', async () => {
    // A share has 0.8 C / sqrt(3 - 1), four have twice that; twelve records of norm C are the signal. Metrics make C a little longer.
    const expected = (0.8 / Math.SQRT2) * (2 / 12);
    const { noise } = await of({});
    expect(noise?.perCoordinate).toBeGreaterThan(expected);
    expect(noise?.perCoordinate).toBeLessThan(expected * 1.02);
    // 2 x 8 values of B.
    expect(noise?.leastNoiseToSignal).toBeCloseTo(4 * (noise?.perCoordinate ?? NaN), 12);
    // It is a ratio: the clip cancels.
    const metrics = { weight: 0.3, lossBound: 8 };
    const scaled = await of({ privacy: { ...privacy, l2Bound: 3 }, metrics });
    expect(scaled.noise?.perCoordinate).toBeCloseTo(noise?.perCoordinate ?? NaN, 4);
    // A fourth held out leaves nine records.
    const heldOut = await of({ metrics: { weight: 0.1, lossBound: 8, evaluation: { fraction: 0.25 } } });
    expect(heldOut.noise?.perCoordinate).toBeGreaterThan((expected * 12) / 9);
  });

  it('counts each organisation once where a unit is a whole update', async () => {
    const local = { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 } as const;
    const { noise } = await of({ privacy: { ...privacy, unit: 'client' }, training: local });
    const expected = (0.8 / Math.SQRT2) * (2 / 4);
    expect(noise?.perCoordinate).toBeGreaterThan(expected);
    expect(noise?.perCoordinate).toBeLessThan(expected * 1.02);
  });

  it('charges every step of a round that is noised at home, and finds no noise in the sum', async () => {
    const atHome = { steps: 5, optimizer: 'sgd', learningRate: 0.1, updateBound: 1, stepsPerUnit: 2 ** 16 } as const;
    const { epsilonCurve, caps, noise } = await of(
      {
        privacy: { ...privacy, unit: 'record-local' },
        training: {
          kind: 'local-record-steps',
          samplingRate: 0.02,
          expectedRecords: 12,
          maximumRecords: 60,
          ...atHome,
        },
      },
      [3],
    );
    const epsilonOf = (steps: number): number =>
      epsilonFor([{ noiseMultiplier: 0.8, samplingRate: 0.02, steps }], 1e-5).epsilon;
    expect(epsilonCurve[10].epsilon).toBeCloseTo(epsilonOf(50), 8);
    const rounds = caps[0].rounds ?? NaN;
    expect(epsilonOf(5 * rounds)).toBeLessThanOrEqual(3);
    expect(epsilonOf(5 * (rounds + 1))).toBeGreaterThan(3);
    expect(noise).toBeNull();
  });

  it('promises nothing without a unit', async () => {
    const nothing = { ...privacy, unit: 'none', noiseMultiplier: 0 } as const;
    expect(await of({ privacy: nothing, training }, [8])).toMatchObject({
      epsilonCurve: [],
      otherNoise: [],
      caps: [],
      noise: null,
    });
  });
});
