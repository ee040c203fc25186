/** The embedded profile's database: Kysely on libsql. Every commit is on disk before it returns. */

import Sqlite from 'libsql';
import { Kysely, SqliteDialect, type Generated } from 'kysely';
import { FedloraError } from '@fedlora/shared';
import { migrations } from './migrations.js';

export interface SettingsTable {
  key: string;
  value: string;
}

export interface OrganisationsTable {
  name: string;
  /** Ed25519 public key, hex. */
  identity: string;
  /** `null` until the federation key has certified the member. */
  certificate: string | null;
  enrolled_at: number;
  last_seen_at: number | null;
  client_version: string | null;
  device: string | null;
}

export interface InvitationsTable {
  token_hash: string;
  name: string;
  created_at: number;
  expires_at: number;
  spent_at: number | null;
}

export interface RunsTable {
  id: string;
  title: string;
  /** Canonical JSON. */
  manifest: string;
  manifest_signature: string;
  roster: string;
  status: string;
  /** Why it ended. */
  reason: string | null;
  created_at: number;
  ended_at: number | null;
  maximum_consecutive_aborts: number;
  /** Newest adapter version. */
  version: string;
  completed_rounds: number;
  aborted_rounds: number;
  consecutive_aborts: number;
  /** Rounds whose sum was, or may have been, revealed: what the accountant counts. */
  charged_rounds: number;
  /** Attempts so far: the number of the newest round. */
  attempts: number;
  /** Session id of the newest round, hex. */
  previous_sid: string;
}

export interface RoundsTable {
  id: string;
  run_id: string;
  number: number;
  completed_rounds: number;
  base_version: string;
  previous_sid: string;
  sid: string;
  started_at: number;
  ended_at: number | null;
  /** `done`, `aborted`, or null while it runs. */
  outcome: string | null;
  version: string | null;
  mean_loss: number | null;
  epsilon: number | null;
  noise_to_signal: number | null;
  fraction_within: number | null;
  suggested_bound: number | null;
  held_out_loss: number | null;
  held_out_accuracy: number | null;
  /** JSON of the machine's state at the end; null while the round runs. */
  final_state: string | null;
}

export interface RoundEventsTable {
  round_id: string;
  sequence: number;
  event: string;
}

export interface RoundMessagesTable {
  round_id: string;
  participant: number;
  phase: string;
  /** The protocol message as received. libsql gives blobs back as ArrayBuffer or Buffer. */
  message: Uint8Array | ArrayBuffer;
  /** Arrival order within the round. */
  arrival: Generated<number>;
}

export interface VersionsTable {
  id: string;
  run_id: string;
  parent: string | null;
  round_id: string | null;
  number: number;
  created_at: number;
  epsilon: number | null;
  bytes: number;
}

export interface AuditTable {
  sequence: Generated<number>;
  at: number;
  event: string;
  /** JSON of plain values; never secrets. */
  details: string;
}

export interface Tables {
  settings: SettingsTable;
  organisations: OrganisationsTable;
  invitations: InvitationsTable;
  runs: RunsTable;
  rounds: RoundsTable;
  round_events: RoundEventsTable;
  round_messages: RoundMessagesTable;
  versions: VersionsTable;
  audit: AuditTable;
}

export type Database = Kysely<Tables>;

/** Opens the database and brings it to the newest schema. @throws FedloraError data-folder/foreign: a newer version made it */
export function openDatabase(path: string): Database {
  const sqlite = new Sqlite(path);
  for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON', 'secure_delete = ON']) {
    sqlite.exec(`PRAGMA ${pragma}`);
  }
  const [{ user_version: version }] = sqlite.prepare('PRAGMA user_version').all() as { user_version: number }[];
  if (version > migrations.length) {
    sqlite.close();
    throw new FedloraError('data-folder/foreign', 'The database was made by a newer version of the coordinator.', {
      where: path,
    });
  }
  migrations.slice(version).forEach((migration, i) => {
    sqlite.exec(`BEGIN; ${migration}; PRAGMA user_version = ${version + i + 1}; COMMIT;`);
  });
  // Safe: libsql has better-sqlite3's interface, which is what Kysely's dialect is written for.
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) });
}
