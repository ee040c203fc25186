/** Brings the database up to date before any coordinator of the new version starts: an upgrade that cannot do so stops there. */

import type { CoordinatorConfig } from './config/coordinator-config.js';
import { DataFolder } from './storage/data-folder.js';
import { databaseOf, openDatabase } from './storage/database.js';
import { migrations } from './storage/migrations.js';

/**
 * The version that the database's schema has then. On PostgreSQL coordinators of the version before may go on meanwhile.
 *
 * @throws FedloraError data-folder/locked: the coordinator that has the folder runs | data-folder/foreign: a newer version made it |
 *         database/unreachable | database/refused
 */
export async function migrateDatabase(config: CoordinatorConfig): Promise<number> {
  const folder = new DataFolder(config.dataFolder);
  let release = (): void => undefined;
  if (config.databaseUrl === undefined) {
    await folder.prepare();
    release = await folder.take();
  }
  try {
    await (await openDatabase(databaseOf(config, folder))).destroy();
    return migrations.length;
  } finally {
    release();
  }
}
