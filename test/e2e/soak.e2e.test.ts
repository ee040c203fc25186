/**
 * Very many rounds of one coordinator, which is killed at random instants in the first half of them, as are clients all the time: every
 * round is accounted for, and nothing grows but what is kept on purpose. By `npm run test:nightly`, 200 rounds; FEDLORA_SOAK_ROUNDS sets
 * another number, FEDLORA_FUZZ_SEED repeats the choice of instants and of clients.
 */

import { phasesOfRound } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanOf, movedBy } from '../support/averaging.js';
import { NAMES, Soak, type SoakResult } from '../support/soak.js';

const ROUNDS = Number(process.env['FEDLORA_SOAK_ROUNDS'] ?? 0);
const SEED = Number(process.env['FEDLORA_FUZZ_SEED'] ?? 20_261_127);
const TIMEOUT_MS = 120_000 + ROUNDS * 60_000;
/**
 * What a coordinator may hold more after each round, MiB, after garbage collection, in the second half of its last life. Less than what
 * one round of six organisations takes while it is open, so a round that is kept after its end shows, and so does a connection.
 */
const MOST_HELD_MIB_PER_ROUND = 0.03;
/** Of resident memory: pages that the allocators keep come and go, so the line through a few dozen rounds is not flat. */
const MOST_RESIDENT_MIB_PER_ROUND = 0.5;
/** With fewer rounds than this a line through the memory of the second half says nothing: start-up is still in it. */
const LEAST_ROUNDS_FOR_MEMORY = 40;
/** Files that may be open on one look and not on another: connections that come and go. */
const SPARE_FILES = 20;

if (ROUNDS === 0)
  it('a soak is not run here: npm run test:nightly does', () => {
    expect(process.env['FEDLORA_SOAK_ROUNDS']).toBeUndefined();
  });
else
  describe(`${ROUNDS} rounds under kills (seed ${SEED})`, () => {
    let soak: Soak;
    let result: SoakResult;

    beforeAll(async () => {
      soak = await Soak.start(SEED);
      result = await soak.run(ROUNDS);
      process.stdout.write(`${JSON.stringify(result.seen)}\n`);
    }, TIMEOUT_MS);
    afterAll(async () => {
      await soak?.stop();
    });

    it('killed the coordinator and clients', () => {
      expect(result.seen.coordinatorKills).toBeGreaterThan(ROUNDS / 20);
      expect(result.seen.clientKills).toBeGreaterThan(ROUNDS / 20);
    });

    it('ends every round, done or aborted with a cause, one after the other', () => {
      expect(result.run).toMatchObject({ status: 'completed', completedRounds: ROUNDS });
      expect(result.rounds.map(({ number }) => number)).toEqual(result.rounds.map((_, i) => i + 1));
      const done = result.rounds.filter(({ state }) => state.phase === 'done');
      const aborted = result.rounds.filter(({ state }) => state.phase === 'aborted');
      expect([done.length, aborted.length]).toEqual([ROUNDS, result.run.abortedRounds]);
      expect(done.length + aborted.length).toBe(result.rounds.length);
      for (const { state } of aborted) {
        expect(state.cause).toMatch(/\w+ \w+/);
        expect(state.cause).not.toMatch(/internal|unexpected|undefined|\[object/);
      }
    });

    it('makes every version of the one before and exactly the mean of what its survivors contributed', async () => {
      let version = result.rounds[0].baseVersion;
      let before = await soak.valuesOf(version);
      for (const { id, baseVersion, state } of result.rounds) {
        expect(baseVersion, id).toBe(version);
        if (state.phase !== 'done') continue;
        version = state.version ?? '';
        const survivors = state.answered.training;
        expect(survivors.length, id).toBeGreaterThanOrEqual(state.terms.minimumContributors);
        const levels = survivors.map((index) => soak.contributedBy(result.roster[index], id));
        const after = await soak.valuesOf(version);
        expect(after, id).toEqual(movedBy(meanOf(levels, result.manifest, after.length), before));
        expect(after, id).not.toEqual(before);
        before = after;
      }
      expect(version).toBe(result.run.version);
    });

    it('keeps no more files than the database and its versions', () => {
      const { versions, ...others } = result.files.after;
      expect(others).toEqual(result.files.before);
      expect(versions.folders).toBe(ROUNDS + 1);
      expect(versions.files % versions.folders).toBe(0);
    });

    it('keeps no more rows than rounds, their events and versions', () => {
      const { rounds, round_events: events, versions, runs, audit, ...others } = result.rows.after;
      const before = result.rows.before;
      expect({ rounds, versions, runs }).toEqual({ rounds: result.rounds.length, versions: ROUNDS + 1, runs: 1 });
      // Its start and its end; of everyone an answer to each phase, or its leaving, and the phase's deadline; each start of a coordinator.
      const eventsEach = 2 + (phasesOfRound(false).length - 1) * (NAMES.length + 1) + NAMES.length;
      expect(events).toBeLessThanOrEqual(result.rounds.length * eventsEach + result.seen.coordinatorKills);
      // The run's start and end, and what a client that has forgotten its keys sends against the rules, once in its round.
      expect(audit - before['audit']).toBeLessThanOrEqual(2 + result.seen.clientKills * 2);
      const {
        rounds: _rounds,
        round_events: _events,
        versions: _versions,
        runs: _runs,
        audit: _audit,
        ...same
      } = before;
      expect(others).toEqual(same);
      expect(others['round_messages']).toBe(0);
    });

    if (ROUNDS < LEAST_ROUNDS_FOR_MEMORY)
      it(`does not look at memory, which takes ${LEAST_ROUNDS_FOR_MEMORY} rounds`, () => {
        expect(result.samples.every(({ heldMiB, residentMiB }) => heldMiB < residentMiB)).toBe(true);
      });
    else
      it('does not grow in memory or open files while it lives', () => {
        const half = result.samples.slice(Math.floor(result.samples.length / 2));
        expect(half.length).toBeGreaterThanOrEqual(Math.floor(ROUNDS / 8));
        expect(result.seen.heldMiBPerRound).toBeLessThan(MOST_HELD_MIB_PER_ROUND);
        expect(result.seen.residentMiBPerRound).toBeLessThan(MOST_RESIDENT_MIB_PER_ROUND);
        const [first] = half;
        for (const { openFiles } of half) expect(openFiles).toBeLessThanOrEqual(first.openFiles + SPARE_FILES);
      });

    it('logs no error', () => {
      expect(result.errors).toEqual([]);
    });
  });
