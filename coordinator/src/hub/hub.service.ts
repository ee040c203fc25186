/**
 * The Hugging Face Hub's view of repositories: a version is a commit, a channel a branch, a tag a tag. `main` is the stable version; while nothing was
 * ever stable it is the newest.
 */

import { createHash } from 'node:crypto';
import { FedloraError, STABLE_CHANNEL, type ReleaseView, type RepositoryView } from '@fedlora/shared';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import { expectNotRevoked } from '../release/release.service.js';
import type { ReleaseViews } from '../release/release-views.js';
import type { HubFile, HubFiles } from './hub-files.js';
import type { HubCommit, HubEntry, HubModel, HubRef, HubRefs, HubSibling } from './hub-types.js';

export interface HubParts {
  readonly releaseViews: ReleaseViews;
  readonly versions: VersionsRepository;
  readonly files: HubFiles;
}

/** Names of the default branch. */
const MAIN = ['main', 'HEAD'];

export class HubService {
  constructor(private readonly parts: HubParts) {}

  /**
   * The version that a revision stands for: a channel, a tag, `main`, or a version's id.
   *
   * @throws FedloraError version/no-revision | version/revoked
   */
  async versionOf(repository: RepositoryView, revision: string): Promise<string> {
    const id = await this.idOf(repository, revision.replace(/^refs\/(heads|tags)\//, ''));
    const version = id === null ? undefined : await this.parts.versions.byId(id);
    if (version?.repository !== repository.name) throw new FedloraError('version/no-revision');
    expectNotRevoked(version);
    return version.id;
  }

  async model(repository: RepositoryView, revision: string, withBlobs: boolean): Promise<HubModel> {
    const { releaseViews, files } = this.parts;
    const release = await releaseViews.release(await this.versionOf(repository, revision));
    const { name, baseName } = repository;
    const listed = await files.of(release.id);
    const changed = new Date(release.createdAt).toISOString();
    return {
      _id: createHash('sha256').update(name).digest('hex').slice(0, 24),
      id: name,
      modelId: name,
      author: name.split('/')[0],
      sha: release.id,
      private: true,
      gated: false,
      disabled: false,
      downloads: repository.downloads,
      likes: 0,
      createdAt: changed,
      lastModified: changed,
      library_name: 'peft',
      tags: ['peft', 'safetensors', 'lora', 'federated-learning', `base_model:adapter:${baseName}`],
      cardData: { base_model: baseName, library_name: 'peft' },
      config: { peft: { base_model_name_or_path: baseName, task_type: 'CAUSAL_LM' } },
      siblings: listed.map((file) => siblingOf(file, withBlobs)),
      usedStorage: listed.reduce((sum, { size }) => sum + size, 0),
      fedlora: {
        channels: release.channels,
        unit: release.unit,
        epsilon: release.epsilon,
        delta: release.delta,
        organisations: release.organisations.length,
        manifestHash: release.manifestHash,
        deprecated: release.deprecated?.reason ?? null,
      },
    };
  }

  /** The files of a version, from the one after `after` on, with whether there are more. */
  async tree(
    repository: RepositoryView,
    revision: string,
    options: { readonly isExpanded: boolean; readonly limit: number; readonly after: string },
  ): Promise<{ readonly entries: readonly HubEntry[]; readonly hasMore: boolean }> {
    const all = await this.entries(await this.versionOf(repository, revision), options.isExpanded);
    const rest = all.filter(({ path }) => path > options.after);
    return { entries: rest.slice(0, options.limit), hasMore: rest.length > options.limit };
  }

  /** Those of the paths that there are. */
  async paths(
    repository: RepositoryView,
    revision: string,
    paths: readonly string[],
    isExpanded: boolean,
  ): Promise<readonly HubEntry[]> {
    const all = await this.entries(await this.versionOf(repository, revision), isExpanded);
    return all.filter(({ path }) => paths.includes(path));
  }

  async refs(repository: RepositoryView): Promise<HubRefs> {
    const main = await this.idOf(repository, 'main');
    const branches = repository.channels.map(({ name, version }) => ({ name, version }));
    return {
      branches: [{ name: 'main', version: main }, ...branches].flatMap(({ name, version }): HubRef[] =>
        version === null ? [] : [{ name, ref: `refs/heads/${name}`, targetCommit: version }],
      ),
      tags: repository.tags.map(({ name, version }) => ({ name, ref: `refs/tags/${name}`, targetCommit: version })),
      converts: [],
    };
  }

  private async idOf({ name, channels, tags }: RepositoryView, revision: string): Promise<string | null> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const versionOf = (channel: string): string | null | undefined =>
      channels.find((one) => one.name === channel)?.version;
    if (!MAIN.includes(revision))
      return versionOf(revision) ?? tags.find((tag) => tag.name === revision)?.version ?? null;
    const stable = versionOf(STABLE_CHANNEL);
    // A stable channel that is empty was emptied on purpose: what nobody released does not take its place.
    if (stable !== undefined) return stable;
    return (await this.parts.versions.newestTrained(name))?.id ?? (await this.firstOf(name));
  }

  /** While nothing is trained, a repository has the beginning of its run: an adapter that changes nothing. */
  private async firstOf(repository: string): Promise<string | null> {
    const [newest] = await this.parts.versions.ofRepository(repository, 1);
    return newest?.number === 0 && newest.revoked === null ? newest.id : null;
  }

  private async entries(version: string, isExpanded: boolean): Promise<readonly HubEntry[]> {
    const { files, releaseViews } = this.parts;
    const listed = await files.of(version);
    const release = isExpanded ? await releaseViews.release(version) : undefined;
    return listed.map(({ name, size, oid, large }) => ({
      type: 'file',
      path: name,
      size,
      oid,
      ...(large === undefined ? {} : { lfs: large }),
      ...(release === undefined ? {} : { lastCommit: commitOf(release) }),
    }));
  }
}

function siblingOf({ name, size, oid, large }: HubFile, withBlobs: boolean): HubSibling {
  if (!withBlobs) return { rfilename: name };
  const lfs = large && { sha256: large.oid, size: large.size, pointerSize: large.pointerSize };
  return { rfilename: name, size, blobId: oid, ...(lfs === undefined ? {} : { lfs }) };
}

function commitOf({ id, runTitle, roundNumber, createdAt }: ReleaseView): HubCommit {
  const title = `${runTitle}, ${roundNumber === null ? 'beginning' : `round ${roundNumber}`}`;
  return { id, title, date: new Date(createdAt).toISOString() };
}
