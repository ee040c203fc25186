/**
 * Masked contributions, one for each participant of a round, until the round ends.
 *
 * The bytes are uniform to anyone without the masks. A contribution grows piece by piece, so an upload survives a broken connection and a
 * restart of either side; it is durable when the last piece is in.
 */

import { createHash } from 'node:crypto';
import { FedloraError } from '@fedlora/shared';
import { isMissing } from './durable-file.js';
import type { ByteRange, GrowingBlobs, WordRange } from './growing-blobs.js';

export class ContributionStore {
  /** Contributions that are receiving a piece. */
  private readonly receiving = new Set<string>();
  /** Rounds that were scrubbed while they received pieces, until the last of these has ended. */
  private readonly scrubbed = new Set<string>();

  constructor(private readonly blobs: GrowingBlobs) {}

  /** Bytes stored so far. */
  size(roundId: string, participant: number): Promise<number> {
    return this.blobs.size(nameOf(roundId, participant));
  }

  /** Whether a piece is being received, or the last one flushed. */
  isReceiving(roundId: string, participant: number): boolean {
    return this.receiving.has(nameOf(roundId, participant));
  }

  /**
   * Appends a piece that begins at `offset`; returns how many bytes are stored then. What arrived before a break stays.
   *
   * @throws FedloraError upload/wrong-offset | upload/wrong-length: more than `totalBytes` | request/too-large | upload/busy |
   *         round/over: the round was scrubbed meanwhile, and nothing of the piece is left
   */
  async append(
    of: { readonly roundId: string; readonly participant: number; readonly totalBytes: number },
    offset: number,
    piece: AsyncIterable<Uint8Array>,
    pieceLimitBytes: number,
  ): Promise<number> {
    const name = nameOf(of.roundId, of.participant);
    if (this.receiving.has(name)) throw new FedloraError('upload/busy');
    this.receiving.add(name);
    try {
      const before = await this.blobs.size(name);
      if (offset !== before) {
        throw new FedloraError('upload/wrong-offset', `The next piece begins at byte ${before}.`, {
          details: { offset: before },
        });
      }
      const within = withinLimits(piece, of.totalBytes - before, pieceLimitBytes);
      const stored = await this.blobs.append(name, within, { stored: before, wholeBytes: of.totalBytes });
      if (this.scrubbed.has(of.roundId)) throw new FedloraError('round/over');
      return stored;
    } catch (error) {
      // Its folder or its file went away in the middle of a write.
      if (this.scrubbed.has(of.roundId) && isMissing(error))
        throw new FedloraError('round/over', undefined, { cause: error });
      throw error;
    } finally {
      this.receiving.delete(name);
      if (this.scrubbed.has(of.roundId) && !this.isReceivingFor(of.roundId)) {
        this.scrubbed.delete(of.roundId);
        await this.scrub(of.roundId);
      }
    }
  }

  /** SHA-256 of what is stored. */
  async hash(roundId: string, participant: number): Promise<Uint8Array> {
    const hash = createHash('sha256');
    for await (const chunk of this.read(roundId, participant)) hash.update(chunk);
    return hash.digest();
  }

  /** The stored bytes, or a range of them, a piece at a time; all but the last piece have whole words. */
  read(roundId: string, participant: number, range?: ByteRange): AsyncIterable<Uint8Array> {
    return this.blobs.read(nameOf(roundId, participant), range);
  }

  /** Stores the sum of a range of the contributions' words, which is as unreadable as they are, until the round is scrubbed. */
  putPartialSum(roundId: string, range: WordRange, words: Uint8Array): Promise<void> {
    return this.blobs.put(partialSumName(roundId, range), words);
  }

  readPartialSum(roundId: string, range: WordRange): AsyncIterable<Uint8Array> {
    return this.blobs.read(partialSumName(roundId, range));
  }

  /** Removes one contribution, as its hash was wrong. */
  async remove(roundId: string, participant: number): Promise<void> {
    await this.blobs.remove(nameOf(roundId, participant));
  }

  /** Removes everything of a round; pieces that are still being received come to nothing. */
  async scrub(roundId: string): Promise<void> {
    if (this.isReceivingFor(roundId)) this.scrubbed.add(roundId);
    await this.blobs.removeGroup(roundId);
  }

  /** Removes what belongs to no open round: what a crash between the end of a round and its scrubbing left. */
  async scrubAllBut(openRounds: ReadonlySet<string>): Promise<void> {
    for (const roundId of await this.blobs.groups()) if (!openRounds.has(roundId)) await this.scrub(roundId);
  }

  private isReceivingFor(roundId: string): boolean {
    return [...this.receiving].some((name) => name.startsWith(`${roundId}/`));
  }
}

function nameOf(roundId: string, participant: number): string {
  // Round ids are made here and checked against the database before they come this far; they contain no slashes.
  return `${roundId}/${participant}`;
}

/** Participants have numbers, so no contribution is called so. Two sums of one name have the same bytes, whoever makes them. */
function partialSumName(roundId: string, { from, to }: WordRange): string {
  return `${roundId}/sum-${from}-${to}`;
}

/** The chunks of a piece. @throws FedloraError upload/wrong-length | request/too-large */
async function* withinLimits(
  piece: AsyncIterable<Uint8Array>,
  missingBytes: number,
  limitBytes: number,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of piece) {
    bytes += chunk.length;
    if (bytes > missingBytes) throw new FedloraError('upload/wrong-length');
    if (bytes > limitBytes) throw new FedloraError('request/too-large');
    yield chunk;
  }
}
