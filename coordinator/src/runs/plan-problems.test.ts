import type { LocalRecordSteps, Manifest, Roster } from '@fedlora/protocol';
import { FedloraError, type RunDescription } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { adviceOn, termsOrProblems } from './plan-problems.js';
import { planRun } from './plan-run.js';

const shape = {
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
};
const good: RunDescription = {
  title: 'A run',
  rounds: 2,
  base: { name: 'tiny', digest: 'b'.repeat(64), shape },
  adapter: { rule: 'ffa-svd', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'up_proj'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 64 },
  privacy: { unit: 'record', l2Bound: 1, noiseMultiplier: 1, delta: 1e-5, assumedColluders: 1 },
  training: { kind: 'record-step', samplingRate: 0.05, expectedRecords: 30, maximumRecords: 50 },
  server: { kind: 'adam', learningRate: 0.01, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
};
const { privacy, adapter, training } = good;

function rosterOf(members: number): Roster {
  return {
    version: 1,
    members: Array.from({ length: members }, (_, i) => ({
      name: `organisation-${i}`,
      identity: i.toString(16).padStart(64, '0'),
      certificate: '0'.repeat(128),
    })),
  };
}

async function problemsOf(description: RunDescription, members = 5) {
  const roster = rosterOf(members);
  const termsOf = async (one: RunDescription) => ({ manifest: await planRun(one, 'run-1', roster), roster });
  return (await termsOrProblems(description, termsOf)).problems;
}

const fieldsOf = async (description: RunDescription, members?: number): Promise<(string | null)[]> =>
  (await problemsOf(description, members)).map(({ field }) => field);

describe('what is wrong with a description', () => {
  it('is nothing where a start would be accepted, and then there are terms', async () => {
    const roster = rosterOf(5);
    const manifest = await planRun(good, 'run-1', roster);
    expect(await termsOrProblems(good, () => Promise.resolve({ manifest, roster }))).toEqual({
      terms: { manifest, roster },
      problems: [],
    });
  });

  it('is a chat without the digest of its template, or the digest without a chat', async () => {
    const chatTemplate = 'c'.repeat(64);
    const withData = (data: RunDescription['data']): RunDescription => ({ ...good, data });
    const terms = async (data: RunDescription['data']) => (await planRun(withData(data), 'run-1', rosterOf(5))).data;
    expect(await terms({ format: 'messages', chatTemplate, maximumLength: 64 })).toEqual({
      format: 'messages',
      template: chatTemplate,
      maximumLength: 64,
    });
    expect(await terms({ format: 'text', maximumLength: 64 })).toMatchObject({ template: 'plain' });
    const wrong: RunDescription['data'][] = [
      { format: 'messages', maximumLength: 64 },
      { format: 'text', chatTemplate, maximumLength: 64 },
    ];
    for (const data of wrong) expect(await fieldsOf(withData(data))).toEqual(['data.chatTemplate']);
    // What else is wrong shows beside it.
    const rank = { ...adapter, r: 1000 };
    for (const data of wrong)
      expect((await fieldsOf({ ...withData(data), adapter: rank })).sort()).toEqual(['adapter.r', 'data.chatTemplate']);
  });

  it('is nothing either where optional parts are null, which is absent', async () => {
    const nulls = JSON.parse(
      '{"metrics":{"clipping":null,"evaluation":null},"graph":null,"deadlinesMs":null,"threshold":null,"organisations":null}',
    ) as Partial<RunDescription>;
    expect(await problemsOf({ ...good, ...nulls })).toEqual([]);
    expect(await problemsOf({ ...good, ...(JSON.parse('{"metrics":null}') as Partial<RunDescription>) })).toEqual([]);
  });

  it('is nothing where some deadlines are given: the others are the default', async () => {
    const { aggregation } = await planRun({ ...good, deadlinesMs: { training: 300_000 } }, 'run-1', rosterOf(5));
    expect(aggregation.deadlinesMs).toEqual({
      advertising: 30_000,
      sharing: 30_000,
      training: 300_000,
      checking: 30_000,
      unmasking: 30_000,
    });
  });

  it('is all told at once, each with the field of the description, what it must be and what helps', async () => {
    const problems = await problemsOf({
      ...good,
      adapter: { ...adapter, r: 17, target_modules: ['q_proj', 'nose_proj'], rebaseEvery: 0 },
      privacy: { ...privacy, noiseMultiplier: 0, delta: 0, minimumContributors: 9 },
      training: { kind: 'record-step', samplingRate: 0.05, maximumRecords: 50 },
      threshold: 9,
      deadlinesMs: { advertising: 10, sharing: 5000, training: 5000, checking: 5000, unmasking: 5000 },
    });
    expect(problems.map(({ field, code }) => [field, code])).toEqual([
      ['adapter.target_modules', 'run/invalid-description'],
      ['adapter.r', 'run/invalid-description'],
      ['training.expectedRecords', 'run/invalid-description'],
      ['privacy.minimumContributors', 'manifest/invalid'],
      ['threshold', 'manifest/invalid'],
      ['privacy.noiseMultiplier', 'manifest/invalid'],
      ['privacy.delta', 'manifest/invalid'],
      ['deadlinesMs.advertising', 'manifest/invalid'],
    ]);
    const [names, , , contributors, threshold] = problems;
    expect(names.message).toBe('unknown nose_proj.');
    expect(threshold.message).toContain('from 2 to 5, is 9.');
    expect(contributors.message).toBe('must be a whole number from 2 to 5, is 9.');
    expect(problems.every(({ remedy, severity }) => remedy.length > 20 && severity === 'error')).toBe(true);
  });

  it('is the colluders where nobody gave what they make impossible: too few organisations for a threshold', async () => {
    const found = await problemsOf({ ...good, privacy: { ...privacy, assumedColluders: 4 } }, 4);
    expect(found).toMatchObject([{ field: 'privacy.assumedColluders', code: 'manifest/invalid' }]);
    expect(found[0].message).toContain('too many for these organisations');
    // Given by hand, the threshold is what is out of range.
    expect(await fieldsOf({ ...good, threshold: 5 }, 4)).toEqual(['threshold']);
  });

  it('is the unit where it does not go with the kind of training, and what else is wrong shows beside it', async () => {
    const client = { ...privacy, unit: 'client' } as const;
    expect(await fieldsOf({ ...good, privacy: client, threshold: 1 })).toEqual(['threshold', 'training.kind']);
  });

  it('names each field that alone would let a scale fit between the ring and the width of the noise', async () => {
    const crowded = { ...training, maximumRecords: 2 ** 24 };
    const quiet = { ...good, privacy: { ...privacy, noiseMultiplier: 0.1 }, training: crowded };
    const found = await problemsOf(quiet);
    expect(found.map(({ field }) => field)).toEqual(['training.maximumRecords', 'privacy.noiseMultiplier']);
    expect(found[0].message).toContain('2^31');
    // So many records overflow whatever the noise is.
    expect(await fieldsOf({ ...quiet, privacy }, 128)).toEqual(['training.maximumRecords']);
    // Either of the two is enough.
    expect(await fieldsOf({ ...quiet, privacy })).toEqual([]);
    expect(await fieldsOf({ ...quiet, training })).toEqual([]);
  });

  it('ends where a field cannot be mended, and lets other failures through', async () => {
    const failing = (details: object) => async (): Promise<never> =>
      Promise.reject(new FedloraError('run/invalid-description', 'As it is.', { details: { ...details } }));
    for (const [details, field] of [
      [{ field: 'adapter.r' }, 'adapter.r'],
      [{ field: 'base.name' }, 'base.name'],
      [{}, null],
    ] as const) {
      expect((await termsOrProblems(good, failing(details))).problems).toMatchObject([{ field, message: 'As it is.' }]);
    }
    await expect(termsOrProblems(good, () => Promise.reject(new Error('disk')))).rejects.toThrow('disk');
  });
});

function aLocalTraining(): LocalRecordSteps {
  return {
    kind: 'local-record-steps',
    steps: 5,
    samplingRate: 0.02,
    expectedRecords: 12,
    maximumRecords: 60,
    optimizer: 'sgd',
    learningRate: 0.1,
    updateBound: 1,
    stepsPerUnit: 2 ** 16,
  };
}

describe('advice on a plan', () => {
  it('warns of a delta that one record in all could hide in, and only then', () => {
    // 12 / 0.02 records.
    const fields = (delta: number) =>
      adviceOn(aManifest({ privacy: { ...aManifest().privacy, delta } }), 4).map(({ field }) => field);
    expect(fields(1 / 599)).toEqual(['privacy.delta']);
    expect(fields(1 / 601)).toEqual([]);
    // 12 / 0.02 in each of four organisations; then four whole updates.
    const advise = (changes: Partial<Manifest>) => adviceOn(aManifest(changes), 4).map(({ field }) => field);
    const atHome = aLocalTraining();
    const local = { ...aManifest().privacy, unit: 'record-local' } as const;
    expect(advise({ training: atHome, privacy: { ...local, delta: 1 / 2399 } })).toEqual(['privacy.delta']);
    expect(advise({ training: atHome, privacy: { ...local, delta: 1 / 2401 } })).toEqual([]);
    const whole = { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 } as const;
    const client = { ...local, unit: 'client' } as const;
    expect(advise({ training: whole, privacy: { ...client, delta: 0.26 } })).toEqual(['privacy.delta']);
    expect(advise({ training: whole, privacy: { ...client, delta: 0.24 } })).toEqual([]);
    const promisesNothing = { ...aManifest().privacy, unit: 'none', noiseMultiplier: 0, delta: 0.5 } as const;
    expect(adviceOn(aManifest({ privacy: promisesNothing }), 4)).toEqual([]);
  });

  it('warns where one silent organisation aborts the round', () => {
    expect(adviceOn(aManifest(), 3)).toMatchObject([{ field: 'threshold', code: 'plan/no-dropouts' }]);
    const everyone = { ...aManifest().privacy, minimumContributors: 4 };
    expect(adviceOn(aManifest({ privacy: everyone }), 4)).toMatchObject([{ field: 'privacy.minimumContributors' }]);
    expect(adviceOn(aManifest(), 4)).toEqual([]);
  });
});
