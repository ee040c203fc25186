/**
 * Blobs that never change, read in pieces that all who send them share: when a hundred services pull a version at once, it is read once.
 *
 * Guarantee  memory: at most `mostBytes`, and beyond that one piece for each response that is being sent.
 */

import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { BlobStore } from '../storage/blob-store.js';

/** Large enough that handling a piece costs little beside sending it. */
const PIECE_BYTES = 1 << 20;
const MOST_BYTES = 64 * 2 ** 20;

export class SharedPieces {
  /** By blob and position, those that were used last at the end. */
  private readonly kept = new Map<string, Promise<Buffer>>();

  constructor(
    private readonly blobs: Pick<BlobStore, 'part'>,
    private readonly mostBytes = MOST_BYTES,
  ) {}

  /**
   * Writes bytes `begin` to `end` of a blob, and waits until the system has taken them; then the target is ended.
   *
   * Edge cases the target is closed before that -> returns: whoever reads it has gone
   * @throws as `BlobStore.part`, with the target as far as it was written
   */
  async send(target: Writable, blob: string, begin: number, end: number): Promise<void> {
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    target.once('close', onClose);
    try {
      for (let at = begin; at < end && !gone.signal.aborted;) {
        const index = Math.floor(at / PIECE_BYTES);
        const piece = await this.piece(blob, index);
        const from = at - index * PIECE_BYTES;
        const part = piece.subarray(from, Math.min(piece.length, end - index * PIECE_BYTES));
        if (part.length === 0) throw new Error(`The blob ${blob} is shorter than it was.`);
        at += part.length;
        if (!target.write(part)) await once(target, 'drain', { signal: gone.signal });
      }
      target.end();
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    } finally {
      target.off('close', onClose);
    }
  }

  private piece(blob: string, index: number): Promise<Buffer> {
    const name = `${index} ${blob}`;
    const known = this.kept.get(name);
    this.kept.delete(name);
    const piece = known ?? this.blobs.part(blob, index * PIECE_BYTES, (index + 1) * PIECE_BYTES);
    this.kept.set(name, piece);
    if (known === undefined) {
      piece.catch(() => this.kept.delete(name));
      const [oldest] = this.kept.keys();
      if (this.kept.size * PIECE_BYTES > this.mostBytes) this.kept.delete(oldest);
    }
    return piece;
  }
}
