import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'libsql';
import { verifyAuditLines } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { AuditLog } from '../audit/audit-log.js';
import { bySystem } from '../audit/origin.js';
import { InvitationsRepository } from '../enrolment/invitations.repository.js';
import { OrganisationsRepository } from '../enrolment/organisations.repository.js';
import { openDatabase } from './database.js';
import { migrations, type Migration } from './migrations.js';

describe('a data folder of before there were users', () => {
  it('keeps its audit log, as the beginning of the chain, and forgets the operator’s token', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'fedlora-migrations-')), 'database.sqlite');
    const before = new Sqlite(path);
    before.exec(`${migrations[0] as string}; PRAGMA user_version = 1`);
    before.exec(`INSERT INTO settings VALUES ('operatorTokenHash', 'ab'), ('federationKey', 'cd')`);
    before.exec(
      `INSERT INTO audit (at, event, details) VALUES (1, 'run.started', '{"runId":"run-1"}'), (2, 'run.stopped', '{}')`,
    );
    before.close();

    const db = openDatabase(path);
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

describe('a data folder of before organisations were suspended', () => {
  it('keeps their keys as the first of a history, and its invitations under names of their own', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'fedlora-migrations-')), 'database.sqlite');
    const before = new Sqlite(path);
    const apply = (migration: Migration): void =>
      typeof migration === 'string' ? void before.exec(migration) : migration(before);
    const version = migrations.findIndex((one) => typeof one === 'string' && one.includes('organisation_keys'));
    migrations.slice(0, version).forEach(apply);
    before.exec(`PRAGMA user_version = ${version}`);
    before.exec(
      `INSERT INTO organisations (name, identity, enrolled_at) VALUES ('bank', 'ab', 7), ('clinic', 'cd', 8)`,
    );
    before.exec(`INSERT INTO invitations VALUES ('h1', 'bank', 1, 2, 2), ('h2', 'museum', 1, 2, NULL)`);
    before.close();

    const db = openDatabase(path);
    const organisations = new OrganisationsRepository(db);
    expect(await organisations.keysOf('clinic')).toEqual([
      { name: 'clinic', identity: 'cd', enrolled_at: 8, replaced_at: null },
    ]);
    expect(await organisations.suspended()).toEqual(new Set());
    const invitations = await new InvitationsRepository(db).list();
    expect(new Set(invitations.map(({ id }) => id)).size).toBe(2);
    expect(invitations[1]).toMatchObject({ name: 'museum', created_by: null, withdrawn_at: null });
    await db.destroy();
  });
});

describe('a data folder of before there were repositories', () => {
  it('has one for each run, and no two runs share one', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'fedlora-migrations-')), 'database.sqlite');
    const before = new Sqlite(path);
    before.exec(`${migrations[0] as string}; PRAGMA user_version = 1`);
    for (const id of ['run-0123456789ab', 'run-ba9876543210'])
      before.exec(
        `INSERT INTO runs VALUES ('${id}', 'Support', '{}', '', '{}', 'completed', NULL, 1, 1, 20, '', 0, 0, 0, 0, 0, '')`,
      );
    before.close();

    const db = openDatabase(path);
    const runs = await db.selectFrom('runs').select('repository').orderBy('id').execute();
    expect(runs.map(({ repository }) => repository)).toEqual(['fedlora/support', 'fedlora/support-ba987654']);
    await db.destroy();
  });
});
