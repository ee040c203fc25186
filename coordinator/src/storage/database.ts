/** The coordinator's database: Kysely on libsql, or on PostgreSQL where `databaseUrl` names one. */

import { Kysely, type Generated } from 'kysely';
import { FedloraError } from '@fedlora/shared';
import { migrations, type Migration } from './migrations.js';
import { openEmbedded } from './embedded.js';
import { openPostgres } from './postgres.js';
import type { CoordinatorConfig } from '../config/coordinator-config.js';
import type { DataFolder } from './data-folder.js';
import type { DatabaseKind, SqlDifferences } from './sql-differences.js';

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
  /** `null`: it is in the federation. */
  left_at: number | null;
  /** JSON of a `DeclaredBudget`. */
  declared_budget: string | null;
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
  /** JSON of a `MergeView`; `null` for what rounds made. */
  merge: string | null;
}

export interface OutcomeMetricsTable {
  repository: string;
  name: string;
  kind: string;
  minimum: number;
  maximum: number;
  /** 1: it may be reported; 0: not any more. */
  is_open: number;
}

export interface VersionOutcomesTable {
  version: string;
  metric: string;
  /** Hours since 1970. */
  hour: number;
  count: number;
  sum: number;
  squares: number;
}

export interface VersionAuditsTable {
  version: string;
  seal: string;
  canaries: number;
  guesses: number;
  right_guesses: number;
  at: number;
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

export interface LeasesTable {
  name: string;
  /** Of whom it is, or was last. */
  holder: string;
  /** Grows with every holder. */
  token: number;
  /** By the database's clock. */
  expires_at: number;
}

export interface Tables {
  settings: SettingsTable;
  leases: LeasesTable;
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
  outcome_metrics: OutcomeMetricsTable;
  version_outcomes: VersionOutcomesTable;
  version_audits: VersionAuditsTable;
  audit: AuditTable;
  users: UsersTable;
  recovery_codes: RecoveryCodesTable;
  setup_links: SetupLinksTable;
  sign_ins: SignInsTable;
  sign_in_failures: SignInFailuresTable;
  api_tokens: ApiTokensTable;
  idempotency: IdempotencyTable;
}

/**
 * Transactions come one after the other on either database, whoever begins them, and are on disk before they return: what one has
 * read, none other changes before it ends.
 */
export class Database extends Kysely<Tables> {
  /** Where the two databases' SQL is not the same. */
  readonly differences: SqlDifferences;

  constructor({ differences, ...config }: DatabaseKind) {
    super(config);
    this.differences = differences;
  }
}

/** Where a database is: the path of a file, or the address of a PostgreSQL database. */
export type DatabaseAddress = { readonly path: string } | { readonly url: string };

/**
 * Opens the database and brings it to the newest schema.
 *
 * @param history for tests of what older versions made
 * @throws FedloraError data-folder/foreign: a newer version made it | database/unreachable | database/refused
 */
export async function openDatabase(
  address: DatabaseAddress,
  history: readonly Migration[] = migrations,
): Promise<Database> {
  const db = new Database('url' in address ? openPostgres(address.url) : openEmbedded(address.path));
  try {
    await migrate(db, history, 'url' in address ? undefined : address.path);
    return db;
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

/** Each step in a transaction of its own, in which it is asked what is done already: another replica may start at the same time. */
async function migrate(db: Database, history: readonly Migration[], where: string | undefined): Promise<void> {
  const { differences } = db;
  for (let isNewest = false; !isNewest;) {
    isNewest = await db.transaction().execute(async (trx) => {
      const version = await differences.readVersion(trx);
      if (version > history.length)
        throw new FedloraError('data-folder/foreign', 'The database was made by a newer version of the coordinator.', {
          ...(where === undefined ? {} : { where }),
        });
      if (version === history.length) return true;
      const migration = history[version];
      const run = (statements: string): Promise<void> => differences.runSchema(statements, trx);
      if (typeof migration === 'string') await run(migration);
      else await migration(trx, run);
      await differences.writeVersion(version + 1, trx);
      return false;
    });
  }
}

/** The database of a coordinator: of its configuration, else of its data folder. */
export function databaseOf(
  { databaseUrl }: Pick<CoordinatorConfig, 'databaseUrl'>,
  folder: Pick<DataFolder, 'database'>,
): DatabaseAddress {
  return databaseUrl === undefined ? { path: folder.database } : { url: databaseUrl };
}
