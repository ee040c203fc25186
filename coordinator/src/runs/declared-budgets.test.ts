import { epsilonFor, type AccountedSteps, type Cost, type Manifest } from '@fedlora/protocol';
import type { RunForecast } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { budgetAdvice, organisationForecasts } from './declared-budgets.js';

const MEMBERS = ['bank', 'clinic', 'council', 'museum'];
const { privacy, training } = aManifest();
/** Of one round of the manifest. */
const round = { noiseMultiplier: 0.8, samplingRate: 0.02, steps: 1 };
const spentSteps = (steps: number): Cost => ({ unit: 'record', noiseMultiplier: 1.1, samplingRate: 0.05, steps });
const declared = (epsilonCap: number, ...spent: Cost[]) => ({
  epsilonCap,
  maximumDelta: 1e-5,
  spent,
  elsewhere: [] as Cost[],
});
const of = (budgets: Record<string, ReturnType<typeof declared>>, changes: Partial<Manifest> = {}) =>
  organisationForecasts(aManifest(changes), MEMBERS, new Map(Object.entries(budgets)));
const epsilonOf = (...steps: AccountedSteps[]): number => epsilonFor(steps, 1e-5).epsilon;

describe('rounds left in a declared budget', () => {
  it('are as many as the organisation’s own ledger will accept after what it spent', async () => {
    const before = { noiseMultiplier: 1.1, samplingRate: 0.05, steps: 40 };
    const [{ name, epsilonCap, spentEpsilon, rounds }] = await of({ clinic: declared(3, spentSteps(40)) });
    expect({ name, epsilonCap }).toEqual({ name: 'clinic', epsilonCap: 3 });
    expect(spentEpsilon).toBeCloseTo(epsilonOf(before), 10);
    expect(rounds).toBeGreaterThan(1);
    expect(epsilonOf(before, { ...round, steps: rounds ?? NaN })).toBeLessThanOrEqual(3);
    expect(epsilonOf(before, { ...round, steps: (rounds ?? NaN) + 1 })).toBeGreaterThan(3);
    // Epsilons that were merely added would leave fewer.
    expect((spentEpsilon ?? NaN) + epsilonOf({ ...round, steps: rounds ?? NaN })).toBeGreaterThan(3);
  });

  it('are said of members that declare one, those with the fewest first', async () => {
    const found = await of({ museum: declared(2), bank: declared(6), school: declared(1) });
    expect(found.map(({ name }) => name)).toEqual(['museum', 'bank']);
    expect(found[0]).toMatchObject({ spentEpsilon: 0 });
  });

  it('are none where the cap is spent, or what was spent promises nothing', async () => {
    const plain: Cost = { unit: 'none', noiseMultiplier: 0, samplingRate: 1, steps: 1 };
    const found = await of({ bank: declared(0.1, spentSteps(40)), clinic: declared(8, plain) });
    expect(found).toMatchObject([
      { name: 'bank', rounds: 0 },
      { name: 'clinic', rounds: 0, spentEpsilon: null },
    ]);
  });

  it('are none for a promise to whole organisations where only records were promised before', async () => {
    const local = { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 } as const;
    const client = { privacy: { ...privacy, unit: 'client' }, training: local } as const;
    expect(await of({ bank: declared(8, spentSteps(1)) }, client)).toMatchObject([{ rounds: 0, spentEpsilon: null }]);
    const another: Cost = { unit: 'client', noiseMultiplier: 4, samplingRate: 1, steps: 1 };
    const [{ spentEpsilon }] = await of({ bank: declared(8, another) }, client);
    expect(spentEpsilon).toBeCloseTo(epsilonOf(another), 10);
    // Whatever data set of the organisation it was charged to.
    const [atAnother] = await of({ bank: { ...declared(8), elsewhere: [another] } }, client);
    expect(atAnother.spentEpsilon).toBeCloseTo(epsilonOf(another), 10);
    expect((await of({ bank: { ...declared(8), elsewhere: [another] } }))[0].spentEpsilon).toBe(0);
    // For one record of that organisation it counts with half its noise.
    const [forRecords] = await of({ bank: declared(8, another) });
    expect(forRecords.spentEpsilon).toBeCloseTo(epsilonOf({ ...another, noiseMultiplier: 2 }), 10);
  });

  it('are not asked where a run promises nothing', async () => {
    const nothing = { ...privacy, unit: 'none', noiseMultiplier: 0 } as const;
    expect(await of({ bank: declared(8) }, { privacy: nothing, training })).toEqual([]);
  });
});

describe('advice on budgets', () => {
  const plan = (...rounds: readonly (number | null)[]): RunForecast =>
    ({
      manifest: aManifest({ rounds: 10 }),
      members: MEMBERS,
      threshold: 3,
      minimumContributors: 2,
      organisations: rounds.map((left, i) => ({ name: MEMBERS[i], epsilonCap: 1, spentEpsilon: 0, rounds: left })),
    }) as unknown as RunForecast;

  it('is silent while all rounds fit', () => {
    expect(budgetAdvice(plan())).toEqual([]);
    expect(budgetAdvice(plan(10, 12, null))).toEqual([]);
  });

  it('names whose budget ends before the run', () => {
    const [advice, ...others] = budgetAdvice(plan(4, 10, 11, null));
    expect(others).toEqual([]);
    expect(advice).toMatchObject({ field: 'organisations', severity: 'advice', code: 'plan/budget-exhausted' });
    expect(advice.message).toMatch(/Rounds left: bank 4\.$/);
  });

  it('says after how many rounds too few organisations are left', () => {
    // Four, of whom three are needed: the second to go ends it.
    expect(budgetAdvice(plan(4, 7, 9, null))[0].message).toMatch(
      /bank 4, clinic 7, council 9\. After 7 rounds too few are left to go on\.$/,
    );
  });
});
