import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'libsql';
import { verifyAuditLines } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { AuditLog } from '../audit/audit-log.js';
import { bySystem } from '../audit/origin.js';
import { openDatabase } from './database.js';
import { migrations } from './migrations.js';

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
