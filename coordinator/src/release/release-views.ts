/** Repositories and their versions as the API shows them. */

import {
  FedloraError,
  parseAdapterConfig,
  readLora,
  type ComparisonView,
  type LoraAdapter,
  type Page,
  type PageQuery,
  type ReleaseView,
  type RepositoryView,
  type VersionView,
} from '@fedlora/shared';
import type { VersionStore } from '../adapters/version-store.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import { pageBy, positionOf } from '../api/page.js';
import type { Downloads } from '../hub/downloads.js';
import type { RunsRepository } from '../runs/runs.repository.js';
import type { ChannelViews } from './channel-views.js';
import { differences } from './difference.js';
import type { ReleaseDescriptions } from './release-descriptions.js';
import type { TagsRepository } from './tags.repository.js';

export interface ReleaseViewParts {
  readonly versions: VersionsRepository;
  readonly versionStore: VersionStore;
  readonly channelViews: ChannelViews;
  readonly descriptions: ReleaseDescriptions;
  readonly tags: TagsRepository;
  readonly downloads: Downloads;
  readonly runs: RunsRepository;
}

export class ReleaseViews {
  constructor(private readonly parts: ReleaseViewParts) {}

  /** By name. */
  async repositories(): Promise<RepositoryView[]> {
    const names = new Set((await this.parts.runs.list()).map(({ repository }) => repository));
    return Promise.all([...names].sort().map((name) => this.repository(name)));
  }

  /** The runs that publish into a repository. @throws FedloraError repository/unknown */
  async runsOf(repository: string): Promise<readonly string[]> {
    const runs = await this.parts.runs.idsOfRepository(repository);
    if (runs.length === 0) throw new FedloraError('repository/unknown');
    return runs;
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
      channels: await this.parts.channelViews.of(name),
      tags: await this.parts.tags.of(name),
    };
  }

  /** Versions of a repository, newest first. */
  releases(repository: string, query: PageQuery): Promise<Page<ReleaseView>> {
    return pageBy(
      query,
      async (limit) =>
        this.parts.descriptions.of(
          await this.parts.versions.ofRepository(repository, limit, positionOf(query, 'text')),
        ),
      ({ id }) => id,
    );
  }

  /** @throws FedloraError version/unknown */
  async release(id: string): Promise<ReleaseView> {
    return (await this.parts.descriptions.of([await this.version(id)]))[0];
  }

  /**
   * A version, the one that it was trained from, and so on to the first of its run; a merge and its parents, each of which has its own.
   *
   * @throws FedloraError version/unknown
   */
  async lineage(id: string, query: PageQuery): Promise<Page<ReleaseView>> {
    const version = await this.version(id);
    const { runId, number, merge } = version;
    if (merge !== null) {
      const parents = await Promise.all(merge.parents.map((parent) => this.version(parent.version)));
      return { items: await this.parts.descriptions.of([version, ...parents]), nextCursor: null };
    }
    const from = positionOf(query);
    return pageBy(
      query,
      async (limit) =>
        this.parts.descriptions.of(
          await this.parts.versions.lineOf(runId, from === undefined ? number : Math.min(number, from - 1), limit),
        ),
      (release) => release.number,
    );
  }

  /** @throws FedloraError version/unknown | version/damaged */
  async comparison(leftId: string, rightId: string): Promise<ComparisonView> {
    const [left, right] = await this.parts.descriptions.of([await this.version(leftId), await this.version(rightId)]);
    const [ofLeft, ofRight] = [await this.load(left), await this.load(right)];
    const isSameBase = ofLeft.baseDigest === ofRight.baseDigest;
    return {
      left,
      right,
      commonAncestor: commonAncestorOf(left, right),
      modules: isSameBase ? await differences(ofLeft.adapter, ofRight.adapter) : null,
    };
  }

  /** @throws FedloraError version/unknown */
  async version(id: string): Promise<VersionView> {
    const version = await this.parts.versions.byId(id);
    if (version === undefined) throw new FedloraError('version/unknown');
    return version;
  }

  private async load({ id }: VersionView): Promise<{ readonly adapter: LoraAdapter; readonly baseDigest: string }> {
    const { record, config, weights } = await this.parts.versionStore.mergeable(id);
    return { adapter: readLora(parseAdapterConfig(config), weights), baseDigest: record.base.digest };
  }
}

/** The newest version that both come from, or are. What merges have in common is in what they were merged from. */
function commonAncestorOf(left: VersionView, right: VersionView): string | null {
  if (left.merge !== null || right.merge !== null || left.runId !== right.runId) return null;
  return left.number < right.number ? left.id : right.id;
}
