/**
 * Rounds of real processes over a network that delays, cuts, swallows and corrupts. Five rounds in `npm test`; fifty in
 * `npm run test:nightly`, with another seed each time (FEDLORA_FUZZ_SEED repeats one).
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, type RoundView, type RunView } from '@fedlora/shared';
import { FaultyProxy } from '../support/faulty-proxy.js';
import type { Network } from '../support/network.js';
import { randomFrom } from '../support/random-from.js';
import { smallNetwork, smallRun } from './small-network.js';

const ROUNDS = Number(process.env['FEDLORA_FAULTY_ROUNDS'] ?? 5);
const SEED = Number(process.env['FEDLORA_FUZZ_SEED'] ?? 20_261_126);
/** A round may take its deadlines, and several may be aborted for each that is done. */
const TIMEOUT_MS = 60_000 + ROUNDS * 60_000;

interface Ledger {
  readonly entries: readonly { readonly roundId: string; readonly runId: string }[];
}
interface BookEntry {
  readonly roundId: string;
  readonly ending: string;
  readonly because: string;
}

describe(`${ROUNDS} rounds over a network with faults (seed ${SEED})`, () => {
  let network: Network;
  let names: readonly string[];
  const proxies: FaultyProxy[] = [];
  let ended: RunView;
  let rounds: readonly RoundView[];
  const ledgers = new Map<string, Ledger>();
  const books = new Map<string, readonly BookEntry[]>();

  beforeAll(async () => {
    network = await smallNetwork(5);
    names = [...network.clients.keys()];
    const port = Number(new URL(network.url).port);
    for (const [i, name] of names.entries()) {
      const proxy = await FaultyProxy.start({ port, random: randomFrom(SEED + i) });
      proxies.push(proxy);
      await network.killClient(name);
      network.startClient(name, [], { FEDLORA_COORDINATOR: proxy.url });
    }
    await network.untilAllConnected();
    const run = await network.startRun(
      await smallRun(ROUNDS, {
        maximumConsecutiveAborts: 1000,
        deadlinesMs: { advertising: 8000, sharing: 8000, training: 12_000, checking: 8000, unmasking: 8000 },
      }),
    );
    ended = await network.untilRunEnds(run.id);
    rounds = await network.rounds(run.id);
    for (const proxy of proxies) proxy.isFaulty = false;
    for (const name of names) {
      const at = ['--home', network.home(name), '--json'];
      ledgers.set(name, JSON.parse((await network.fedlora(['privacy', ...at])).stdout) as Ledger);
      const { stdout } = await network.fedlora(['rounds', '--last', '100000', ...at]);
      books.set(name, JSON.parse(stdout) as BookEntry[]);
    }
  }, TIMEOUT_MS);
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await network.stop();
  });

  it('met every kind of fault', () => {
    const met = Object.fromEntries(
      (['delay', 'cut', 'stall', 'corrupt'] as const).map((fault) => [
        fault,
        proxies.reduce((sum, proxy) => sum + proxy.counts[fault], 0),
      ]),
    );
    expect(
      Object.values(met).every((count) => count > 0),
      JSON.stringify(met),
    ).toBe(true);
  });

  it('are all done, and each that was aborted has a cause in words', () => {
    expect(ended).toMatchObject({ status: 'completed', completedRounds: ROUNDS });
    const done = rounds.filter(({ phase }) => phase === 'done');
    const aborted = rounds.filter(({ phase }) => phase === 'aborted');
    expect([done.length, aborted.length]).toEqual([ROUNDS, ended.abortedRounds]);
    for (const { cause } of aborted) expect(cause).toMatch(/\w+ \w+/);
    for (const { cause } of aborted) expect(cause).not.toMatch(/internal|unexpected|undefined|\[object/);
  });

  it('left every client alive, and none with a bug of ours in its log', async () => {
    for (const name of names) {
      expect(network.clients.get(name)?.exitCode ?? null, name).toBeNull();
      const log = await readFile(join(network.options.directory, 'logs', `${name}.log`), 'utf8');
      expect(
        log.split('\n').filter((line) => /"level":(50|60)/.test(line)),
        name,
      ).toEqual([]);
    }
    const log = await readFile(join(network.options.directory, 'logs', 'coordinator.log'), 'utf8');
    expect(log.split('\n').filter((line) => /"level":(50|60)/.test(line))).toEqual([]);
  });

  it('charged no client twice for a round, and each for every round that counted it', async () => {
    for (const name of names) {
      const charged = ledgers.get(name)?.entries.map(({ roundId }) => roundId) ?? [];
      expect(new Set(charged).size, name).toBe(charged.length);
      await network.fedlora(['privacy', 'verify', '--home', network.home(name)]);
      const counted = rounds.filter((round) =>
        round.participants.some((one) => one.name === name && ['uploaded', 'signed', 'unmasked'].includes(one.status)),
      );
      expect(
        counted.map(({ id }) => id).filter((id) => !charged.includes(id)),
        name,
      ).toEqual([]);
      // What a client says of itself: counted only where the round was done.
      const done = new Set(rounds.filter(({ phase }) => phase === 'done').map(({ id }) => id));
      const claimed = (books.get(name) ?? []).filter(({ ending }) => ending === 'counted');
      expect(
        claimed.map(({ roundId }) => roundId).filter((id) => !done.has(id)),
        name,
      ).toEqual([]);
      for (const { because } of books.get(name) ?? []) expect(because).not.toBe('');
    }
  });

  it('made one version after the other, and the last is whole and has learned something', async () => {
    const directory = join(network.coordinatorData, 'versions', ended.version);
    const { coordinatorKey } = JSON.parse(await readFile(join(network.home(names[0]), 'pins.json'), 'utf8')) as {
      coordinatorKey: string;
    };
    await network.fedlora(['adapter', 'verify', directory, '--key', coordinatorKey]);
    const { header } = readSafetensors(await readFile(join(directory, 'adapter_model.safetensors')));
    expect(header.tensors.size).toBeGreaterThan(0);
    const versions = rounds.filter(({ phase }) => phase === 'done').map(({ version }) => version);
    expect(new Set(versions).size).toBe(ROUNDS);
  });
});
