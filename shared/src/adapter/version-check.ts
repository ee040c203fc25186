/** What makes a version believable: its record's signature and id, and that it promises no more than what it was made of. */

import { composeReleases, fromHex, parseCanonicalJson, pureProvider } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';
import { limits } from '../wire/protocol-version.js';
import { ATTESTATION_FILE } from './attestation.js';
import { decodeUtf8 } from './safetensors.js';
import { versionFileNames, versionId, versionMessage, type MergeLineage, type VersionRecord } from './version.js';

/** 128 digits and a line feed, with room. */
const LONGEST_SIGNATURE_FILE = 256;

/** The record, if it is the coordinator's and the one that was asked for. @throws FedloraError version/bad-signature | version/malformed */
export function checkRecord(
  id: string,
  recordBytes: Uint8Array,
  signature: Uint8Array,
  coordinatorKey: string,
): VersionRecord {
  // Hex digits are ASCII; of anything else this is none.
  const hex = String.fromCharCode(...signature.subarray(0, LONGEST_SIGNATURE_FILE)).trim();
  const { record, message } = parseRecord(recordBytes);
  if (!/^[0-9a-f]{128}$/.test(hex) || !pureProvider.ed25519.verify(fromHex(hex), message, fromHex(coordinatorKey))) {
    throw new FedloraError('version/bad-signature');
  }
  // From here on the record is the coordinator's own, but a coordinator may lie or err.
  const checked = checkForm(record);
  if (checked.id !== id) throw new FedloraError('version/wrong-id');
  return checked;
}

/** A record that nobody signed: well formed, and with the id that is due to it. @throws FedloraError version/malformed | version/wrong-id */
export function unsignedRecord(recordBytes: Uint8Array): VersionRecord {
  return checkForm(parseRecord(recordBytes).record);
}

function parseRecord(recordBytes: Uint8Array): { readonly record: unknown; readonly message: Uint8Array } {
  try {
    const record = parseCanonicalJson(decodeUtf8(recordBytes));
    return { record, message: versionMessage(record as VersionRecord) };
  } catch (cause) {
    throw new FedloraError('version/malformed', undefined, { cause });
  }
}

function checkForm(candidate: unknown): VersionRecord {
  if (!hasForm(candidate)) throw new FedloraError('version/malformed');
  const record = candidate;
  if (versionId(record) !== record.id) throw new FedloraError('version/wrong-id');
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
  if (record.merge !== undefined) checkPromise(record, record.merge);
  return record;
}

/** Whether what is read of a record is there. */
function hasForm(record: unknown): record is VersionRecord {
  const { base, files, merge } = (record ?? {}) as Record<string, unknown>;
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
  const isList = (value: unknown): boolean => Array.isArray(value) && value.every(isObject);
  const { parents, releases } = (merge ?? {}) as Record<string, unknown>;
  return isObject(base) && isList(files) && (merge === undefined || (isList(parents) && isList(releases)));
}

/** A merge promises what its parents' runs do together, and no more. @throws FedloraError version/malformed */
function checkPromise({ unit, epsilon, delta }: VersionRecord, { releases }: MergeLineage): void {
  const composed = composeReleases(releases);
  if (composed.unit !== unit || composed.epsilon !== epsilon || composed.delta !== delta)
    throw new FedloraError('version/malformed', 'The version promises another privacy than what it was merged from.');
}
