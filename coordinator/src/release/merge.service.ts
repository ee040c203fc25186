/**
 * Merges of versions, made and signed here: the coordinator signs no adapter that it did not compute itself, so nothing is uploaded.
 *
 * Guarantee  A merge has a name once its folder is whole and its row is stored; a crash before that leaves nothing that anybody sees.
 *            Merges happen one after the other: each holds its parents in memory.
 */

import { setImmediate } from 'node:timers/promises';
import {
  FedloraError,
  mergedVersion,
  releasesOf,
  type MergeRequest,
  type ReleaseView,
  type VersionRecord,
} from '@fedlora/shared';
import type { VersionStore } from '../adapters/version-store.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { RunsRepository } from '../runs/runs.repository.js';
import { groupsOf } from './disjoint-rosters.js';
import { expectNotRevoked } from './release.service.js';
import type { ReleaseViews } from './release-views.js';
import { Turns } from '../turns.js';

export interface MergeParts {
  readonly versions: VersionsRepository;
  readonly versionStore: VersionStore;
  readonly runs: RunsRepository;
  readonly releaseViews: ReleaseViews;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly now: () => number;
}

export class MergeService {
  private readonly turns = new Turns();

  constructor(private readonly parts: MergeParts) {}

  /**
   * Merges versions of any repositories into a new version of the first one's, which then is its candidate.
   *
   * @throws FedloraError version/unknown | version/revoked | version/damaged | adapter/not-mergeable | repository/unknown
   */
  merge(repository: string, request: MergeRequest, by: Origin): Promise<ReleaseView> {
    return this.turns.take(() => this.make(repository, request, by));
  }

  private async make(repository: string, { parents, method, rank }: MergeRequest, by: Origin): Promise<ReleaseView> {
    const { versions, versionStore, runs, releaseViews, audit, announcements, now } = this.parts;
    for (const [i, { version: id }] of parents.entries()) {
      const version = await releaseViews.version(id);
      expectNotRevoked(version);
      if (i === 0 && version.repository !== repository)
        throw new FedloraError('version/unknown', `The first parent must be of ${repository}, where the merge goes.`);
      if (version.number === 0)
        throw new FedloraError(
          'adapter/not-mergeable',
          `Version ${id} is the beginning of a run: nothing was trained yet.`,
        );
    }
    const loaded = await Promise.all(
      parents.map(async ({ version, weight }) => ({ ...(await versionStore.mergeable(version)), weight })),
    );
    const rosters = await rostersOf(
      loaded.map(({ record }) => record),
      runs,
    );
    const groups = groupsOf(rosters);
    const { record, contents } = await mergedVersion(loaded, {
      method,
      ...(rank === undefined ? {} : { rank }),
      createdAt: now(),
      groupOf: (runId) => groups.get(runId) ?? 0,
      betweenLayers: () => setImmediate(),
    });
    await versionStore.writeSigned(record, contents);
    await audit.recording(async (trx) => {
      await versions.add(record, trx);
      const details = {
        version: record.id,
        repository,
        method,
        parents: parents.map(({ version, weight }) => `${version} × ${weight}`).join(', '),
        epsilon: record.epsilon,
      };
      return [{ event: 'version.merged', by, details }, undefined] as const;
    });
    announcements.tell('version.published', record.id);
    announcements.tell('repository.changed', repository);
    return releaseViews.release(record.id);
  }
}

/** Of every run that the versions rest on. @throws FedloraError run/unknown */
async function rostersOf(
  records: readonly VersionRecord[],
  runs: RunsRepository,
): Promise<ReadonlyMap<string, readonly { readonly name: string; readonly identity: string }[]>> {
  const rosters = new Map<string, readonly { readonly name: string; readonly identity: string }[]>();
  for (const { runId } of releasesOf(records)) {
    const run = await runs.byId(runId);
    if (run === undefined) throw new FedloraError('run/unknown');
    rosters.set(runId, run.roster.members);
  }
  return rosters;
}
