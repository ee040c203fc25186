/**
 * Sends a masked update, and can send nothing else: the type of its argument is the last stage of privacy.
 *
 * Resumable: asks how much has arrived, sends the rest in pieces, and after any failure asks again. Every attempt sends the same
 * bytes, which are made once.
 */

import type { MaskedUpdate } from '@fedlora/protocol';
import { FedloraError, limits, routes, uploadHeaders } from '@fedlora/shared';
import { Backoff, type BackoffOptions } from './backoff.js';
import { mayRetry, refusal, type Http } from './http.js';
import type { SignIn } from './sign-in.js';

export interface UploadParts {
  readonly http: Http;
  readonly signIn: Pick<SignIn, 'token' | 'forget'>;
  /** Ends the attempts: the round is over. */
  readonly signal: AbortSignal;
  readonly pieceBytes?: number;
  readonly backoff?: BackoffOptions;
}

/** Uploads the words as little-endian u32; returns the number of bytes. @throws FedloraError upload/refused */
export async function uploadMasked(roundId: string, masked: MaskedUpdate, parts: UploadParts): Promise<number> {
  const bytes = littleEndian(masked.words);
  const path = routes.contribution(roundId);
  const backoff = new Backoff(parts.backoff);
  for (;;) {
    parts.signal.throwIfAborted();
    try {
      let offset = await uploadedBytes(path, parts);
      while (offset < bytes.length) {
        const arrived = await sendPiece(path, bytes, offset, parts);
        if (arrived > offset) backoff.reset();
        else await backoff.wait(parts.signal); // Nothing was stored: asking again at once would be a storm.
        offset = arrived;
      }
      if (offset === bytes.length) return bytes.length;
      throw new FedloraError('upload/refused', 'The coordinator holds more bytes of this contribution than it has.');
    } catch (error) {
      if (!mayRetry(error)) throw error;
      await backoff.wait(parts.signal, error);
    }
  }
}

/** How much has arrived. */
async function uploadedBytes(path: string, parts: UploadParts): Promise<number> {
  const response = await authorized(parts, (token) =>
    parts.http.send({ method: 'HEAD', path, token, signal: parts.signal }),
  );
  if (response.status === 404) return 0;
  if (!response.ok) throw await refusal(response);
  return offsetOf(response);
}

/** Sends one piece and returns how much has arrived then. */
async function sendPiece(path: string, bytes: Uint8Array, offset: number, parts: UploadParts): Promise<number> {
  const piece = bytes.subarray(offset, offset + (parts.pieceBytes ?? limits.uploadPieceBytes));
  const response = await authorized(parts, (token) =>
    parts.http.send({
      method: 'PATCH',
      path,
      token,
      body: piece,
      headers: {
        'content-type': 'application/offset+octet-stream',
        [uploadHeaders.offset]: String(offset),
        [uploadHeaders.length]: String(bytes.length),
      },
      signal: parts.signal,
    }),
  );
  await response.body?.cancel();
  if (response.status === 409) return uploadedBytes(path, parts); // Another attempt got further than we heard.
  if (!response.ok) throw await refusal(response);
  return response.headers.has(uploadHeaders.offset) ? offsetOf(response) : offset + piece.length;
}

/** Sends with the token in use, and once more with a new one where that is refused. */
async function authorized(parts: UploadParts, send: (token: string) => Promise<Response>): Promise<Response> {
  const response = await send(await parts.signIn.token());
  if (response.status !== 401) return response;
  await response.body?.cancel();
  parts.signIn.forget();
  return send(await parts.signIn.token());
}

function offsetOf(response: Response): number {
  const offset = Number(response.headers.get(uploadHeaders.offset) ?? 'none');
  if (!Number.isSafeInteger(offset) || offset < 0) throw new FedloraError('connection/bad-answer');
  return offset;
}

/** Bulk vectors are little-endian words on the wire, whatever this machine's own order is. */
function littleEndian(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  if (new Uint8Array(new Uint32Array([1]).buffer)[0] === 1) return bytes;
  return Buffer.from(bytes).swap32();
}
