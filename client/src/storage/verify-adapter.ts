/** Whether a folder is an adapter version as its coordinator published it: all of it, and nothing else. Asks nobody. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex, parseCanonicalJson, pureProvider } from '@fedlora/protocol';
import {
  ATTESTATION_FILE,
  attestationMessage,
  checkRecord,
  FedloraError,
  STATEMENT_TYPE,
  unsignedRecord,
  versionStatement,
  type Attestation,
  type VersionRecord,
} from '@fedlora/shared';

export interface Verified {
  readonly record: VersionRecord;
  /** Whether there is an in-toto statement too, which then is right. */
  readonly isAttested: boolean;
}

/** Of what is no weights: more than any record, signature or statement has. */
const MOST_TEXT_BYTES = 1 << 20;
/** What download tools leave beside the files. */
const NOT_OURS = new Set(['.cache']);

interface Content {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Checks signature, id, every file's length and hash, that no file is there which nobody signed, and the statement if there is one.
 *
 * @param expectedId the version that it must be; without it any genuine version of this coordinator passes, an old one too
 * @throws FedloraError adapter/not-authentic: says everything that is wrong
 */
export async function verifyAdapter(folder: string, coordinatorKey: string, expectedId?: string): Promise<Verified> {
  const names = await namesIn(folder);
  const record = await signedRecord(folder, coordinatorKey, expectedId);
  const problems = await problemsOf(folder, record, ['manifest.json', 'manifest.sig', ATTESTATION_FILE]);
  const isAttested = names.includes(ATTESTATION_FILE);
  if (isAttested && !(await hasRightStatement(folder, record, coordinatorKey)))
    problems.push(`${ATTESTATION_FILE} is not the coordinator’s statement about these files.`);
  if (problems.length > 0) throw notAuthentic(folder, problems.join(' '));
  return { record, isAttested };
}

/** Whether a folder has a signature at all: a merge that was made on some machine has none. */
export async function isSigned(folder: string): Promise<boolean> {
  return (await namesIn(folder)).includes('manifest.sig');
}

function isMerge(recordBytes: Uint8Array): boolean {
  try {
    return unsignedRecord(recordBytes).merge !== undefined;
  } catch {
    return false; // Something else is wrong, and is found below.
  }
}

/**
 * The record of a folder without a signature, whose files are those that it names. It says nothing about who made it.
 *
 * @throws FedloraError adapter/not-authentic: says everything that is wrong
 */
export async function unsignedFolder(folder: string): Promise<VersionRecord> {
  let record: VersionRecord;
  const recordBytes = await textOf(folder, 'manifest.json');
  try {
    record = unsignedRecord(recordBytes);
  } catch (cause) {
    throw notAuthentic(folder, FedloraError.from(cause).summary, cause);
  }
  const problems = await problemsOf(folder, record, ['manifest.json']);
  if (problems.length > 0) throw notAuthentic(folder, problems.join(' '));
  return record;
}

/** What is wrong with the files of a folder, beside those that its record cannot name. */
async function problemsOf(folder: string, { files }: VersionRecord, others: readonly string[]): Promise<string[]> {
  const listed = [...files.map(({ name }) => name), ...others];
  const problems = (await namesIn(folder))
    .filter((name) => !listed.includes(name))
    .map((name) => `${name} is signed by nobody.`);
  for (const { name, bytes, sha256 } of files) {
    const content = await contentOf(join(folder, name));
    if (content === undefined) problems.push(`${name} is missing.`);
    else if (content.bytes !== bytes) problems.push(`${name} has ${content.bytes} bytes instead of ${bytes}.`);
    else if (content.sha256 !== sha256) problems.push(`${name} was changed.`);
  }
  return problems;
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(unreadable(folder))).filter((name) => !NOT_OURS.has(name));
}

async function signedRecord(folder: string, coordinatorKey: string, expectedId?: string): Promise<VersionRecord> {
  const recordBytes = await textOf(folder, 'manifest.json');
  if (!(await isSigned(folder)) && isMerge(recordBytes))
    throw notAuthentic(folder, 'It is a merge that nobody signed. Give the folders of its parents: --parents.');
  const signature = await textOf(folder, 'manifest.sig');
  let id: unknown;
  try {
    ({ id } = parseCanonicalJson(recordBytes.toString('utf8')) as { readonly id?: unknown });
  } catch (cause) {
    throw notAuthentic(folder, 'manifest.json is malformed.', cause);
  }
  try {
    return checkRecord(expectedId ?? String(id), recordBytes, signature, coordinatorKey);
  } catch (cause) {
    throw notAuthentic(folder, FedloraError.from(cause).summary, cause);
  }
}

async function hasRightStatement(folder: string, record: VersionRecord, coordinatorKey: string): Promise<boolean> {
  const text = (await textOf(folder, ATTESTATION_FILE)).toString('utf8');
  const manifestFiles = await Promise.all(
    ['manifest.json', 'manifest.sig'].map(async (name) => ({ name, sha256: sha256(await textOf(folder, name)) })),
  );
  const statement = versionStatement(record, manifestFiles);
  let attestation: Attestation;
  try {
    attestation = JSON.parse(text) as Attestation;
    const [{ keyid, sig }, ...others] = attestation.signatures;
    const signature = Uint8Array.from(Buffer.from(sig, 'base64'));
    return (
      others.length === 0 &&
      keyid === coordinatorKey &&
      attestation.payloadType === STATEMENT_TYPE &&
      Buffer.from(attestation.payload, 'base64').equals(statement) &&
      pureProvider.ed25519.verify(signature, attestationMessage(statement), fromHex(coordinatorKey))
    );
  } catch (cause) {
    if (cause instanceof FedloraError) throw cause;
    return false; // Not JSON, or not of this form: no statement of anybody's.
  }
}

/** @throws FedloraError adapter/not-authentic: missing, or too long to be what it is called */
async function textOf(folder: string, name: string): Promise<Buffer> {
  const path = join(folder, name);
  const size = await stat(path).then(
    (facts) => (facts.isFile() ? facts.size : undefined),
    () => undefined,
  );
  if (size === undefined) throw notAuthentic(folder, `${name} is missing.`);
  if (size > MOST_TEXT_BYTES) throw notAuthentic(folder, `${name} is too long.`);
  return readFile(path);
}

/** Read in pieces: weights may be larger than memory. */
async function contentOf(path: string): Promise<Content | undefined> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const piece of createReadStream(path)) {
      hash.update(piece as Buffer);
      bytes += (piece as Buffer).length;
    }
  } catch {
    return undefined; // Missing, a folder, or unreadable: in each case not the file that was signed.
  }
  return { bytes, sha256: hash.digest('hex') };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function unreadable(where: string): (cause: unknown) => never {
  return (cause) => {
    throw new FedloraError('config/invalid', 'The folder cannot be read.', { where, cause });
  };
}

export function notAuthentic(where: string, summary: string, cause?: unknown): FedloraError {
  return new FedloraError('adapter/not-authentic', summary, { where, cause });
}
