/** The embedded profile's database: one SQLite file. Every commit is on disk before it returns, and survives a power cut. */

import { SqliteDialect } from 'kysely';
import Sqlite from 'libsql';
import { ofSqlite, type DatabaseKind } from './sql-differences.js';

const pragmas = ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON', 'secure_delete = ON'];

export function openEmbedded(path: string): DatabaseKind {
  const sqlite = new Sqlite(path);
  for (const pragma of pragmas) sqlite.exec(`PRAGMA ${pragma}`);
  // Safe: libsql has better-sqlite3's interface, which is what Kysely's dialect is written for.
  return { dialect: new SqliteDialect({ database: sqlite }), differences: ofSqlite };
}
