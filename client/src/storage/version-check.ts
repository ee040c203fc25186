/** What makes a version believable: its record's signature and id, and each file's length and hash. Used on arrival and on every read. */

import { createHash } from 'node:crypto';
import { fromHex, parseCanonicalJson, pureProvider } from '@fedlora/protocol';
import {
  ATTESTATION_FILE,
  FedloraError,
  limits,
  versionFileNames,
  versionId,
  versionMessage,
  type VersionRecord,
} from '@fedlora/shared';

/** A version with its files, checked. `files` includes manifest.json and manifest.sig as they were served. */
export interface CheckedVersion {
  readonly record: VersionRecord;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The record, if it is the coordinator's and the one that was asked for. @throws FedloraError version/bad-signature | version/malformed */
export function checkRecord(
  id: string,
  recordBytes: Uint8Array,
  signature: Uint8Array,
  coordinatorKey: string,
): VersionRecord {
  const hex = Buffer.from(signature).toString('utf8').trim();
  let record: VersionRecord;
  let message: Uint8Array;
  try {
    record = parseCanonicalJson(Buffer.from(recordBytes).toString('utf8')) as VersionRecord;
    message = versionMessage(record);
  } catch (cause) {
    throw new FedloraError('version/malformed', undefined, { cause });
  }
  if (!/^[0-9a-f]{128}$/.test(hex) || !pureProvider.ed25519.verify(fromHex(hex), message, fromHex(coordinatorKey))) {
    throw new FedloraError('version/bad-signature');
  }
  // From here on the record is the coordinator's own, but a coordinator may lie or err.
  if (!hasForm(record)) throw new FedloraError('version/malformed');
  if (record.id !== id || versionId(record) !== id) throw new FedloraError('version/wrong-id');
  const names = new Set<string>();
  for (const { name, bytes, sha256 } of record.files) {
    const isContent =
      typeof name === 'string' &&
      (versionFileNames as readonly string[]).includes(name) &&
      !name.startsWith('manifest.') &&
      name !== ATTESTATION_FILE;
    const isSized = Number.isSafeInteger(bytes) && bytes >= 0 && bytes <= limits.adapterFileBytes;
    if (!isContent || names.has(name) || !isSized || typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))
      throw new FedloraError('version/malformed');
    names.add(name);
  }
  for (const needed of ['adapter_config.json', 'adapter_model.safetensors']) {
    if (!names.has(needed)) throw new FedloraError('version/malformed', `The version has no ${needed}.`);
  }
  return record;
}

/** Whether what is read of a record is there. */
function hasForm(record: unknown): boolean {
  const { base, files } = (record ?? {}) as { readonly base?: unknown; readonly files?: unknown };
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
  return isObject(base) && Array.isArray(files) && files.every(isObject);
}

/** @throws FedloraError version/file-mismatch */
export function checkFile(file: { name: string; bytes: number; sha256: string }, content: Uint8Array): void {
  if (content.length !== file.bytes || createHash('sha256').update(content).digest('hex') !== file.sha256) {
    throw new FedloraError('version/file-mismatch', `${file.name} is not the file that the version names.`, {
      details: { file: file.name },
    });
  }
}
