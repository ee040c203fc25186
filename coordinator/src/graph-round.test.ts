/** A run with more than 128 organisations: rounds over a graph, from the description to the adapter. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { routes, type RequestPhase, type RoundView, type RunPlanView, type RunView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { averagingRun, meanOf, movedBy, valuesOfB } from '../../test/support/averaging.js';
import { remembering } from '../../test/support/remembering.js';
import { FakeFederation, untilRound, untilRun } from '../../test/support/fake-federation.js';
import { becomeFirstAdmin } from '../../test/support/first-admin.js';
import { listAll, operate, send } from '../../test/support/requests.js';
import { startCoordinator, type RunningCoordinator } from './start-coordinator.js';

const COUNT = 130;
/** Twenty seconds of work on an idle machine; this is for busy ones. */
const LONG_MS = 300_000;
const names = Array.from({ length: COUNT }, (_, i) => `org-${String(i).padStart(3, '0')}`);

const averaging = {
  ...averagingRun,
  title: 'A large run',
  privacy: { ...averagingRun.privacy, assumedColluders: 3 },
  deadlinesMs: { advertising: LONG_MS, sharing: LONG_MS, training: LONG_MS, checking: LONG_MS, unmasking: LONG_MS },
};

let folder: string;
let coordinator: RunningCoordinator;
let token: string;
let federation: FakeFederation;

async function start(): Promise<void> {
  const { federationKey } = federation;
  const port = coordinator === undefined ? 0 : Number(new URL(coordinator.url).port);
  coordinator = await startCoordinator({
    dataFolder: folder,
    host: '127.0.0.1',
    port,
    logLevel: 'silent',
    federationKey,
  });
  if (coordinator.setupToken !== undefined)
    token = (await becomeFirstAdmin(coordinator.url, coordinator.setupToken)).token;
}

async function valuesOf(version: string, manifest: Manifest): Promise<number[]> {
  return valuesOfB(await readFile(join(folder, 'versions', version, 'adapter_model.safetensors')), manifest);
}

describe(`${COUNT} organisations`, () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-graph-'));
    federation = new FakeFederation(remembering(nodeProvider));
    await start();
    await federation.enrol(coordinator.url, token, names);
    await federation.connect(coordinator.url);
  }, LONG_MS);
  afterAll(async () => {
    federation.disconnect();
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('are planned with a graph that no tenth of them can cut, which the operator sees before the run starts', async () => {
    const { plan } = await operate<RunPlanView>(coordinator.url, token, 'POST', routes.runPlan, averaging);
    if (plan === null) throw new Error('There is a plan.');
    const { aggregation, privacy } = plan.manifest;
    expect(plan.dropoutsSurvived).toBe(13);
    expect(aggregation).toMatchObject({ threshold: 67, graph: { neighbours: 18, threshold: 4, silent: 2 } });
    expect(aggregation.deadlinesMs.revealing).toBe(LONG_MS);
    expect(privacy.minimumContributors).toBe(117);
    const asked = async (description: object): Promise<string> => {
      const response = await send(coordinator.url, 'POST', routes.runs, token, { ...averaging, ...description });
      expect(response.status).toBe(422);
      return ((await response.json()) as { code: string }).code;
    };
    expect(await asked({ graph: { neighbours: 18, threshold: 3, silent: 2 } })).toBe('manifest/invalid');
    expect(await asked({ privacy: { ...averaging.privacy, assumedColluders: 60, minimumContributors: 96 } })).toBe(
      'run/invalid-description',
    );
    const few = { graph: { neighbours: 18, threshold: 4, silent: 2 }, organisations: names.slice(0, 5) };
    expect(await asked(few)).toBe('manifest/invalid');
  });

  it(
    'move the adapter by the mean of those who stayed, though one is silent, one leaves and the coordinator restarts',
    async () => {
      const leaving = new Map<string, RequestPhase>([
        [names[5], 'revealing'],
        [names[77], 'training'],
      ]);
      const phases = new Set<RequestPhase>();
      let manifest: Manifest | undefined;
      for (const organisation of federation.organisations) {
        organisation.ignores = (request) => {
          phases.add(request.phase);
          if (request.offer !== undefined) manifest = JSON.parse(request.offer.manifest) as Manifest;
          // Forgets the round, as a client that was restarted, and says so.
          if (leaving.get(organisation.name) === request.phase) organisation.forget();
          return false;
        };
      }
      // One whose answer the coordinator waits for while it is restarted.
      const [late] = federation.organisations;
      let isHeld = true;
      const watch = late.ignores;
      late.ignores = (request) => watch(request) || (isHeld && request.phase === 'sharing');

      const { id } = await operate<RunView>(coordinator.url, token, 'POST', routes.runs, averaging);
      await untilRound(
        coordinator.url,
        token,
        id,
        ({ phase, participants }) =>
          phase === 'sharing' && participants.filter(({ status }) => status === 'revealed').length === 1,
      );
      federation.disconnect();
      await coordinator.close();
      await start();
      isHeld = false;
      await federation.connect(coordinator.url);

      const run = await untilRun(coordinator.url, token, id);
      expect(run).toMatchObject({ status: 'completed', completedRounds: 1, abortedRounds: 0 });
      const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
      expect(round.phases).toContain('revealing');
      expect(phases).toContain('revealing');
      const out = round.participants.filter(({ status }) => status !== 'unmasked');
      expect(out.map(({ name, status }) => [name, status])).toEqual([
        [names[5], 'declined'],
        [names[77], 'declined'],
      ]);

      const terms = manifest!;
      const before = await valuesOf(round.baseVersion, terms);
      const after = await valuesOf(round.version!, terms);
      const contributors = federation.organisations.filter(({ contributed }) => contributed.has(round.id));
      expect(contributors).toHaveLength(COUNT - 2);
      const levels = contributors.map(({ contributed }) => contributed.get(round.id));
      expect(after).toEqual(movedBy(meanOf(levels, terms, after.length), before));
    },
    LONG_MS,
  );
});
