import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from './config/coordinator-config.js';
import { migrateDatabase } from './migrate.js';
import { DataFolder } from './storage/data-folder.js';
import { openDatabase } from './storage/database.js';
import { migrations } from './storage/migrations.js';

describe('migrateDatabase', () => {
  let dataFolder: string;
  beforeEach(async () => {
    dataFolder = await mkdtemp(join(tmpdir(), 'fedlora-migrate-'));
  });
  afterEach(() => rm(dataFolder, { recursive: true }));
  const config = () => loadConfig([], { FEDLORA_FEDERATION_KEY: 'ab'.repeat(32), FEDLORA_DATA: dataFolder });

  it('brings what an earlier version made up to date, and leaves it as it is the second time', async () => {
    const path = new DataFolder(dataFolder).database;
    await (await openDatabase({ path }, migrations.slice(0, 3))).destroy();
    for (let time = 0; time < 2; time += 1) {
      expect(await migrateDatabase(config())).toBe(migrations.length);
      const db = await openDatabase({ path });
      expect(await db.selectFrom('organisation_keys').selectAll().execute()).toEqual([]);
      await db.destroy();
    }
  });

  it('is refused while a coordinator has the folder', async () => {
    const release = await new DataFolder(dataFolder).take();
    await expect(migrateDatabase(config())).rejects.toMatchObject({ code: 'data-folder/locked' });
    release();
  });
});
