/**
 * Fetches an adapter version and believes nothing about it: its record must be signed by the pinned coordinator key and hash to
 * the id that was asked for, and each file must have the length and the SHA-256 that the record gives, before any byte is used.
 */

import { checkRecord, routes } from '@fedlora/shared';
import { checkFile, type CheckedVersion } from '../storage/version-check.js';
import { Backoff, type BackoffOptions } from './backoff.js';
import { mayRetry, readAtMost, refusal, type Http } from './http.js';
import type { SignIn } from './sign-in.js';

export interface DownloadParts {
  readonly http: Http;
  readonly signIn: Pick<SignIn, 'token' | 'forget'>;
  /** 64 hex digits. */
  readonly coordinatorKey: string;
  /** Ends the attempts. */
  readonly signal?: AbortSignal | undefined;
  readonly backoff?: BackoffOptions;
}

/** A file is asked for so often, for as long as the signal lets it: a round ends by its deadline. */
const MOST_ATTEMPTS = 8;

/** The record and its signature are small. */
const RECORD_BYTES = 1024 * 1024;

/** @throws FedloraError version/... | connection/... */
export async function downloadVersion(id: string, parts: DownloadParts): Promise<CheckedVersion> {
  const [recordBytes, signature] = await Promise.all([
    fetchFile(id, 'manifest.json', RECORD_BYTES, parts),
    fetchFile(id, 'manifest.sig', 4096, parts),
  ]);
  const record = checkRecord(id, recordBytes, signature, parts.coordinatorKey);
  const files = await Promise.all(
    record.files.map(async (file) => {
      const content = await fetchFile(id, file.name, file.bytes, parts);
      checkFile(file, content);
      return [file.name, content] as const;
    }),
  );
  return { record, files: new Map([...files, ['manifest.json', recordBytes], ['manifest.sig', signature]]) };
}

/** A file, asked for again after each loss of the connection. */
async function fetchFile(id: string, name: string, limit: number, parts: DownloadParts): Promise<Uint8Array> {
  const backoff = new Backoff(parts.backoff);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetchOnce(id, name, limit, parts);
    } catch (error) {
      parts.signal?.throwIfAborted();
      if (attempt >= MOST_ATTEMPTS || !mayRetry(error)) throw error;
      await backoff.wait(parts.signal, error);
    }
  }
}

async function fetchOnce(id: string, name: string, limit: number, parts: DownloadParts): Promise<Uint8Array> {
  const path = routes.versionFile(id, name);
  let response = await parts.http.send({
    method: 'GET',
    path,
    token: await parts.signIn.token(),
    signal: parts.signal,
  });
  if (response.status === 401) {
    await response.body?.cancel();
    parts.signIn.forget();
    response = await parts.http.send({ method: 'GET', path, token: await parts.signIn.token(), signal: parts.signal });
  }
  if (!response.ok) throw await refusal(response);
  return readAtMost(response, limit);
}
