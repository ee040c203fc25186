/** Channels as the API shows them. */

import {
  CANDIDATE_CHANNEL,
  FedloraError,
  type ChannelMoveView,
  type ChannelView,
  type Page,
  type PageQuery,
} from '@fedlora/shared';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import { pageBy, positionOf } from '../api/page.js';
import { stackOf, stacksAfter } from './channel-history.js';
import type { ChannelsRepository, StoredMove } from './channels.repository.js';

export interface ChannelViewParts {
  readonly versions: VersionsRepository;
  readonly channels: ChannelsRepository;
}

export class ChannelViews {
  constructor(private readonly parts: ChannelViewParts) {}

  /** `candidate`, which there always is, then the others by name. */
  async of(repository: string): Promise<ChannelView[]> {
    const { versions, channels } = this.parts;
    const newest = await versions.newestTrained(repository);
    const candidate: ChannelView = {
      name: CANDIDATE_CHANNEL,
      version: newest?.id ?? null,
      previous: null,
      isAutomatic: true,
      changedAt: newest?.createdAt ?? null,
    };
    const moved = [...(await channels.movesOf(repository))].filter(([, moves]) => moves.at(-1)?.kind !== 'removed');
    return [candidate, ...moved.map(([name, moves]) => channelView(name, moves))];
  }

  /** The version of a channel; `null` where it is empty, `undefined` where there is no such channel. Asked for at every pull. */
  async versionOf(repository: string, name: string): Promise<string | null | undefined> {
    const { versions, channels } = this.parts;
    if (name === CANDIDATE_CHANNEL) return (await versions.newestTrained(repository))?.id ?? null;
    const moves = (await channels.movesOf(repository)).get(name);
    if (moves === undefined || moves.at(-1)?.kind === 'removed') return undefined;
    return channelView(name, moves).version;
  }

  /** @throws FedloraError channel/unknown */
  async find(repository: string, name: string): Promise<ChannelView> {
    const found = (await this.of(repository)).find((channel) => channel.name === name);
    if (found === undefined) throw new FedloraError('channel/unknown');
    return found;
  }

  /** What was done with a channel, newest first; also with one that was removed. @throws FedloraError channel/unknown */
  async moves(repository: string, name: string, query: PageQuery): Promise<Page<ChannelMoveView>> {
    const moves = (await this.parts.channels.movesOf(repository)).get(name);
    if (moves === undefined) {
      await this.find(repository, name);
      return { items: [], nextCursor: null };
    }
    const before = positionOf(query) ?? Number.MAX_SAFE_INTEGER;
    const rest = [...stacksAfter(moves)].map(moveView).filter(({ sequence }) => sequence < before);
    const newestFirst = rest.reverse();
    return pageBy(
      query,
      (limit) => newestFirst.slice(0, limit),
      ({ sequence }) => sequence,
    );
  }
}

function channelView(name: string, moves: readonly StoredMove[]): ChannelView {
  const stack = stackOf(moves);
  return {
    name,
    version: stack.at(-1) ?? null,
    previous: stack.at(-2) ?? null,
    isAutomatic: false,
    changedAt: moves.at(-1)?.at ?? null,
  };
}

function moveView({
  move: { sequence, kind, at, by, gate, reason },
  before,
  after,
}: {
  readonly move: StoredMove;
  readonly before: readonly string[];
  readonly after: readonly string[];
}): ChannelMoveView {
  return { sequence, kind, at, by, before: before.at(-1) ?? null, after: after.at(-1) ?? null, gate, reason };
}
