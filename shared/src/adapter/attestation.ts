/**
 * What the coordinator attests of a version, in the form of supply-chain tools: an in-toto statement about all of its files, in a DSSE
 * envelope, as one line of JSON.
 *
 * Source     in-toto Attestation Framework v1 (Statement); DSSE v1.0 (envelope, PAE); RFC 8032 (Ed25519)
 * Guarantee  the statement of a version is one sequence of bytes, so that whoever has record and files can tell it from any other
 */

import { canonicalJson, utf8 } from '@fedlora/protocol';
import type { VersionRecord } from './version.js';

export const ATTESTATION_FILE = 'attestation.intoto.jsonl';
export const STATEMENT_TYPE = 'application/vnd.in-toto+json';

export interface Attestation {
  readonly payloadType: typeof STATEMENT_TYPE;
  /** The statement, base64. */
  readonly payload: string;
  /** One: of the coordinator's key, whose public half is `keyid`, 64 hex digits; `sig` in base64. */
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/** The statement about a version's files, with `manifest.json` and `manifest.sig`, which the record cannot name. */
export function versionStatement(
  record: VersionRecord,
  manifestFiles: readonly { readonly name: string; readonly sha256: string }[],
): Uint8Array {
  const { files, ...predicate } = record;
  const subject = [...files, ...manifestFiles]
    .map(({ name, sha256 }) => ({ name, digest: { sha256 } }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return canonicalJson({
    _type: 'https://in-toto.io/Statement/v1',
    subject,
    predicateType: 'urn:fedlora:adapter-version:v1',
    predicate,
  });
}

/** The bytes that are signed: DSSE's pre-authentication encoding. */
export function attestationMessage(statement: Uint8Array): Uint8Array {
  const head = utf8(`DSSEv1 ${STATEMENT_TYPE.length} ${STATEMENT_TYPE} ${statement.length} `);
  const message = new Uint8Array(head.length + statement.length);
  message.set(head);
  message.set(statement, head.length);
  return message;
}
