/**
 * Masked contributions on disk, one file for each participant of a round, until the round ends.
 *
 * The bytes are uniform to anyone without the masks. A file grows piece by piece, so an upload survives a broken connection and a
 * restart of either side; it is flushed to disk when the last piece is in.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { flushFolder, isMissing } from './durable-file.js';

/** Bytes read at a time: bounds the memory that folding a contribution takes. Whole words. */
const READ_BYTES = 1 << 20;

export class ContributionStore {
  /** Contributions that are receiving a piece. */
  private readonly receiving = new Set<string>();
  /** Rounds that were scrubbed while they received pieces, until the last of these has ended. */
  private readonly scrubbed = new Set<string>();

  constructor(private readonly folder: string) {}

  /** Bytes stored so far. */
  async size(roundId: string, participant: number): Promise<number> {
    try {
      return (await stat(this.path(roundId, participant))).size;
    } catch (error) {
      if (isMissing(error)) return 0;
      throw error;
    }
  }

  /** Whether a piece is being received, or the last one flushed. */
  isReceiving(roundId: string, participant: number): boolean {
    return this.receiving.has(this.path(roundId, participant));
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
    const path = this.path(of.roundId, of.participant);
    if (this.receiving.has(path)) throw new FedloraError('upload/busy');
    this.receiving.add(path);
    try {
      const stored = await this.appendTo(path, of, offset, piece, pieceLimitBytes);
      if (this.scrubbed.has(of.roundId)) throw new FedloraError('round/over');
      return stored;
    } catch (error) {
      // Its folder or its file went away in the middle of a write.
      if (this.scrubbed.has(of.roundId) && isMissing(error))
        throw new FedloraError('round/over', undefined, { cause: error });
      throw error;
    } finally {
      this.receiving.delete(path);
      if (this.scrubbed.has(of.roundId) && !this.isReceivingFor(of.roundId)) {
        this.scrubbed.delete(of.roundId);
        await this.scrub(of.roundId);
      }
    }
  }

  private async appendTo(
    path: string,
    { roundId, totalBytes }: { readonly roundId: string; readonly totalBytes: number },
    offset: number,
    piece: AsyncIterable<Uint8Array>,
    pieceLimitBytes: number,
  ): Promise<number> {
    const made = await mkdir(join(this.folder, roundId), { recursive: true, mode: 0o700 });
    if (made !== undefined) await flushFolder(this.folder);
    const file = await open(path, 'a', 0o600);
    try {
      let stored = (await file.stat()).size;
      if (offset !== stored) {
        throw new FedloraError('upload/wrong-offset', `The next piece begins at byte ${stored}.`, {
          details: { offset: stored },
        });
      }
      for await (const chunk of piece) {
        if (stored + chunk.length > totalBytes) throw new FedloraError('upload/wrong-length');
        if (stored + chunk.length - offset > pieceLimitBytes) throw new FedloraError('request/too-large');
        await file.writeFile(chunk);
        stored += chunk.length;
      }
      if (stored === totalBytes) {
        await file.sync();
        await flushFolder(join(this.folder, roundId));
      }
      return stored;
    } finally {
      await file.close();
    }
  }

  /** SHA-256 of what is stored. */
  async hash(roundId: string, participant: number): Promise<Uint8Array> {
    const hash = createHash('sha256');
    for await (const chunk of this.read(roundId, participant)) hash.update(chunk);
    return hash.digest();
  }

  /** The stored bytes, a piece at a time; all but the last piece have whole words. */
  read(roundId: string, participant: number): AsyncIterable<Uint8Array> {
    return createReadStream(this.path(roundId, participant), { highWaterMark: READ_BYTES });
  }

  /** Removes one contribution, as its hash was wrong. */
  async remove(roundId: string, participant: number): Promise<void> {
    await rm(this.path(roundId, participant), { force: true });
  }

  /** Removes everything of a round; pieces that are still being received come to nothing. */
  async scrub(roundId: string): Promise<void> {
    if (this.isReceivingFor(roundId)) this.scrubbed.add(roundId);
    await rm(join(this.folder, roundId), { recursive: true, force: true });
    await flushFolder(this.folder);
  }

  /** Removes what belongs to no open round: what a crash between the end of a round and its scrubbing left. */
  async scrubAllBut(openRounds: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.folder)) if (!openRounds.has(name)) await this.scrub(name);
  }

  private isReceivingFor(roundId: string): boolean {
    const folder = join(this.folder, roundId) + sep;
    return [...this.receiving].some((path) => path.startsWith(folder));
  }

  private path(roundId: string, participant: number): string {
    // Round ids are made here and checked against the database before they come this far; they contain no separators.
    return join(this.folder, roundId, String(participant));
  }
}
