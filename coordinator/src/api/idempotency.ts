/**
 * Writes that may be sent again: with the same key and the same request, the first answer is given again and nothing is done twice.
 *
 * An answer may hold a token that is shown once, so it is stored encrypted under the key itself, of which only a hash is kept: whoever
 * reads the database reads no answer, as long as keys are random.
 */

import { createHash, hkdfSync, randomBytes } from 'node:crypto';
import { GCM_NONCE_BYTES } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import type { Database } from '../storage/database.js';

/** How long an answer is kept. */
const KEPT_MS = 24 * 3600_000;

export interface IdempotentRequest {
  /** Who asks, and which route: keys of others are others. */
  readonly scope: string;
  readonly key: string;
  /** Address and body. */
  readonly content: string;
}

export class Idempotency {
  /** What is being done now, by the hash of its key. */
  private readonly running = new Set<string>();

  constructor(
    private readonly db: Database,
    private readonly now: () => number,
  ) {}

  /**
   * Does it, or gives the answer of the first time; `isReplay` tells which.
   *
   * @throws FedloraError request/invalid: the key is none | request/key-reused: it came with another request
   * @throws FedloraError request/in-progress | request/outcome-unknown: the first time was cut off by the end of the process
   */
  async once<Answer>(
    request: IdempotentRequest,
    work: () => Promise<Answer>,
  ): Promise<{ readonly answer: Answer; readonly isReplay: boolean }> {
    if (!/^[!-~]{16,200}$/.test(request.key))
      throw new FedloraError('request/invalid', 'Idempotency-Key must have 16 to 200 visible ASCII characters.');
    const hash = digest(`${request.scope}\n${request.key}`);
    if (this.running.has(hash)) throw new FedloraError('request/in-progress');
    this.running.add(hash);
    try {
      const known = await this.begin(hash, digest(request.content));
      if (known !== undefined) return { answer: JSON.parse(open(request, known)) as Answer, isReplay: true };
      try {
        const answer = await work();
        const stored = seal(request, JSON.stringify(answer ?? null));
        await this.db.updateTable('idempotency').set({ answer: stored }).where('key_hash', '=', hash).execute();
        return { answer, isReplay: false };
      } catch (error) {
        // Refused: nothing was done, and another try may be better.
        await this.db.deleteFrom('idempotency').where('key_hash', '=', hash).execute();
        throw error;
      }
    } finally {
      this.running.delete(hash);
    }
  }

  /** Notes that it is being done, or tells the stored answer. */
  private async begin(hash: string, requestHash: string): Promise<Buffer | undefined> {
    const now = this.now();
    return this.db.transaction().execute(async (trx) => {
      await trx
        .deleteFrom('idempotency')
        .where('created_at', '<=', now - KEPT_MS)
        .execute();
      const row = await trx.selectFrom('idempotency').selectAll().where('key_hash', '=', hash).executeTakeFirst();
      if (row === undefined) {
        await trx
          .insertInto('idempotency')
          .values({ key_hash: hash, request_hash: requestHash, answer: null, created_at: now })
          .execute();
        return undefined;
      }
      if (row.request_hash !== requestHash) throw new FedloraError('request/key-reused');
      if (row.answer === null) throw new FedloraError('request/outcome-unknown');
      return Buffer.from(row.answer as Uint8Array);
    });
  }
}

function keyOf({ scope, key }: IdempotentRequest): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, scope, 'fedlora/idempotent-answer/v1', 32));
}

function seal(request: IdempotentRequest, answer: string): Buffer {
  const nonce = randomBytes(GCM_NONCE_BYTES);
  return Buffer.concat([nonce, nodeProvider.aesGcm.seal(keyOf(request), nonce, Buffer.from(answer, 'utf8'))]);
}

function open(request: IdempotentRequest, stored: Buffer): string {
  const nonce = stored.subarray(0, GCM_NONCE_BYTES);
  const answer = nodeProvider.aesGcm.open(keyOf(request), nonce, stored.subarray(GCM_NONCE_BYTES));
  return Buffer.from(answer).toString('utf8');
}

function digest(content: string): string {
  return createHash('sha256').update(content).digest('hex');
}
