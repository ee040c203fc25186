import { sql } from 'kysely';
import { verifyAuditLines } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { aDatabase, isOnPostgres } from '../../../test/support/database.js';
import { AuditLog } from '../audit/audit-log.js';
import { bySystem } from '../audit/origin.js';
import { InvitationsRepository } from '../enrolment/invitations.repository.js';
import { OrganisationsRepository } from '../enrolment/organisations.repository.js';
import { openDatabase, type DatabaseAddress } from './database.js';
import { migrations } from './migrations.js';

/** A database as the version of the coordinator left it that knew so many steps, with these rows. */
async function ofVersion(version: number, ...statements: readonly string[]): Promise<DatabaseAddress> {
  const address = await aDatabase();
  const before = await openDatabase(address, migrations.slice(0, version));
  for (const statement of statements) await sql.raw(statement).execute(before);
  await before.destroy();
  return address;
}

describe('a database of before there were users', () => {
  it('keeps its audit log, as the beginning of the chain, and forgets the operator’s token', async () => {
    const address = await ofVersion(
      1,
      `INSERT INTO settings VALUES ('operatorTokenHash', 'ab'), ('federationKey', 'cd')`,
      `INSERT INTO audit (at, event, details) VALUES (1, 'run.started', '{"runId":"run-1"}'), (2, 'run.stopped', '{}')`,
    );
    const db = await openDatabase(address);
    const log = new AuditLog(db, () => 3);
    await log.record({ event: 'user.created', by: bySystem });
    const lines: string[] = [];
    for await (const line of log.after(0)) lines.push(JSON.stringify(line));
    expect(verifyAuditLines(lines).sequence).toBe(3);
    expect(lines.map((line) => (JSON.parse(line) as { entry: object }).entry)).toMatchObject([
      { at: 1, event: 'run.started', details: { runId: 'run-1' }, actor: { kind: 'unrecorded' } },
      { at: 2, event: 'run.stopped' },
      { at: 3, event: 'user.created', actor: { kind: 'system' } },
    ]);
    expect(await db.selectFrom('settings').select('key').execute()).toEqual([{ key: 'federationKey' }]);
    await db.destroy();
  });
});

describe('a database of before organisations were suspended', () => {
  it('keeps their keys as the first of a history, and its invitations under names of their own', async () => {
    const version = migrations.findIndex((one) => typeof one === 'string' && one.includes('organisation_keys'));
    const address = await ofVersion(
      version,
      `INSERT INTO organisations (name, identity, enrolled_at) VALUES ('bank', 'ab', 7), ('clinic', 'cd', 8)`,
      `INSERT INTO invitations VALUES ('h1', 'bank', 1, 2, 2), ('h2', 'museum', 1, 2, NULL)`,
    );
    const db = await openDatabase(address);
    const organisations = new OrganisationsRepository(db);
    expect(await organisations.keysOf('clinic')).toEqual([
      { name: 'clinic', identity: 'cd', enrolled_at: 8, replaced_at: null },
    ]);
    expect(await organisations.outOfRounds()).toEqual(new Map());
    const invitations = await new InvitationsRepository(db).list();
    expect(new Set(invitations.map(({ id }) => id)).size).toBe(2);
    expect(invitations.every(({ id }) => /^[0-9a-f]{16}$/.test(id))).toBe(true);
    expect(invitations.find(({ name }) => name === 'museum')).toMatchObject({ created_by: null, withdrawn_at: null });
    await db.destroy();
  });
});

describe('a database of before there were repositories', () => {
  it('has one for each run, and no two runs share one', async () => {
    const run = (id: string): string =>
      `INSERT INTO runs VALUES ('${id}', 'Support', '{}', '', '{}', 'completed', NULL, 1, 1, 20, '', 0, 0, 0, 0, 0, '')`;
    const db = await openDatabase(await ofVersion(1, run('run-0123456789ab'), run('run-ba9876543210')));
    const runs = await db.selectFrom('runs').select('repository').orderBy('id').execute();
    expect(runs.map(({ repository }) => repository)).toEqual(['fedlora/support', 'fedlora/support-ba987654']);
    await db.destroy();
  });
});

describe('a database', () => {
  it('is not opened by a version that is older than it', async () => {
    const address = await ofVersion(migrations.length);
    await expect(openDatabase(address, migrations.slice(1))).rejects.toMatchObject({ code: 'data-folder/foreign' });
  });

  it('is brought to the newest schema by one of several that open it at once', async () => {
    const address = await ofVersion(2);
    const opened = await Promise.all(Array.from({ length: isOnPostgres ? 4 : 1 }, () => openDatabase(address)));
    for (const db of opened) {
      expect(await db.selectFrom('version_outcomes').selectAll().execute()).toEqual([]);
      await db.destroy();
    }
  });

  it('orders texts by their bytes, and gives whole numbers back as numbers', async () => {
    const db = await openDatabase(await aDatabase());
    const names = ['Zoo', 'a', 'B', 'é', '_'];
    const at = Date.parse('2100-01-01');
    for (const name of names) await db.insertInto('settings').values({ key: name, value: name }).execute();
    await db.insertInto('organisations').values({ name: 'bank', identity: 'ab', enrolled_at: at }).execute();
    const rows = await db.selectFrom('settings').select('key').orderBy('key').execute();
    expect(rows.map(({ key }) => key)).toEqual([...names].sort());
    expect(await db.selectFrom('organisations').select('enrolled_at').execute()).toEqual([{ enrolled_at: at }]);
    const counted = await db
      .selectFrom('settings')
      .select((row) => row.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    expect(counted).toEqual({ count: 5 });
    expect(await db.selectFrom('settings').selectAll().where('key', 'in', []).execute()).toEqual([]);
    await db.destroy();
  });
});
