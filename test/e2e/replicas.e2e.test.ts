/**
 * Two coordinators behind a proxy and two workers, of which the driver is killed in each phase of a round in turn, a worker in the middle
 * of a sum, and the database and Redis in the middle of a round: nothing is lost, counted twice, or kept.
 */

import type { Manifest } from '@fedlora/protocol';
import {
  phasesOfRound,
  routes,
  verifyAuditLines,
  type AuditLine,
  type RequestPhase,
  type RoundView,
  type RunView,
  type VersionRecord,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanOf, movedBy, valuesOfB } from '../support/averaging.js';
import { missingForCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { answered } from '../support/outages.js';
import { dumpOf } from '../support/postgres-server.js';
import { Replicas } from '../support/replicas.js';
import { operate, send } from '../support/requests.js';
import { runOfFour } from '../support/tiny-run.js';

const NAMES = ['bank', 'clinic', 'council', 'museum'];

interface Scene {
  /** Where the round is held until what is done has been done. */
  readonly held: RequestPhase | 'upload';
  readonly ends: 'driver' | 'database';
  /** What ends besides while both workers are in the middle of its sum. */
  readonly summingEnds?: 'Redis' | 'driver and worker';
}

/** Of each round, in order. */
const scenes: readonly Scene[] = [
  { held: 'advertising', ends: 'driver' },
  { held: 'sharing', ends: 'driver' },
  { held: 'checking', ends: 'driver' },
  { held: 'upload', ends: 'driver' },
  { held: 'unmasking', ends: 'driver', summingEnds: 'Redis' },
  { held: 'upload', ends: 'database', summingEnds: 'driver and worker' },
];

const whoContributed = ['uploaded', 'checked', 'unmasked'];

/** Differences averaged as they are: the adapter moves by exactly the mean of what was contributed. */
const run = {
  ...runOfFour,
  rounds: scenes.length,
  deadlinesMs: { advertising: 120_000, sharing: 120_000, training: 120_000, checking: 120_000, unmasking: 120_000 },
};

if (missingForCluster.length > 0)
  it(`two coordinators are not run here: ${missingForCluster.join('; ')}`, () => {
    expect(missingForCluster).not.toEqual([]);
  });
else
  describe('two coordinators and two workers behind a proxy, some of which are killed in each phase of a round in turn', () => {
    let replicas: Replicas;
    let ended: RunView;
    let rounds: readonly RoundView[];

    beforeAll(async () => {
      replicas = await Replicas.start(NAMES);
      await eventually('all organisations are connected', async () => {
        const { organisations } = await replicas.overview();
        return organisations.length === NAMES.length && organisations.every(({ connected }) => connected);
      });
      // The coordinator waits for this one.
      const last = replicas.organisations[NAMES.length - 1];
      const released = new Set<string>();
      const numbers = new Map<string, number>();
      last.ignores = ({ roundId, phase, offer }) => {
        if (offer !== undefined) numbers.set(roundId, offer.number);
        const { held } = scenes[(numbers.get(roundId) ?? 0) - 1] ?? {};
        return phase === held && !released.has(roundId);
      };
      last.pieceBytes = 100;
      const { id: runId } = await operate<RunView>(
        replicas.cluster.url,
        replicas.cluster.token,
        'POST',
        routes.runs,
        run,
      );

      for (const [i, { held, ends, summingEnds }] of scenes.entries()) {
        const phase = held === 'upload' ? 'training' : held;
        let round: RoundView | undefined;
        await eventually(`round ${i + 1} waits in ${held} for the last organisation only`, async () => {
          round = (await replicas.rounds(runId)).find(({ number }) => number === i + 1);
          const others = round?.participants.filter(({ name }) => name !== last.name) ?? [];
          return (
            round?.phase === phase &&
            others.every(({ status }) => status === answered[phase]) &&
            (held !== 'upload' || last.isHeldAt(round.id))
          );
        });
        if (scenes.at(i + 1)?.held === 'upload') last.holdUpload(); // Its own of this round is at the coordinator.
        if (summingEnds !== undefined) replicas.cluster.holdWorkers();
        if (ends === 'driver') {
          const killed = await replicas.cluster.killDriver();
          released.add(round?.id ?? '');
          if (held === 'upload') last.releaseUpload();
          await replicas.cluster.startAgain(killed);
        } else {
          await replicas.cluster.postgres.halt({ abruptly: true });
          last.releaseUpload();
          await replicas.cluster.postgres.goOn(['synchronous_commit=on']);
        }
        if (summingEnds === undefined) continue;
        await eventually(`both workers are summing round ${i + 1}`, () => replicas.cluster.areSumming);
        if (summingEnds === 'Redis') {
          await replicas.cluster.redis.halt();
          await replicas.cluster.redis.goOn();
        } else {
          await replicas.cluster.killWorker(0);
          const killed = await replicas.cluster.killDriver();
          await replicas.cluster.startAgain(killed);
        }
        replicas.cluster.releaseWorkers();
        if (summingEnds !== 'Redis') await replicas.cluster.startWorkerAgain(0);
      }
      await eventually('the run ends', async () => {
        await replicas.cluster.startEnded();
        ended = await replicas.asked((url, token) => operate<RunView>(url, token, 'GET', routes.run(runId)));
        return ended.status !== 'running';
      });
      rounds = await replicas.rounds(runId);
    }, 600_000);
    afterAll(async () => {
      await replicas?.stop();
    });

    it('drives one after the other', async () => {
      const [{ token }] = await replicas.cluster.query<{ token: string }>('SELECT token FROM leases');
      const kills = scenes.flatMap(({ ends, summingEnds = '' }) => [ends, ...summingEnds.split(' ')]);
      expect(Number(token)).toBeGreaterThan(kills.filter((one) => one === 'driver').length);
    });

    it('has its sums made by workers, but for the one in the middle of which Redis lost what they were asked', async () => {
      const ranges = await replicas.cluster.summed();
      const wanted = rounds.filter(
        ({ phase, number }) => phase === 'done' && scenes.at(number - 1)?.summingEnds !== 'Redis',
      );
      const isWhole = ({ id }: RoundView): boolean => {
        const own = ranges.filter(({ roundId }) => roundId === id).sort((a, b) => a.from - b.from);
        let summed = 0;
        for (const { from, to } of own) if (from <= summed) summed = Math.max(summed, to);
        return summed === replicas.organisations[0].contributed.get(id)?.length;
      };
      expect(wanted.length).toBeGreaterThan(1);
      expect(wanted.filter(isWhole)).toEqual(wanted);
    });

    it('ends every round that it began, and each that was aborted has a cause', () => {
      expect(ended.status).toBe('completed');
      const numbers = rounds.map(({ number }) => number).sort((a, b) => a - b);
      expect(numbers).toEqual(numbers.map((_, i) => i + 1));
      const done = rounds.filter(({ phase }) => phase === 'done');
      const aborted = rounds.filter(({ phase }) => phase === 'aborted');
      expect([done.length, aborted.length]).toEqual([scenes.length, ended.abortedRounds]);
      expect(done.length + aborted.length).toBe(rounds.length);
      for (const { cause } of aborted) expect(cause).toMatch(/\w+ \w+/);
    });

    it('counts each contribution once: every version is the one before and exactly the mean of what was contributed', async () => {
      const done = rounds.filter(({ phase }) => phase === 'done');
      for (const { id, baseVersion, version, participants } of done) {
        const survivors = participants.filter(({ status }) => whoContributed.includes(status)).map(({ name }) => name);
        expect(survivors.length).toBeGreaterThanOrEqual(run.threshold);
        const [before, after] = [await valuesOf(baseVersion), await valuesOf(version ?? '')];
        const levels = replicas.organisations
          .filter(({ name }) => survivors.includes(name))
          .map(({ contributed }) => contributed.get(id));
        expect(after).toEqual(movedBy(meanOf(levels, await manifestOf(baseVersion), after.length), before));
        expect(after).not.toEqual(before);
      }
      const versions = done.map(({ version }) => version);
      expect(new Set(versions).size).toBe(done.length);
      expect(versions).toContain(ended.version);
    });

    it('keeps nothing of what organisations told in rounds that have ended', async () => {
      await eventually('contributions are removed', async () => {
        const [contributions, arriving] = [await replicas.stored('contributions/'), await replicas.cluster.arriving()];
        return contributions.length + arriving.length === 0;
      });
      expect(await replicas.cluster.query('SELECT round_id FROM round_messages')).toEqual([]);
      const dump = dumpOf(replicas.cluster.databaseUrl).toString('latin1');
      expect(dump).toContain(ended.id);
      const told = replicas.organisations.flatMap((organisation) => organisation.told);
      expect(told.length).toBeGreaterThan(scenes.length * NAMES.length * phasesOfRound(false).length);
      expect(told.filter((bytes) => dump.includes(Buffer.from(bytes).toString('hex')))).toEqual([]);
    });

    it('has one audit log, whose chain is whole', async () => {
      const text = await replicas.asked(async (url, token) =>
        (await send(url, 'GET', `${routes.auditExport}?after=0`, token)).text(),
      );
      const lines = text.trimEnd().split('\n');
      expect(verifyAuditLines(lines).sequence).toBe(lines.length);
      const events = lines.map((line) => (JSON.parse(line) as AuditLine).entry.event);
      expect(events.filter((event) => event.startsWith('run.'))).toEqual(['run.started', 'run.ended']);
    });

    async function manifestOf(version: string): Promise<Manifest> {
      const file = Buffer.from(await replicas.read(`versions/${version}/manifest.json`)).toString('utf8');
      const { manifestHash } = JSON.parse(file) as VersionRecord;
      const manifest = replicas.organisations[0].manifests.get(manifestHash);
      if (manifest === undefined) throw new Error('No organisation was offered the manifest of this version.');
      return manifest;
    }

    /** What a version has of B, in layout order. */
    async function valuesOf(version: string): Promise<number[]> {
      const weights = await replicas.read(`versions/${version}/adapter_model.safetensors`);
      return valuesOfB(weights, await manifestOf(version));
    }
  });
