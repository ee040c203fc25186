/**
 * Releases: which version each channel has, and which versions are revoked or deprecated. Changes happen one after the other, so that
 * what a change was decided by still holds when it is made.
 */

import {
  CANDIDATE_CHANNEL,
  channelPattern,
  FedloraError,
  STABLE_CHANNEL,
  tagPattern,
  type AuditFindingRequest,
  type ChannelView,
  type GateView,
  type PromotionRequest,
  type ReleaseView,
  type TagView,
} from '@fedlora/shared';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import { expectUnchanged } from '../api/entity-tag.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { AuditFindingsRepository } from './audit-findings.repository.js';
import { stackOf } from './channel-history.js';
import type { ChannelViews } from './channel-views.js';
import type { ChannelsRepository, StoredMove } from './channels.repository.js';
import type { ReleaseViews } from './release-views.js';
import type { TagsRepository } from './tags.repository.js';
import { Turns } from '../turns.js';

export interface ReleaseParts {
  readonly versions: VersionsRepository;
  readonly channels: ChannelsRepository;
  readonly tags: TagsRepository;
  readonly channelViews: ChannelViews;
  readonly releaseViews: ReleaseViews;
  readonly auditFindings: AuditFindingsRepository;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly now: () => number;
}

export class ReleaseService {
  private readonly turns = new Turns();

  constructor(private readonly parts: ReleaseParts) {}

  /**
   * Gives a channel a version; makes the channel if it is new. What it has already it keeps, and nothing is noted.
   *
   * @throws FedloraError version/unknown | version/revoked | channel/fixed | channel/gate | request/changed
   */
  promote(
    repository: string,
    channel: string,
    { version: id, override }: PromotionRequest,
    by: Origin,
    ifMatch?: string,
  ): Promise<ChannelView> {
    return this.turns.take(async () => {
      const { releaseViews } = this.parts;
      if (channel === CANDIDATE_CHANNEL)
        throw new FedloraError('channel/fixed', '"candidate" follows what runs publish: it cannot be promoted to.');
      if (!channelPattern.test(channel))
        throw new FedloraError(
          'channel/fixed',
          'A channel’s name is lower-case letters and digits, with single hyphens between them, and neither "main" nor a version.',
        );
      const { channels, tags } = await releaseViews.repository(repository);
      if (tags.some(({ name }) => name === channel))
        throw new FedloraError('channel/fixed', `"${channel}" is a tag, which never moves.`);
      const before = channels.find(({ name }) => name === channel);
      expectUnchanged(ifMatch, before ?? {});
      const release = await releaseViews.release(id);
      if (release.repository !== repository)
        throw new FedloraError('version/unknown', `The repository ${repository} has no such version.`);
      expectNotRevoked(release);
      if (before?.version === id) return before;
      const { gate } = release;
      const isPassed = gate.outcome === 'passed';
      if (!isPassed && override == null) throw new FedloraError('channel/gate', whyNot(gate));
      const reason = isPassed ? null : (override ?? null);
      return this.move(
        { repository, channel, kind: 'promoted', version: id, gate: gate.outcome, reason },
        by,
        before?.version ?? null,
      );
    });
  }

  /** Gives a channel the version back that it had before. @throws FedloraError channel/unknown | channel/no-previous | request/changed */
  rollBack(repository: string, channel: string, by: Origin, ifMatch?: string): Promise<ChannelView> {
    return this.turns.take(async () => {
      const before = await this.parts.channelViews.find(repository, channel);
      expectUnchanged(ifMatch, before);
      if (before.previous === null) throw new FedloraError('channel/no-previous');
      return this.move(
        { repository, channel, kind: 'rolled-back', version: before.version, gate: null, reason: null },
        by,
        before.version,
      );
    });
  }

  /** Ends a channel; its history stays. @throws FedloraError channel/unknown | channel/fixed | request/changed */
  removeChannel(repository: string, channel: string, by: Origin, ifMatch?: string): Promise<void> {
    return this.turns.take(async () => {
      if (channel === CANDIDATE_CHANNEL || channel === STABLE_CHANNEL)
        throw new FedloraError('channel/fixed', `The channel "${channel}" is always there.`);
      const before = await this.parts.channelViews.find(repository, channel);
      expectUnchanged(ifMatch, before);
      await this.note({ repository, channel, kind: 'removed', version: null, gate: null, reason: null }, by, {
        before: before.version,
        after: null,
      });
    });
  }

  /**
   * Takes a version out of use, for good: nobody but the organisations that train from it gets its files, and each channel that has it
   * falls back to what it had before. The first reason stays.
   *
   * @throws FedloraError version/unknown
   */
  revoke(id: string, reason: string, by: Origin): Promise<ReleaseView> {
    return this.turns.take(async () => {
      const { versions, channels, releaseViews, audit, announcements, now } = this.parts;
      const { repository, revoked } = await releaseViews.version(id);
      if (revoked !== null) return releaseViews.release(id);
      const leaves = [...(await channels.movesOf(repository))]
        .filter(([, moves]) => stackOf(moves).includes(id))
        .map(([channel]) => channel);
      const at = now();
      await audit.recording(async (trx) => {
        await versions.revoke(id, { at, reason }, trx);
        for (const channel of leaves)
          await channels.add(
            { repository, channel, kind: 'revoked', version: id, at, by: nameOf(by), gate: null, reason },
            trx,
          );
        const details = { version: id, repository, reason, channels: leaves.join(', ') };
        return [{ event: 'version.revoked', by, details }, undefined] as const;
      });
      announcements.tell('version.changed', id);
      announcements.tell('repository.changed', repository);
      return releaseViews.release(id);
    });
  }

  /**
   * Notes what an owner's audit found. The same again changes nothing.
   *
   * @throws FedloraError version/unknown | version/impossible-audit | version/audited-otherwise
   */
  noteAudit(id: string, { seal, canaries, guesses, right }: AuditFindingRequest, by: Origin): Promise<ReleaseView> {
    return this.turns.take(async () => {
      const { auditFindings, releaseViews, audit, announcements, now } = this.parts;
      const { repository } = await releaseViews.version(id);
      if (right > guesses || guesses > canaries) throw new FedloraError('version/impossible-audit');
      const known = (await auditFindings.of([id])).find((one) => one.seal === seal);
      if (known !== undefined) {
        const isSame = known.canaries === canaries && known.guesses === guesses && known.right === right;
        if (!isSame) throw new FedloraError('version/audited-otherwise');
        return releaseViews.release(id);
      }
      await audit.recording(async (trx) => {
        await auditFindings.add({ version: id, seal, canaries, guesses, right, at: now() }, trx);
        const details = { version: id, repository, seal, canaries, guesses, right };
        return [{ event: 'version.audited', by, details }, undefined] as const;
      });
      announcements.tell('version.changed', id);
      return releaseViews.release(id);
    });
  }

  /** Advises against a version; `null` takes the advice back. @throws FedloraError version/unknown */
  deprecate(id: string, note: string | null, by: Origin): Promise<ReleaseView> {
    return this.turns.take(async () => {
      const { versions, releaseViews, audit, announcements, now } = this.parts;
      const { repository, deprecated } = await releaseViews.version(id);
      if ((deprecated?.reason ?? null) === note) return releaseViews.release(id);
      await audit.recording(async (trx) => {
        await versions.deprecate(id, note === null ? null : { at: now(), reason: note }, trx);
        const record = { event: note === null ? 'version.undeprecated' : 'version.deprecated', by };
        const change = { before: { note: deprecated?.reason ?? null }, after: { note } };
        return [{ ...record, details: { version: id, repository }, ...change }, undefined] as const;
      });
      announcements.tell('version.changed', id);
      return releaseViews.release(id);
    });
  }

  /** Names a version for good. @throws FedloraError tag/invalid | tag/taken | version/unknown | version/revoked | repository/unknown */
  tag(repository: string, name: string, id: string, by: Origin): Promise<TagView> {
    return this.turns.take(async () => {
      const { tags, releaseViews, audit, announcements, now } = this.parts;
      if (!tagPattern.test(name)) throw new FedloraError('tag/invalid');
      const before = await releaseViews.repository(repository);
      const version = await releaseViews.version(id);
      if (version.repository !== repository) throw new FedloraError('version/unknown');
      expectNotRevoked(version);
      const known = before.tags.find((tag) => tag.name === name);
      if (known?.version === id) return known;
      if (known !== undefined || before.channels.some((channel) => channel.name === name))
        throw new FedloraError('tag/taken');
      const tag: TagView = { name, version: id, createdAt: now(), createdBy: nameOf(by) };
      await audit.recording(async (trx) => {
        await tags.add(repository, tag, trx);
        return [{ event: 'tag.added', by, details: { repository, tag: name, version: id } }, undefined] as const;
      });
      announcements.tell('repository.changed', repository);
      return tag;
    });
  }

  /** @throws FedloraError tag/unknown | repository/unknown */
  removeTag(repository: string, name: string, by: Origin): Promise<void> {
    return this.turns.take(async () => {
      const { tags, releaseViews, audit, announcements } = this.parts;
      const known = (await releaseViews.repository(repository)).tags.find((tag) => tag.name === name);
      if (known === undefined) throw new FedloraError('tag/unknown');
      await audit.recording(async (trx) => {
        await tags.remove(repository, name, trx);
        const details = { repository, tag: name, version: known.version };
        return [{ event: 'tag.removed', by, details }, undefined] as const;
      });
      announcements.tell('repository.changed', repository);
    });
  }

  private async move(
    move: Omit<StoredMove, 'sequence' | 'at' | 'by'>,
    by: Origin,
    before: string | null,
  ): Promise<ChannelView> {
    const { repository, channel, kind, version } = move;
    const { channelViews } = this.parts;
    const after = kind === 'promoted' ? version : (await channelViews.find(repository, channel)).previous;
    await this.note(move, by, { before, after });
    return channelViews.find(repository, channel);
  }

  private async note(
    move: Omit<StoredMove, 'sequence' | 'at' | 'by'>,
    by: Origin,
    { before, after }: { readonly before: string | null; readonly after: string | null },
  ): Promise<void> {
    const { channels, audit, announcements, now } = this.parts;
    const { repository, channel, kind, gate, reason } = move;
    await audit.recording(async (trx) => {
      await channels.add({ ...move, at: now(), by: nameOf(by) }, trx);
      const details = { repository, channel, gate, override: reason };
      const change = { before: { version: before }, after: { version: after } };
      return [{ event: `channel.${kind}`, by, details, ...change }, undefined] as const;
    });
    announcements.tell('repository.changed', repository);
  }
}

/** @throws FedloraError version/revoked: says when and why */
export function expectNotRevoked({ id, revoked }: Pick<ReleaseView, 'id' | 'revoked'>): void {
  if (revoked === null) return;
  const day = new Date(revoked.at).toISOString().slice(0, 10);
  throw new FedloraError('version/revoked', `Version ${id} was revoked on ${day}: ${revoked.reason}`);
}

function whyNot({ checks }: GateView): string {
  const reasons = checks.filter(({ outcome }) => outcome !== 'passed').map(({ reason }) => reason);
  return `The release gate is not passed. ${[...new Set(reasons)].join(' ')}`;
}

function nameOf({ actor }: Origin): string {
  return actor.name ?? actor.kind;
}
