/** What was done with channels, in the database. Rows are only ever added. */

import type { Transaction } from 'kysely';
import type { ChannelMoveKind, GateOutcome } from '@fedlora/shared';
import type { ChannelMovesTable, Database, Tables } from '../storage/database.js';
import type { Move } from './channel-history.js';

export interface StoredMove extends Move {
  readonly sequence: number;
  readonly repository: string;
  readonly channel: string;
  readonly at: number;
  readonly by: string;
  readonly gate: GateOutcome | null;
  readonly reason: string | null;
}

export class ChannelsRepository {
  constructor(private readonly db: Database) {}

  async add(move: Omit<StoredMove, 'sequence'>, trx: Transaction<Tables>): Promise<void> {
    await trx.insertInto('channel_moves').values(move).execute();
  }

  /** Every move of a repository's channels, by channel in order of name, oldest first. */
  async movesOf(repository: string): Promise<Map<string, StoredMove[]>> {
    const rows = await this.db
      .selectFrom('channel_moves')
      .selectAll()
      .where('repository', '=', repository)
      .orderBy('channel')
      .orderBy('sequence')
      .execute();
    const moves = new Map<string, StoredMove[]>();
    for (const row of rows) moves.set(row.channel, [...(moves.get(row.channel) ?? []), fromRow(row)]);
    return moves;
  }
}

function fromRow(row: Omit<ChannelMovesTable, 'sequence'> & { sequence: number }): StoredMove {
  // Safe: only this class writes it.
  return { ...row, kind: row.kind as ChannelMoveKind, gate: row.gate as GateOutcome | null };
}
