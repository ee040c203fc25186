/** A version's files as they arrive, and whether each is the one that its record names. */

import { createHash } from 'node:crypto';
import { FedloraError, type VersionRecord } from '@fedlora/shared';

/** A version with its files, checked. `files` includes manifest.json and manifest.sig as they were served. */
export interface CheckedVersion {
  readonly record: VersionRecord;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** @throws FedloraError version/file-mismatch */
export function checkFile(file: { name: string; bytes: number; sha256: string }, content: Uint8Array): void {
  if (content.length !== file.bytes || createHash('sha256').update(content).digest('hex') !== file.sha256) {
    throw new FedloraError('version/file-mismatch', `${file.name} is not the file that the version names.`, {
      details: { file: file.name },
    });
  }
}
