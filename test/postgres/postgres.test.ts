import { setTimeout as wait } from 'node:timers/promises';
import { sql } from 'kysely';
import { verifyAuditLines, routes, type RoundView, type RunView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AuditLog } from '../../coordinator/src/audit/audit-log.js';
import { bySystem } from '../../coordinator/src/audit/origin.js';
import { openDatabase, type Database } from '../../coordinator/src/storage/database.js';
import { CommitCutter } from '../support/commit-cutter.js';
import { untilRound, untilRun } from '../support/fake-federation.js';
import { startFakeNetwork, stopFakeNetwork } from '../support/fake-network.js';
import { PostgresServer } from '../support/postgres-server.js';
import { listAll, operate, send } from '../support/requests.js';
import { plainRun } from '../support/tiny-run.js';

let server: PostgresServer;
/** Its restarts are nobody else's. What it acknowledges outlives its processes; power cuts are PostgreSQL's own to test. */
beforeAll(async () => {
  server = await PostgresServer.start(['synchronous_commit=on']);
});
afterAll(() => server.stop());

async function events(db: Database): Promise<string[]> {
  const found: string[] = [];
  for await (const { entry } of new AuditLog(db, Date.now).after(0)) found.push(entry.event);
  return found;
}

describe('a database that cannot be used', () => {
  it('is named with the reason, and without its password', async () => {
    const nobody = openDatabase({ url: 'postgres://fedlora:secret-of-ours@127.0.0.1:1/fedlora' });
    let now = 0;
    vi.spyOn(Date, 'now').mockImplementation(() => (now += 10_000)); // It waits for a restart, but not for that long.
    const error = (await nobody.catch((thrown: unknown) => thrown)) as Error;
    vi.restoreAllMocks();
    expect(error).toMatchObject({ code: 'database/unreachable', where: '127.0.0.1:1/fedlora' });
    expect(String(error)).toContain('ECONNREFUSED');
    expect(JSON.stringify([error, String(error), error.stack])).not.toContain('secret-of-ours');
  });

  it('because nobody made it, or its server has no TLS, is not tried again', async () => {
    const startedAt = Date.now();
    await expect(openDatabase({ url: server.url('missing') })).rejects.toMatchObject({ code: 'database/refused' });
    const url = `${server.url('postgres')}?sslmode=verify-full`;
    await expect(openDatabase({ url })).rejects.toMatchObject({ code: 'database/refused' });
    expect(Date.now() - startedAt).toBeLessThan(5000);
  });
});

describe('transactions of two processes', () => {
  it('come one after the other: the audit log stays one chain', async () => {
    const url = await server.database();
    const both = [await openDatabase({ url }), await openDatabase({ url })];
    await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        new AuditLog(both[i % 2], Date.now).record({ event: `e.${i}`, by: bySystem }),
      ),
    );
    const lines: string[] = [];
    for await (const line of new AuditLog(both[0], Date.now).after(0)) lines.push(JSON.stringify(line));
    expect(verifyAuditLines(lines).sequence).toBe(40);
    await Promise.all(both.map((db) => db.destroy()));
  });

  it('do not wait for one that does nothing for a quarter of a minute', async () => {
    const db = await openDatabase({ url: await server.database() });
    const { rows } = await sql<{ idle_in_transaction_session_timeout: string }>`
      SHOW idle_in_transaction_session_timeout`.execute(db);
    expect(rows).toEqual([{ idle_in_transaction_session_timeout: '15s' }]);
    await db.destroy();
  });

  it('tell of an error without the rows that PostgreSQL quotes', async () => {
    const db = await openDatabase({ url: await server.database() });
    const add = (): Promise<unknown> =>
      db.insertInto('settings').values({ key: 'a-key-of-ours', value: '1' }).execute();
    await add();
    const error = (await add().catch((thrown: unknown) => thrown)) as Error;
    expect(error).toMatchObject({ code: '23505' });
    expect(JSON.stringify([error, Object.entries(error), String(error)])).not.toContain('a-key-of-ours');
    await expect(db.insertInto('settings').values({ key: 'a\0', value: '1' }).execute()).rejects.toMatchObject({
      code: 'request/invalid',
    });
    await db.destroy();
  });
});

describe('a connection that breaks while it commits', () => {
  it.each(['before', 'after'] as const)('%s the server hears of it leaves nothing open', async (when) => {
    const cutter = await CommitCutter.start(server.port);
    const db = await openDatabase({ url: cutter.through(await server.database()) });
    cutter.cut(when);
    const recorded = new AuditLog(db, Date.now).record({ event: 'run.started', by: bySystem });
    if (when === 'after') await recorded;
    else await expect(recorded).rejects.toMatchObject({ code: 'database/unreachable' });
    expect(await events(db)).toEqual(when === 'after' ? ['run.started'] : []);
    await db.destroy();
    cutter.close();
  });
});

describe('a restart of PostgreSQL', () => {
  it.each([false, true])('in the middle of a round loses nothing (abruptly: %s)', async (abruptly) => {
    const databaseUrl = await server.database();
    const network = await startFakeNetwork(
      ['bank', 'clinic', 'council'],
      ({ organisations }) => {
        organisations[2].ignores = ({ phase }) => phase === 'training';
      },
      { databaseUrl },
    );
    const { coordinator, admin, federation } = network;
    const { url } = coordinator;
    const { id } = await operate<RunView>(url, admin.token, 'POST', routes.runs, {
      ...plainRun,
      deadlinesMs: { advertising: 20_000, sharing: 20_000, training: 20_000, checking: 20_000, unmasking: 20_000 },
    });
    await untilRound(url, admin.token, id, ({ phase }) => phase === 'training');
    await server.halt({ abruptly });
    const asked = send(url, 'GET', routes.run(id), admin.token);
    await wait(500);
    await server.goOn(['synchronous_commit=on']);
    expect((await asked).status).toBe(200);
    // Whoever was cut off in the middle comes again, as clients do.
    const [, , council] = federation.organisations;
    council.ignores = () => false;
    federation.disconnect();
    await federation.connect(url);
    expect(await untilRun(url, admin.token, id)).toMatchObject({
      status: 'completed',
      completedRounds: 2,
      abortedRounds: 0,
    });
    const rounds = await listAll<RoundView>(url, admin.token, routes.rounds(id));
    expect(rounds.flatMap(({ participants }) => participants.map(({ status }) => status))).toEqual(
      Array(6).fill('unmasked'),
    );
    const db = await openDatabase({ url: databaseUrl });
    expect(await db.selectFrom('round_messages').selectAll().execute()).toEqual([]);
    const { rows } = await sql<{ bytes: number }>`SELECT pg_table_size('round_messages') AS bytes`.execute(db);
    expect(rows[0].bytes).toBeLessThanOrEqual(65_536); // Nothing of the messages: only what an empty table has.
    await db.destroy();
    await stopFakeNetwork(network);
  });
});
