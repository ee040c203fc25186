/** The way back in: whoever holds the data folder of a coordinator that is stopped may administer it. */

import { Lockout } from './access/lockout.js';
import { SignIns } from './access/sign-ins.js';
import { UsersRepository } from './access/users.repository.js';
import { UserService } from './access/users.service.js';
import { AuditLog } from './audit/audit-log.js';
import type { CoordinatorConfig } from './config/coordinator-config.js';
import { Announcements } from './observe/announcements.js';
import { DataFolder } from './storage/data-folder.js';
import { databaseOf, openDatabase } from './storage/database.js';

/** The token of a fresh set-up link for `admin`. @throws FedloraError data-folder/locked: the coordinator runs */
export async function createAdminLink(config: CoordinatorConfig): Promise<string> {
  const folder = new DataFolder(config.dataFolder);
  await folder.prepare();
  const release = await folder.take();
  try {
    const db = await openDatabase(databaseOf(config, folder));
    const now = Date.now;
    const audit = new AuditLog(db, now);
    try {
      return await new UserService({
        users: new UsersRepository(db),
        signIns: new SignIns(db, now),
        lockout: new Lockout(db, now),
        audit,
        announcements: new Announcements(),
        now,
      }).adminLink();
    } finally {
      await db.destroy();
    }
  } finally {
    release();
  }
}
