/** Repositories and their versions as the API shows them. */

import {
  FedloraError,
  type ComparisonView,
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
import { differences, type LoadedAdapter } from './difference.js';
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

  /** A version, the one that it was trained from, and so on to the first of its run. @throws FedloraError version/unknown */
  async lineage(id: string, query: PageQuery): Promise<Page<ReleaseView>> {
    const { runId, number } = await this.version(id);
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

  private async load({ id, runId }: VersionView): Promise<LoadedAdapter> {
    const run = await this.parts.runs.byId(runId);
    if (run === undefined) throw new FedloraError('run/unknown');
    return { manifest: run.manifest, tensors: await this.parts.versionStore.adapter(id, run.manifest) };
  }
}
