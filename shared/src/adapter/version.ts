/**
 * An adapter version: a PEFT directory whose content gives it its name, signed by the coordinator.
 *
 * Files      adapter_config.json, adapter_model.safetensors, README.md, with rule `fed-sb` fed_sb.safetensors, and beside them
 *            manifest.json (this record), manifest.sig (Ed25519 over `versionMessage`, hex) and the same as an in-toto statement.
 */

import { canonicalJson, sha256, toHex, type PrivacyUnit, type RunRelease } from '@fedlora/protocol';
import { ATTESTATION_FILE } from './attestation.js';
import type { WeightDtype } from './convert.js';
import type { MergeMethod } from './merge.js';

export interface VersionFile {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** Where a version comes from. Everything but `id` is hashed into `id`. */
export interface VersionRecord {
  readonly id: string;
  /** Of a version that was merged from others: from which. The run, its hashes, `parent` and the rounds are then those of the first. */
  readonly merge?: MergeLineage;
  /** Of a version whose weights were rounded to another number format: from which. All else but `files` is then that version's. */
  readonly conversion?: { readonly version: string; readonly dtype: WeightDtype };
  readonly runId: string;
  /** Version that the round started from; `null` for the first of a run. */
  readonly parent: string | null;
  readonly roundId: string | null;
  /** Rounds of the run that went well, this one included. */
  readonly completedRounds: number;
  readonly manifestHash: string;
  readonly rosterHash: string;
  readonly base: { readonly name: string; readonly digest: string };
  readonly unit: PrivacyUnit;
  /** Of the run up to this version; `null` where no promise is made. */
  readonly epsilon: number | null;
  readonly delta: number | null;
  readonly createdAt: number;
  readonly files: readonly VersionFile[];
}

/** What a version was merged from, and what that tells about its privacy. */
export interface MergeLineage {
  readonly method: MergeMethod;
  /** Of the result. */
  readonly rank: number;
  readonly parents: readonly { readonly version: string; readonly weight: number }[];
  /** Every run that it rests on, with the most that was taken from each: `composeReleases` of them is the promise. */
  readonly releases: readonly RunRelease[];
}

/** 40 hex digits derived from everything else in the record. */
export function versionId(record: Omit<VersionRecord, 'id'>): string {
  const {
    merge,
    conversion,
    runId,
    parent,
    roundId,
    completedRounds,
    manifestHash,
    rosterHash,
    base,
    unit,
    epsilon,
    delta,
    createdAt,
    files,
  } = record;
  const content = {
    runId,
    parent,
    roundId,
    completedRounds,
    manifestHash,
    rosterHash,
    base,
    unit,
    epsilon,
    delta,
    createdAt,
    files,
    ...(merge === undefined ? {} : { merge }),
    ...(conversion === undefined ? {} : { conversion }),
  };
  return toHex(sha256(canonicalJson({ domain: 'fedlora/version/v1', ...content }))).slice(0, 40);
}

/** The bytes that the coordinator signs. */
export function versionMessage(record: VersionRecord): Uint8Array {
  return canonicalJson({ domain: 'fedlora/version-signature/v1', record });
}

/** Names that a version's files may have; anything else is refused, so no path can escape. */
export const versionFileNames = [
  'adapter_config.json',
  'adapter_model.safetensors',
  'fed_sb.safetensors',
  'README.md',
  'manifest.json',
  'manifest.sig',
  ATTESTATION_FILE,
] as const;
export type VersionFileName = (typeof versionFileNames)[number];
