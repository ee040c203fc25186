/**
 * The Hugging Face Hub's view of repositories: a version is a commit, a channel a branch, a tag a tag. `main` is the stable version; while nothing was
 * ever stable it is the newest. A revision that ends in `-f16` or `-bf16` is the same version with its weights in that format.
 */

import { createHash } from 'node:crypto';
import { FedloraError, hasCode, STABLE_CHANNEL, type ReleaseView, type RepositoryView } from '@fedlora/shared';
import type { ConvertedVersions } from '../adapters/converted-versions.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import type { ChannelViews } from '../release/channel-views.js';
import { expectNotRevoked } from '../release/release.service.js';
import type { ReleaseViews } from '../release/release-views.js';
import type { TagsRepository } from '../release/tags.repository.js';
import type { HubFile, HubFiles } from './hub-files.js';
import type { HubCommit, HubEntry, HubModel, HubRef, HubRefs, HubSibling } from './hub-types.js';

export interface HubParts {
  readonly releaseViews: ReleaseViews;
  readonly channelViews: ChannelViews;
  readonly tags: TagsRepository;
  readonly versions: VersionsRepository;
  readonly files: HubFiles;
  readonly converted: ConvertedVersions;
}

/** What a revision stands for. */
export interface ServedCommit {
  /** What is served: the version, or what it was converted to. */
  readonly commit: string;
  readonly version: string;
}

/** Which repositories are asked for. */
export interface WantedModels {
  readonly author: string | undefined;
  /** Part of the name, in any case of letters. */
  readonly search: string;
  /** All of which it has. */
  readonly tags: readonly string[];
  readonly order: ModelOrder;
  /** Of repositories that are looked at. */
  readonly limit: number;
  /** `next` of the page before; empty: from the first. */
  readonly after: string;
}

/** What the Hub sorts by, as far as there is such a thing here. */
export const modelSorts = ['id', 'downloads', 'lastModified', 'createdAt'] as const;
export type ModelSort = (typeof modelSorts)[number];

export interface ModelOrder {
  readonly by: ModelSort;
  readonly isDescending: boolean;
}

/** Where a repository stands: by its value, and among equal ones by its name. */
interface Place {
  readonly repository: RepositoryView;
  readonly value: number;
}

export interface HubModels {
  readonly models: readonly HubModel[];
  /** Where the next page goes on; `undefined` where this is the last. */
  readonly next: string | undefined;
}

/** Names of the default branch. */
const MAIN = ['main', 'HEAD'];
/** Where a page ended: its last value, and the name that it is of. */
const CURSOR = /^(\d+) (.+)$/;
/** A revision in another number format. */
const CONVERTED = /^(.+)-(f16|bf16)$/;

export class HubService {
  constructor(private readonly parts: HubParts) {}

  /**
   * What a revision stands for: a channel, a tag, `main`, or an id; or one of these in another number format.
   *
   * Edge cases a channel or tag whose name ends like a format -> that channel or tag
   * @throws FedloraError version/no-revision | version/revoked
   */
  async commitOf(repository: string, revision: string): Promise<ServedCommit> {
    const { converted } = this.parts;
    const name = revision.replace(/^refs\/(heads|tags)\//, '');
    const id = await this.idOf(repository, name);
    if (id !== null) return this.usable(repository, id);
    const [, of, dtype] = CONVERTED.exec(name) ?? [];
    const origin = of === undefined ? null : await this.idOf(repository, of);
    if (origin === null) throw new FedloraError('version/no-revision');
    const { version } = await this.usable(repository, origin);
    return { commit: await converted.of(version, dtype as 'f16' | 'bf16'), version };
  }

  /** A version, or what one was converted to, that is of this repository and not revoked. */
  private async usable(repository: string, id: string): Promise<ServedCommit> {
    const { versions, converted } = this.parts;
    let version = await versions.byId(id);
    if (version === undefined) {
      const origin = await converted.originOf(id);
      version = origin === undefined ? undefined : await versions.byId(origin);
    }
    if (version?.repository !== repository) throw new FedloraError('version/no-revision');
    expectNotRevoked(version);
    return { commit: id, version: version.id };
  }

  /**
   * Those of the repositories that are asked for, at their main version, in the order that is asked for, from the one after `after` on.
   *
   * Edge cases a repository whose main has no version -> left out: there is nothing to pull; one whose value changes between two pages ->
   * may be in both, or in neither; a cursor that no page gave -> from the first
   */
  async models(repositories: readonly RepositoryView[], wanted: WantedModels): Promise<HubModels> {
    const { author, search, tags, order, limit, after } = wanted;
    const asked = repositories.filter(
      ({ name, baseName }) =>
        (author === undefined || name.startsWith(`${author}/`)) &&
        name.toLowerCase().includes(search.toLowerCase()) &&
        tags.every((tag) => tagsOf(baseName).includes(tag)),
    );
    const compare = (
      left: Pick<Place, 'value'>,
      right: Pick<Place, 'value'>,
      names: readonly [string, string],
    ): number => {
      const byName = names[0] < names[1] ? -1 : Number(names[0] > names[1]);
      if (order.by === 'id') return order.isDescending ? -byName : byName;
      return (order.isDescending ? right.value - left.value : left.value - right.value) || byName;
    };
    const places = await Promise.all(
      asked.map(async (repository) => ({ repository, value: await this.valueOf(repository, order.by) })),
    );
    places.sort((a, b) => compare(a, b, [a.repository.name, b.repository.name]));
    const [, value, name] = CURSOR.exec(after) ?? [];
    const rest =
      name === undefined
        ? places
        : places.filter((place) => compare(place, { value: Number(value) }, [place.repository.name, name]) > 0);
    const page = rest.slice(0, limit);
    const models = await Promise.all(page.map(({ repository }) => this.modelOfMain(repository)));
    const last = page.at(-1);
    return {
      models: models.filter((model) => model !== undefined),
      next: rest.length > limit && last !== undefined ? `${last.value} ${last.repository.name}` : undefined,
    };
  }

  /** What a repository is sorted by: downloads, or when its main version was made; 0 for its name alone, and where there is no version. */
  private async valueOf({ name, downloads }: RepositoryView, by: ModelSort): Promise<number> {
    if (by === 'id') return 0;
    if (by === 'downloads') return downloads;
    const { versions } = this.parts;
    const main = await this.idOf(name, 'main');
    return (main === null ? undefined : await versions.byId(main))?.createdAt ?? 0;
  }

  private async modelOfMain(repository: RepositoryView): Promise<HubModel | undefined> {
    try {
      return await this.model(repository, 'main', false);
    } catch (error) {
      if (hasCode(error, 'version/no-revision')) return undefined;
      throw error;
    }
  }

  async model(repository: RepositoryView, revision: string, withBlobs: boolean): Promise<HubModel> {
    const { releaseViews, files } = this.parts;
    const { commit, version } = await this.commitOf(repository.name, revision);
    const release = await releaseViews.release(version);
    const { name, baseName } = repository;
    const listed = await files.of(commit);
    const changed = new Date(release.createdAt).toISOString();
    return {
      _id: createHash('sha256').update(name).digest('hex').slice(0, 24),
      id: name,
      modelId: name,
      author: name.split('/')[0],
      sha: commit,
      private: true,
      gated: false,
      disabled: false,
      downloads: repository.downloads,
      likes: 0,
      createdAt: changed,
      lastModified: changed,
      library_name: 'peft',
      tags: tagsOf(baseName),
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
    repository: string,
    revision: string,
    options: { readonly isExpanded: boolean; readonly limit: number; readonly after: string },
  ): Promise<{ readonly entries: readonly HubEntry[]; readonly hasMore: boolean }> {
    const all = await this.entries(await this.commitOf(repository, revision), options.isExpanded);
    const rest = all.filter(({ path }) => path > options.after);
    return { entries: rest.slice(0, options.limit), hasMore: rest.length > options.limit };
  }

  /** Those of the paths that there are. */
  async paths(
    repository: string,
    revision: string,
    paths: readonly string[],
    isExpanded: boolean,
  ): Promise<readonly HubEntry[]> {
    const all = await this.entries(await this.commitOf(repository, revision), isExpanded);
    return all.filter(({ path }) => paths.includes(path));
  }

  async refs(repository: RepositoryView): Promise<HubRefs> {
    const main = await this.idOf(repository.name, 'main');
    const branches = repository.channels.map(({ name, version }) => ({ name, version }));
    return {
      branches: [{ name: 'main', version: main }, ...branches].flatMap(({ name, version }): HubRef[] =>
        version === null ? [] : [{ name, ref: `refs/heads/${name}`, targetCommit: version }],
      ),
      tags: repository.tags.map(({ name, version }) => ({ name, ref: `refs/tags/${name}`, targetCommit: version })),
      converts: [],
    };
  }

  private async idOf(repository: string, revision: string): Promise<string | null> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const { channelViews, tags, versions } = this.parts;
    if (!MAIN.includes(revision)) {
      const version = await channelViews.versionOf(repository, revision);
      return version ?? (await tags.of(repository)).find((tag) => tag.name === revision)?.version ?? null;
    }
    const stable = await channelViews.versionOf(repository, STABLE_CHANNEL);
    // A stable channel that is empty was emptied on purpose: what nobody released does not take its place.
    if (stable !== undefined) return stable;
    return (await versions.newestTrained(repository))?.id ?? (await this.firstOf(repository));
  }

  /** While nothing is trained, a repository has the beginning of its run: an adapter that changes nothing. */
  private async firstOf(repository: string): Promise<string | null> {
    const [newest] = await this.parts.versions.ofRepository(repository, 1);
    return newest?.number === 0 && newest.revoked === null ? newest.id : null;
  }

  private async entries({ commit, version }: ServedCommit, isExpanded: boolean): Promise<readonly HubEntry[]> {
    const { files, releaseViews } = this.parts;
    const listed = await files.of(commit);
    const release = isExpanded ? await releaseViews.release(version) : undefined;
    return listed.map(({ name, size, oid, large }) => ({
      type: 'file',
      path: name,
      size,
      oid,
      ...(large === undefined ? {} : { lfs: large }),
      ...(release === undefined ? {} : { lastCommit: lastCommitOf(commit, release) }),
    }));
  }
}

function tagsOf(baseName: string): readonly string[] {
  return ['peft', 'safetensors', 'lora', 'federated-learning', `base_model:adapter:${baseName}`];
}

function siblingOf({ name, size, oid, large }: HubFile, withBlobs: boolean): HubSibling {
  if (!withBlobs) return { rfilename: name };
  const lfs = large && { sha256: large.oid, size: large.size, pointerSize: large.pointerSize };
  return { rfilename: name, size, blobId: oid, ...(lfs === undefined ? {} : { lfs }) };
}

function lastCommitOf(id: string, { runTitle, roundNumber, createdAt }: ReleaseView): HubCommit {
  const title = `${runTitle}, ${roundNumber === null ? 'beginning' : `round ${roundNumber}`}`;
  return { id, title, date: new Date(createdAt).toISOString() };
}
