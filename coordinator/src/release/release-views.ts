/** Repositories, channels and versions as the API shows them. */

import { canonicalJson, type Manifest } from '@fedlora/protocol';
import {
  CANDIDATE_CHANNEL,
  FedloraError,
  STABLE_CHANNEL,
  type ChannelMoveView,
  type ChannelView,
  type ComparisonView,
  type EvaluationView,
  type Page,
  type PageQuery,
  type ReleaseView,
  type RepositoryView,
  type TagView,
  type VersionView,
} from '@fedlora/shared';
import type { VersionStore } from '../adapters/version-store.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import { pageBy, positionOf } from '../api/page.js';
import type { Downloads } from '../hub/downloads.js';
import type { RoundsRepository } from '../rounds/rounds.repository.js';
import type { Run, RunsRepository } from '../runs/runs.repository.js';
import { stackOf, stacksAfter } from './channel-history.js';
import type { ChannelsRepository, StoredMove } from './channels.repository.js';
import { differences, type LoadedAdapter } from './difference.js';
import { releaseGate, type Measured } from './gate.js';
import type { TagsRepository } from './tags.repository.js';

export interface ReleaseViewParts {
  readonly versions: VersionsRepository;
  readonly versionStore: VersionStore;
  readonly channels: ChannelsRepository;
  readonly runs: RunsRepository;
  readonly rounds: RoundsRepository;
  readonly downloads: Downloads;
  readonly tags: TagsRepository;
}

export class ReleaseViews {
  constructor(private readonly parts: ReleaseViewParts) {}

  /** By name. */
  async repositories(): Promise<RepositoryView[]> {
    const names = new Set((await this.parts.runs.list()).map(({ repository }) => repository));
    return Promise.all([...names].sort().map((name) => this.repository(name)));
  }

  /** @throws FedloraError repository/unknown */
  async repository(name: string): Promise<RepositoryView> {
    const runs = await this.parts.runs.ofRepository(name);
    if (runs.length === 0) throw new FedloraError('repository/unknown');
    return {
      name,
      baseName: runs[0].manifest.base.name,
      runs: runs.map(({ id }) => id),
      versions: await this.parts.versions.count(name),
      downloads: await this.parts.downloads.ofRepository(name),
      channels: await this.channels(name),
      tags: await this.parts.tags.of(name),
    };
  }

  /** `candidate`, which there always is, then the others by name. */
  async channels(repository: string): Promise<ChannelView[]> {
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

  /** @throws FedloraError channel/unknown */
  async channel(repository: string, name: string): Promise<ChannelView> {
    const found = (await this.channels(repository)).find((channel) => channel.name === name);
    if (found === undefined) throw new FedloraError('channel/unknown');
    return found;
  }

  /** What was done with a channel, newest first; also with one that was removed. @throws FedloraError channel/unknown */
  async moves(repository: string, name: string, query: PageQuery): Promise<Page<ChannelMoveView>> {
    const moves = (await this.parts.channels.movesOf(repository)).get(name);
    if (moves === undefined) {
      await this.channel(repository, name);
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

  /** Versions of a repository, newest first. */
  releases(repository: string, query: PageQuery): Promise<Page<ReleaseView>> {
    return pageBy(
      query,
      async (limit) => this.of(await this.parts.versions.ofRepository(repository, limit, positionOf(query, 'text'))),
      ({ id }) => id,
    );
  }

  /** @throws FedloraError version/unknown */
  async release(id: string): Promise<ReleaseView> {
    return (await this.of([await this.version(id)]))[0];
  }

  /** A version, the one that it was trained from, and so on to the first of its run. @throws FedloraError version/unknown */
  async lineage(id: string, query: PageQuery): Promise<Page<ReleaseView>> {
    const { runId, number } = await this.version(id);
    const from = positionOf(query);
    return pageBy(
      query,
      async (limit) =>
        this.of(
          await this.parts.versions.lineOf(runId, from === undefined ? number : Math.min(number, from - 1), limit),
        ),
      (release) => release.number,
    );
  }

  /** @throws FedloraError version/unknown | version/damaged */
  async comparison(leftId: string, rightId: string): Promise<ComparisonView> {
    const [left, right] = await this.of([await this.version(leftId), await this.version(rightId)]);
    const [ofLeft, ofRight] = [await this.load(left), await this.load(right)];
    const isSameBase = ofLeft.manifest.base.digest === ofRight.manifest.base.digest;
    return {
      left,
      right,
      commonAncestor: left.runId !== right.runId ? null : left.number < right.number ? left.id : right.id,
      modules: isSameBase ? await differences(ofLeft, ofRight) : null,
    };
  }

  /** @throws FedloraError version/unknown */
  async version(id: string): Promise<VersionView> {
    const version = await this.parts.versions.byId(id);
    if (version === undefined) throw new FedloraError('version/unknown');
    return version;
  }

  /** Versions with everything that a decision about them needs, in the order given. */
  private async of(versions: readonly VersionView[]): Promise<ReleaseView[]> {
    const repositories = new Map<string, RepositoryFacts>();
    for (const { repository } of versions)
      if (!repositories.has(repository)) repositories.set(repository, await this.facts(repository));
    const starts = new Map<string, VersionView | undefined>();
    for (const { runId } of versions)
      if (!starts.has(runId)) starts.set(runId, await this.parts.versions.firstOf(runId));
    const stables = [...repositories.values()].flatMap(({ stable }) => stable ?? []);
    const measured = [...versions, ...stables, ...[...starts.values()].flatMap((start) => start ?? [])];
    const evaluations = await this.parts.rounds.evaluationsOf(measured.map(({ id }) => id));
    const numbers = await this.parts.rounds.numbersOf(versions.flatMap(({ roundId }) => roundId ?? []));

    const downloads = await this.parts.downloads.of(versions.map(({ id }) => id));

    return versions.map((version): ReleaseView => {
      // Safe: both were read above, and a version has a run.
      const facts = repositories.get(version.repository)!;
      const run = facts.runs.get(version.runId)!;
      const { manifest, manifestHash, roster } = run;
      const asMeasured = (one: VersionView | undefined): Measured | null =>
        one === undefined ? null : measuredOf(one, facts.runs.get(one.runId)?.manifest, evaluations);
      return {
        ...version,
        channels: facts.channels.filter((channel) => channel.version === version.id).map(({ name }) => name),
        tags: facts.tags.filter((tag) => tag.version === version.id).map(({ name }) => name),
        runTitle: manifest.title,
        baseName: manifest.base.name,
        rule: manifest.adapter.rule,
        unit: manifest.privacy.unit,
        delta: manifest.privacy.unit === 'none' ? null : manifest.privacy.delta,
        organisations: roster.members.map(({ name }) => name),
        roundNumber: numbers.get(version.roundId ?? '') ?? null,
        manifestHash,
        rosterHash: manifest.rosterHash,
        evaluation: evaluations.get(version.id) ?? null,
        downloads: downloads.get(version.id) ?? 0,
        gate: releaseGate({
          version: measuredOf(version, manifest, evaluations),
          start: asMeasured(starts.get(version.runId)),
          stable: asMeasured(facts.stable),
          revokedAncestor:
            facts.revoked.find(({ runId, number }) => runId === version.runId && number <= version.number)?.id ?? null,
        }),
      };
    });
  }

  private async facts(repository: string): Promise<RepositoryFacts> {
    const channels = await this.channels(repository);
    const stable = channels.find(({ name }) => name === STABLE_CHANNEL)?.version ?? null;
    return {
      channels,
      tags: await this.parts.tags.of(repository),
      runs: new Map((await this.parts.runs.ofRepository(repository)).map((run) => [run.id, run])),
      stable: stable === null ? undefined : await this.version(stable),
      revoked: await this.parts.versions.revokedOf(repository),
    };
  }

  private async load({ id, runId }: VersionView): Promise<LoadedAdapter> {
    const run = await this.parts.runs.byId(runId);
    if (run === undefined) throw new FedloraError('run/unknown');
    return { manifest: run.manifest, tensors: await this.parts.versionStore.adapter(id, run.manifest) };
  }
}

interface RepositoryFacts {
  readonly channels: readonly ChannelView[];
  readonly tags: readonly TagView[];
  readonly runs: ReadonlyMap<string, Run>;
  readonly stable: VersionView | undefined;
  readonly revoked: readonly VersionView[];
}

function measuredOf(
  { id, number }: VersionView,
  manifest: Manifest | undefined,
  evaluations: ReadonlyMap<string, EvaluationView>,
): Measured {
  return {
    id,
    number,
    evaluation: evaluations.get(id) ?? null,
    isPrivate: manifest !== undefined && manifest.privacy.unit !== 'none',
    heldOutRows: manifest === undefined ? null : heldOutRowsOf(manifest),
  };
}

/** Equal for runs that measure on the same rows in the same way: those of the same organisations, chosen by the same fraction. */
function heldOutRowsOf({ metrics: { evaluation }, base, data, rosterHash }: Manifest): string | null {
  if (evaluation === undefined) return null;
  return Buffer.from(canonicalJson({ base: base.digest, data, evaluation, rosterHash })).toString('utf8');
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
