import { routes, type AuditLine, type Page, type ReleaseView, type RunView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { measuredRun, ReleaseNetwork } from '../../../test/support/release-network.js';
import { untilRound, untilRun } from '../../../test/support/fake-federation.js';
import { json, send } from '../../../test/support/requests.js';

const REPOSITORY = 'city/audited';
const DELTA = 1e-5;
/** Never all played: the test ends before. */
const ROUNDS = 1000;

/** One step of all together that protects records, with so much noise that every round promises little. */
const run = {
  ...measuredRun(REPOSITORY, ROUNDS),
  privacy: { unit: 'record', l2Bound: 1, noiseMultiplier: 5, delta: DELTA, assumedColluders: 1 },
  training: { kind: 'record-step', samplingRate: 0.1, expectedRecords: 12, maximumRecords: 60 },
};

const seal = (digit: string): string => digit.repeat(64);
const found = { seal: seal('a'), canaries: 200, guesses: 100, right: 52 };
const contradicting = { seal: seal('b'), canaries: 200, guesses: 100, right: 99 };

let network: ReleaseNetwork;
let runId: string;
/** The version of the round that ended before the run was paused. */
let version: ReleaseView;
const report = (body: object): Promise<Response> =>
  send(network.url, 'POST', routes.audits(version.id), network.token, body);
const events = async (): Promise<string[]> =>
  (await network.operate<Page<AuditLine>>('GET', routes.audit)).items.map(({ entry }) => entry.event);
const auditCheck = ({ gate }: ReleaseView) => gate.checks.find(({ name }) => name === 'audit');
const readme = async (id: string): Promise<string> =>
  (await send(network.url, 'GET', routes.versionFile(id, 'README.md'), network.token)).text();

beforeAll(async () => {
  network = await ReleaseNetwork.start(Array.from({ length: ROUNDS }, () => ({ loss: 1, exact: 0.5 })));
  ({ id: runId } = await network.operate<RunView>('POST', routes.runs, run));
  await untilRound(network.url, network.token, runId, ({ number, phase }) => number > 1 && phase === 'training');
  await network.operate('POST', routes.runPause(runId), { abortRound: true });
  const { version: newest } = await network.operate<RunView>('GET', routes.run(runId));
  version = await network.operate<ReleaseView>('GET', routes.release(newest));
});
afterAll(async () => {
  await network?.stop();
});

describe('an audit of a version', () => {
  it('is nothing that the gate waits for', () => {
    expect(version.audits).toEqual([]);
    expect(auditCheck(version)).toMatchObject({ outcome: 'passed', reason: 'No audit of it was reported.' });
  });

  it('is noted with the bound that its counts give, and the audit log says by whom', async () => {
    const { audits, gate } = await json<ReleaseView>(await report(found));
    expect(audits).toEqual([
      { ...found, epsilonLowerBound: 0, epsilonPromised: version.epsilon, at: expect.any(Number) as number },
    ]);
    expect(gate.checks.find(({ name }) => name === 'audit')?.outcome).toBe('passed');
    expect((await events())[0]).toBe('version.audited');
  });

  it('counts once: the same again changes nothing, and another result for the same canaries is refused', async () => {
    const before = await events();
    expect((await json<ReleaseView>(await report(found))).audits).toHaveLength(1);
    const other = await report({ ...found, right: 51 });
    expect(other.status).toBe(409);
    expect(await other.json()).toMatchObject({ code: 'version/audited-otherwise' });
    expect(await events()).toEqual(before);
  });

  it.each([
    ['more right than guessed', { guesses: 50, right: 51 }, 'version/impossible-audit'],
    ['more guesses than canaries', { canaries: 99 }, 'version/impossible-audit'],
    ['no seal', { seal: 'none' }, 'request/invalid'],
    ['a fraction of a guess', { right: 51.5 }, 'request/invalid'],
  ])('is refused with %s', async (_, changes, code) => {
    const refused = await report({ ...found, ...changes, ...(code === 'request/invalid' ? {} : { seal: seal('c') }) });
    expect(await refused.json()).toMatchObject({ code });
  });

  it('fails the gate where it contradicts the promise', async () => {
    const contradicted = await json<ReleaseView>(await report(contradicting));
    expect(contradicted.audits).toHaveLength(2);
    expect(contradicted.gate.outcome).toBe('failed');
    const { outcome, reason } = auditCheck(contradicted) ?? {};
    expect(outcome).toBe('failed');
    expect(reason).toContain('99 of 100 guesses about 200 canaries were right: epsilon is at least 3.016');
    expect(reason).toContain(`and ${version.epsilon?.toFixed(3)} is promised`);
    const promoted = await send(network.url, 'PUT', routes.channel(REPOSITORY, 'stable'), network.token, {
      version: version.id,
    });
    expect(await promoted.json()).toMatchObject({ code: 'channel/gate' });
  });

  it('stands in the cards of the versions that come after it, and in none before', async () => {
    await network.operate('POST', routes.runResume(runId));
    const { version: next } = await untilRun(network.url, network.token, runId, (one) => one.version !== version.id);
    expect(await readme(version.id)).not.toContain('## Audits');
    const card = await readme(next);
    expect(card).toContain('## Audits');
    expect(card).toContain(
      `| \`${version.id.slice(0, 8)}\` | 200 | 52 of 100 | 0.000 | ${version.epsilon?.toFixed(3)} |`,
    );
    expect(card).toContain('| 99 of 100 | 3.016 |');
    expect(card).toContain(': **contradicted** |');
  });
});
