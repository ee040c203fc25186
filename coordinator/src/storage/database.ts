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
  /** `null`: it is not suspended. */
  suspended_at: number | null;
  suspension_reason: string | null;
  /** Client's clock minus ours, at its last sign-in; `null` until one told its time. */
  clock_skew_ms: number | null;
  clock_uncertainty_ms: number | null;
  clock_measured_at: number | null;
}

export interface OrganisationKeysTable {
  /** Ed25519 public key, hex. */
  identity: string;
  name: string;
  enrolled_at: number;
  /** `null` while it is in use. */
  replaced_at: number | null;
}

export interface InvitationsTable {
  token_hash: string;
  /** What the invitation is called where it is shown; opens nothing. */
  id: string;
  name: string;
  /** Name of who made it. */
  created_by: string | null;
  created_at: number;
  expires_at: number;
  spent_at: number | null;
  withdrawn_at: number | null;
}

export interface RunsTable {
  id: string;
  title: string;
  /** Where its versions are published, `owner/name`. */
  repository: string;
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
  /** JSON, without parts that ask for nothing; `null` without any. */
  schedule: string | null;
  /** Since when it is this one; `null` if there never was one. */
  schedule_changed_at: number | null;
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
  /** The time of the schedule that it was started for. */
  scheduled_for: number | null;
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
  revoked_at: number | null;
  revoked_reason: string | null;
  deprecated_at: number | null;
  deprecated_reason: string | null;
}

export interface VersionTagsTable {
  repository: string;
  name: string;
  version: string;
  created_at: number;
  created_by: string;
}

/** How often the weights of a version were fetched on a day, counted from 1970 in UTC. */
export interface VersionDownloadsTable {
  version: string;
  day: number;
  count: number;
}

/** What was done with channels, in order: what they have now follows from it. */
export interface ChannelMovesTable {
  sequence: Generated<number>;
  repository: string;
  channel: string;
  kind: string;
  version: string | null;
  at: number;
  /** Name of who did it. */
  by: string;
  /** Outcome of the release gate at a promotion. */
  gate: string | null;
  reason: string | null;
}

export interface AuditTable {
  sequence: number;
  /** JSON of the entry; the hash is over its canonical form. */
  entry: string;
  /** Hex; the next entry names it. */
  hash: string;
}

export interface UsersTable {
  id: string;
  name: string;
  /** argon2id in PHC form; `null` until the user has set a password. */
  password_hash: string | null;
  role: string;
  /** JSON list of the runs that the user may see; `null` for all. */
  runs: string | null;
  /** Base32; `null` without a second factor. */
  totp_secret: string | null;
  /** Offered, and not yet confirmed by a code. */
  totp_pending: string | null;
  /** The last time step whose code was used: a code opens once. */
  totp_step: number | null;
  disabled: number;
  created_at: number;
  last_sign_in_at: number | null;
  /** The identity provider that signs the user in, and what it calls the user for good; both `null` for who has a password. */
  issuer: string | null;
  subject: string | null;
}

export interface RecoveryCodesTable {
  user_id: string;
  code_hash: string;
}

export interface SetupLinksTable {
  token_hash: string;
  user_id: string;
  expires_at: number;
}

export interface SignInsTable {
  token_hash: string;
  /** What the sign-in is called where it is shown; opens nothing. */
  id: string;
  user_id: string;
  created_at: number;
  used_at: number;
  address: string;
  agent: string;
}

export interface SignInFailuresTable {
  /** Any name that was tried, so that what happens does not tell whether a user has it. */
  name: string;
  failures: number;
  last_at: number;
  locked_until: number;
}

export interface ApiTokensTable {
  id: string;
  token_hash: string;
  name: string;
  /** JSON lists; `runs` is `null` for all. */
  permissions: string;
  runs: string | null;
  /** Who made it: it can never do more than this user may. */
  user_id: string;
  created_at: number;
  expires_at: number;
  used_at: number | null;
}

export interface IdempotencyTable {
  key_hash: string;
  request_hash: string;
  /** Encrypted; `null` while it is being done. */
  answer: Uint8Array | ArrayBuffer | null;
  created_at: number;
}

export interface Tables {
  settings: SettingsTable;
  organisations: OrganisationsTable;
  organisation_keys: OrganisationKeysTable;
  invitations: InvitationsTable;
  runs: RunsTable;
  rounds: RoundsTable;
  round_events: RoundEventsTable;
  round_messages: RoundMessagesTable;
  versions: VersionsTable;
  channel_moves: ChannelMovesTable;
  version_downloads: VersionDownloadsTable;
  version_tags: VersionTagsTable;
  audit: AuditTable;
  users: UsersTable;
  recovery_codes: RecoveryCodesTable;
  setup_links: SetupLinksTable;
  sign_ins: SignInsTable;
  sign_in_failures: SignInFailuresTable;
  api_tokens: ApiTokensTable;
  idempotency: IdempotencyTable;
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
    sqlite.exec('BEGIN');
    if (typeof migration === 'string') sqlite.exec(migration);
    else migration(sqlite);
    sqlite.exec(`PRAGMA user_version = ${version + i + 1}; COMMIT;`);
  });
  // Safe: libsql has better-sqlite3's interface, which is what Kysely's dialect is written for.
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) });
}
