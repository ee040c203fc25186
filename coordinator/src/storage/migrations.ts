import { sql } from 'kysely';
import { auditLine, NO_AUDIT_HASH, repositoryOfRun, repositoryOfTitle } from '@fedlora/shared';
import type { AnyDatabase } from './sql-differences.js';

/** Statements in SQLite's words, of which `sql-differences.ts` knows PostgreSQL's; or steps that SQL cannot do. Runs inside a transaction. */
export type Migration = string | ((trx: AnyDatabase, run: (statements: string) => Promise<void>) => Promise<void>);

/**
 * The schema's history: entry i brings version i to version i + 1. Entries are never changed once released, only added.
 *
 * The coordinators of the release before go on beside what an entry has made (test/postgres/rolling-upgrade.test.ts). So an entry of a
 * release expands: tables, indexes, columns that may be left out. What it makes superfluous, a later release removes.
 */
export const migrations: readonly Migration[] = [
  `
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE organisations (
    name TEXT PRIMARY KEY, identity TEXT NOT NULL UNIQUE, certificate TEXT, enrolled_at INTEGER NOT NULL,
    last_seen_at INTEGER, client_version TEXT, device TEXT
  ) STRICT;
  CREATE TABLE invitations (
    token_hash TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, spent_at INTEGER
  ) STRICT;
  CREATE TABLE runs (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, manifest TEXT NOT NULL, manifest_signature TEXT NOT NULL, roster TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT, created_at INTEGER NOT NULL, ended_at INTEGER,
    maximum_consecutive_aborts INTEGER NOT NULL, version TEXT NOT NULL, completed_rounds INTEGER NOT NULL,
    aborted_rounds INTEGER NOT NULL, consecutive_aborts INTEGER NOT NULL, charged_rounds INTEGER NOT NULL,
    attempts INTEGER NOT NULL, previous_sid TEXT NOT NULL
  ) STRICT;
  CREATE TABLE rounds (
    id TEXT PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs (id), number INTEGER NOT NULL, completed_rounds INTEGER NOT NULL,
    base_version TEXT NOT NULL, previous_sid TEXT NOT NULL, sid TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER,
    outcome TEXT, version TEXT, mean_loss REAL, epsilon REAL, noise_to_signal REAL, final_state TEXT,
    UNIQUE (run_id, number)
  ) STRICT;
  CREATE INDEX rounds_open ON rounds (run_id) WHERE outcome IS NULL;
  CREATE TABLE round_events (
    round_id TEXT NOT NULL REFERENCES rounds (id), sequence INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (round_id, sequence)
  ) STRICT;
  CREATE TABLE round_messages (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT, round_id TEXT NOT NULL REFERENCES rounds (id), participant INTEGER NOT NULL,
    phase TEXT NOT NULL, message BLOB NOT NULL, UNIQUE (round_id, participant, phase)
  ) STRICT;
  CREATE TABLE versions (
    id TEXT PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs (id), parent TEXT, round_id TEXT, number INTEGER NOT NULL,
    created_at INTEGER NOT NULL, epsilon REAL, bytes INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX versions_of_run ON versions (run_id, number);
  CREATE TABLE audit (sequence INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, event TEXT NOT NULL, details TEXT NOT NULL) STRICT
  `,
  `
  ALTER TABLE rounds ADD COLUMN fraction_within REAL;
  ALTER TABLE rounds ADD COLUMN suggested_bound REAL;
  ALTER TABLE rounds ADD COLUMN held_out_loss REAL;
  ALTER TABLE rounds ADD COLUMN held_out_accuracy REAL
  `,
  // Users, sign-ins and API tokens take the place of the one operator token.
  `
  CREATE TABLE users (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, password_hash TEXT, role TEXT NOT NULL, runs TEXT, totp_secret TEXT,
    totp_pending TEXT, totp_step INTEGER, disabled INTEGER NOT NULL, created_at INTEGER NOT NULL, last_sign_in_at INTEGER
  ) STRICT;
  CREATE TABLE recovery_codes (user_id TEXT NOT NULL REFERENCES users (id), code_hash TEXT NOT NULL, PRIMARY KEY (user_id, code_hash)) STRICT;
  CREATE TABLE setup_links (token_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), expires_at INTEGER NOT NULL) STRICT;
  CREATE TABLE sign_ins (
    token_hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL REFERENCES users (id), created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL
  ) STRICT;
  CREATE INDEX sign_ins_of_user ON sign_ins (user_id);
  CREATE TABLE sign_in_failures (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, last_at INTEGER NOT NULL, locked_until INTEGER NOT NULL) STRICT;
  CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, permissions TEXT NOT NULL, runs TEXT,
    user_id TEXT NOT NULL REFERENCES users (id), created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, used_at INTEGER
  ) STRICT;
  CREATE TABLE idempotency (key_hash TEXT PRIMARY KEY, request_hash TEXT NOT NULL, answer BLOB, created_at INTEGER NOT NULL) STRICT;
  DELETE FROM settings WHERE key = 'operatorTokenHash'
  `,
  chainAudit,
  // Users whom an identity provider signs in.
  `
  ALTER TABLE users ADD COLUMN issuer TEXT;
  ALTER TABLE users ADD COLUMN subject TEXT;
  CREATE UNIQUE INDEX users_of_provider ON users (issuer, subject) WHERE subject IS NOT NULL
  `,
  // Organisations are suspended, their clocks and former keys known; invitations can be named and withdrawn.
  `
  ALTER TABLE organisations ADD COLUMN suspended_at INTEGER;
  ALTER TABLE organisations ADD COLUMN suspension_reason TEXT;
  ALTER TABLE organisations ADD COLUMN clock_skew_ms INTEGER;
  ALTER TABLE organisations ADD COLUMN clock_uncertainty_ms INTEGER;
  ALTER TABLE organisations ADD COLUMN clock_measured_at INTEGER;
  CREATE TABLE organisation_keys (
    identity TEXT PRIMARY KEY, name TEXT NOT NULL REFERENCES organisations (name), enrolled_at INTEGER NOT NULL, replaced_at INTEGER
  ) STRICT;
  CREATE INDEX keys_of_organisation ON organisation_keys (name);
  INSERT INTO organisation_keys SELECT identity, name, enrolled_at, NULL FROM organisations;
  ALTER TABLE invitations ADD COLUMN id TEXT NOT NULL DEFAULT '';
  ALTER TABLE invitations ADD COLUMN created_by TEXT;
  ALTER TABLE invitations ADD COLUMN withdrawn_at INTEGER;
  UPDATE invitations SET id = lower(hex(randomblob(8)));
  CREATE UNIQUE INDEX invitations_by_id ON invitations (id)
  `,
  // Releases: repositories, channels, and versions that are revoked or deprecated.
  `
  ALTER TABLE runs ADD COLUMN repository TEXT NOT NULL DEFAULT '';
  CREATE INDEX runs_of_repository ON runs (repository);
  ALTER TABLE versions ADD COLUMN revoked_at INTEGER;
  ALTER TABLE versions ADD COLUMN revoked_reason TEXT;
  ALTER TABLE versions ADD COLUMN deprecated_at INTEGER;
  ALTER TABLE versions ADD COLUMN deprecated_reason TEXT;
  CREATE INDEX rounds_from_version ON rounds (base_version);
  CREATE TABLE channel_moves (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, repository TEXT NOT NULL, channel TEXT NOT NULL, kind TEXT NOT NULL, version TEXT,
    at INTEGER NOT NULL, by TEXT NOT NULL, gate TEXT, reason TEXT
  ) STRICT;
  CREATE INDEX channel_moves_of ON channel_moves (repository, channel, sequence)
  `,
  nameRepositories,
  `
  CREATE TABLE version_downloads (
    version TEXT NOT NULL REFERENCES versions (id), day INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (version, day)
  ) STRICT
  `,
  `
  CREATE TABLE version_tags (
    repository TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL REFERENCES versions (id), created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, PRIMARY KEY (repository, name)
  ) STRICT
  `,
  // Schedules of runs, and the times that rounds were started for.
  `
  ALTER TABLE runs ADD COLUMN schedule TEXT;
  ALTER TABLE runs ADD COLUMN schedule_changed_at INTEGER;
  ALTER TABLE rounds ADD COLUMN scheduled_for INTEGER;
  CREATE INDEX rounds_by_start ON rounds (started_at)
  `,
  // Organisations leave.
  'ALTER TABLE organisations ADD COLUMN left_at INTEGER',
  // Versions that were merged from others.
  'ALTER TABLE versions ADD COLUMN merge TEXT',
  // What comes of using versions.
  `
  CREATE TABLE outcome_metrics (
    repository TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, minimum REAL NOT NULL, maximum REAL NOT NULL,
    is_open INTEGER NOT NULL, PRIMARY KEY (repository, name)
  ) STRICT;
  CREATE TABLE version_outcomes (
    version TEXT NOT NULL REFERENCES versions (id), metric TEXT NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL,
    sum REAL NOT NULL, squares REAL NOT NULL, PRIMARY KEY (version, metric, hour)
  ) STRICT
  `,
  // Organisations may let it be known what they have spent.
  'ALTER TABLE organisations ADD COLUMN declared_budget TEXT',
  // Owners report what their audits found.
  `
  CREATE TABLE version_audits (
    version TEXT NOT NULL REFERENCES versions (id), seal TEXT NOT NULL, canaries INTEGER NOT NULL, guesses INTEGER NOT NULL,
    right_guesses INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (version, seal)
  ) STRICT
  `,
  // One of several coordinators drives the rounds.
  `
  CREATE TABLE leases (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, token INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) STRICT
  `,
];

/** Each run of before there were repositories gets one of its own. */
async function nameRepositories(trx: AnyDatabase): Promise<void> {
  const { rows: runs } = await sql<{ id: string; title: string }>`
    SELECT id, title FROM runs ORDER BY created_at, id`.execute(trx);
  const taken = new Set<string>();
  for (const { id, title } of runs) {
    const ofTitle = repositoryOfTitle(title);
    const name = taken.has(ofTitle) ? repositoryOfRun(title, id) : ofTitle;
    taken.add(name);
    await sql`UPDATE runs SET repository = ${name} WHERE id = ${id}`.execute(trx);
  }
}

/** The audit log becomes a chain of hashes; what was recorded before is its beginning. */
async function chainAudit(trx: AnyDatabase, run: (statements: string) => Promise<void>): Promise<void> {
  const { rows: before } = await sql<{ at: number; event: string; details: string }>`
    SELECT at, event, details FROM audit ORDER BY sequence`.execute(trx);
  await run(`
    DROP TABLE audit;
    CREATE TABLE audit (sequence INTEGER PRIMARY KEY, entry TEXT NOT NULL, hash TEXT NOT NULL) STRICT
  `);
  let previous = NO_AUDIT_HASH;
  for (const [i, { at, event, details }] of before.entries()) {
    const sequence = i + 1;
    const { text, hash } = auditLine({
      sequence,
      previous,
      at,
      event,
      actor: { kind: 'unrecorded' },
      address: null,
      requestId: null,
      details: JSON.parse(details) as Record<string, string | number | boolean | null>,
      before: null,
      after: null,
    });
    await sql`INSERT INTO audit (sequence, entry, hash) VALUES (${sequence}, ${text}, ${hash})`.execute(trx);
    previous = hash;
  }
}
