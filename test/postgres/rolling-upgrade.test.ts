/** What a rolling upgrade relies on: the coordinators of one version go on beside a database that the next version has expanded already. */

import { routes, type RoundView, type RunView } from '@fedlora/shared';
import { sql } from 'kysely';
import { afterEach, describe, expect, it } from 'vitest';
import { startCoordinator } from '../../coordinator/src/start-coordinator.js';
import { openDatabase } from '../../coordinator/src/storage/database.js';
import { migrations, type Migration } from '../../coordinator/src/storage/migrations.js';
import { untilRound, untilRun } from '../support/fake-federation.js';
import { startFakeNetwork, stopFakeNetwork, type FakeNetwork } from '../support/fake-network.js';
import { listAll, operate } from '../support/requests.js';
import { plainRun } from '../support/tiny-run.js';

/** All that a migration may do that a version before has to bear: columns that may be left out, tables and indexes. */
const expand: Migration = async (trx, run) => {
  const { rows } = await sql<{ name: string }>`
    SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()`.execute(trx);
  expect(rows.length).toBeGreaterThan(20);
  for (const { name } of rows) {
    await run(`ALTER TABLE ${name} ADD COLUMN next_text TEXT`);
    await run(`ALTER TABLE ${name} ADD COLUMN next_number INTEGER NOT NULL DEFAULT 7`);
  }
  await run('CREATE TABLE next_things (id TEXT PRIMARY KEY) STRICT');
};

describe('a coordinator whose database the next version has expanded', () => {
  let network: FakeNetwork;
  afterEach(() => stopFakeNetwork(network));

  it('goes on with the round that is open and with rounds after it, and is not started again', async () => {
    network = await startFakeNetwork(['bank', 'clinic', 'council'], ({ organisations }) => {
      organisations[2].ignores = ({ phase }) => phase === 'training';
    });
    const { coordinator, federation, admin, config } = network;
    const { url } = coordinator;
    const plan = (): Promise<RunView> => operate<RunView>(url, admin.token, 'POST', routes.runs, plainRun);
    const { id } = await plan();
    await untilRound(
      url,
      admin.token,
      id,
      ({ phase, participants }) =>
        phase === 'training' && participants.filter(({ status }) => status === 'uploaded').length === 2,
    );

    await (await openDatabase({ url: config.databaseUrl ?? '' }, [...migrations, expand])).destroy();

    const council = federation.organisations[2];
    council.ignores = () => false;
    council.disconnect();
    await council.connect(url);
    const first = await untilRun(url, admin.token, id);
    expect(first).toMatchObject({ status: 'completed', completedRounds: plainRun.rounds, abortedRounds: 0 });
    const { id: other } = await plan();
    expect(await untilRun(url, admin.token, other)).toMatchObject({ status: 'completed', abortedRounds: 0 });
    const rounds = await listAll<RoundView>(url, admin.token, routes.rounds(id));
    expect(rounds.map(({ phase }) => phase)).toEqual(['done', 'done']);

    // One that ends has the next version in its place.
    await expect(startCoordinator({ ...config, port: 0 })).rejects.toMatchObject({ code: 'data-folder/foreign' });
  });
});
