/** Versions with everything that a decision about them needs. */

import { canonicalJson, type Manifest } from '@fedlora/protocol';
import {
  STABLE_CHANNEL,
  type ChannelView,
  type EvaluationView,
  type MergeView,
  type ReleaseView,
  type TagView,
  type VersionView,
} from '@fedlora/shared';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import type { Downloads } from '../hub/downloads.js';
import type { RoundsRepository } from '../rounds/rounds.repository.js';
import type { Run, RunsRepository } from '../runs/runs.repository.js';
import type { ChannelViews } from './channel-views.js';
import { auditFinding } from './audit-finding.js';
import type { AuditFindingsRepository } from './audit-findings.repository.js';
import { releaseGate, type Measured } from './gate.js';
import type { TagsRepository } from './tags.repository.js';

export interface ReleaseDescriptionParts {
  readonly versions: VersionsRepository;
  readonly channelViews: ChannelViews;
  readonly tags: TagsRepository;
  readonly downloads: Downloads;
  readonly runs: RunsRepository;
  readonly rounds: RoundsRepository;
  readonly auditFindings: AuditFindingsRepository;
}

export class ReleaseDescriptions {
  constructor(private readonly parts: ReleaseDescriptionParts) {}

  /** In the order given. */
  async of(versions: readonly VersionView[]): Promise<ReleaseView[]> {
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
    const audits = await this.parts.auditFindings.of(versions.map(({ id }) => id));
    const ofMerges = new Map<string, MergeFacts>();
    for (const { id, merge } of versions) if (merge !== null) ofMerges.set(id, await this.mergeFacts(merge));

    return versions.map((version): ReleaseView => {
      // Safe: both were read above, and a version has a run.
      const facts = repositories.get(version.repository)!;
      const run = facts.runs.get(version.runId)!;
      const { manifest, manifestHash, roster } = run;
      const { merge } = version;
      const merged = ofMerges.get(version.id);
      const unit = merge?.unit ?? manifest.privacy.unit;
      const delta = merge !== null ? merge.delta : unit === 'none' ? null : manifest.privacy.delta;
      const promised = { unit, epsilon: version.epsilon, delta };
      const findings = audits.filter((one) => one.version === version.id).map((one) => auditFinding(one, promised));
      const asMeasured = (one: VersionView | undefined): Measured | null =>
        one === undefined ? null : measuredOf(one, facts.runs.get(one.runId)?.manifest, evaluations);
      return {
        ...version,
        channels: facts.channels.filter((channel) => channel.version === version.id).map(({ name }) => name),
        tags: facts.tags.filter((tag) => tag.version === version.id).map(({ name }) => name),
        runTitle: manifest.title,
        baseName: manifest.base.name,
        rule: manifest.adapter.rule,
        unit,
        delta,
        organisations: merged?.organisations ?? roster.members.map(({ name }) => name),
        roundNumber: numbers.get(version.roundId ?? '') ?? null,
        manifestHash,
        rosterHash: manifest.rosterHash,
        evaluation: evaluations.get(version.id) ?? null,
        audits: findings,
        downloads: downloads.get(version.id) ?? 0,
        gate: releaseGate({
          version: measuredOf(version, manifest, evaluations),
          start: asMeasured(starts.get(version.runId)),
          stable: asMeasured(facts.stable),
          audits: findings,
          revokedAncestor:
            merged?.revokedAncestor ??
            facts.revoked.find((one) => one.id === version.id || (merge === null && isAbove(one, version)))?.id ??
            null,
        }),
      };
    });
  }

  private async mergeFacts({ parents, runs }: MergeView): Promise<MergeFacts> {
    const names = new Set<string>();
    for (const id of runs)
      for (const { name } of (await this.parts.runs.byId(id))?.roster.members ?? []) names.add(name);
    return {
      organisations: [...names],
      revokedAncestor: await this.parts.versions.revokedAncestor(parents.map(({ version }) => version)),
    };
  }

  private async facts(repository: string): Promise<RepositoryFacts> {
    const channels = await this.parts.channelViews.of(repository);
    const stable = channels.find(({ name }) => name === STABLE_CHANNEL)?.version ?? null;
    return {
      channels,
      tags: await this.parts.tags.of(repository),
      runs: new Map((await this.parts.runs.ofRepository(repository)).map((run) => [run.id, run])),
      stable: stable === null ? undefined : await this.parts.versions.byId(stable),
      revoked: await this.parts.versions.revokedOf(repository),
    };
  }
}

interface MergeFacts {
  readonly organisations: readonly string[];
  readonly revokedAncestor: string | null;
}

interface RepositoryFacts {
  readonly channels: readonly ChannelView[];
  readonly tags: readonly TagView[];
  readonly runs: ReadonlyMap<string, Run>;
  readonly stable: VersionView | undefined;
  readonly revoked: readonly VersionView[];
}

/** Whether a round made `one`, and `version` was trained from it. */
function isAbove(one: VersionView, version: VersionView): boolean {
  return one.merge === null && one.runId === version.runId && one.number <= version.number;
}

function measuredOf(
  { id, number, merge }: VersionView,
  manifest: Manifest | undefined,
  evaluations: ReadonlyMap<string, EvaluationView>,
): Measured {
  return {
    id,
    number,
    evaluation: evaluations.get(id) ?? null,
    isPrivate: manifest !== undefined && (merge?.unit ?? manifest.privacy.unit) !== 'none',
    heldOutRows: manifest === undefined ? null : heldOutRowsOf(manifest),
  };
}

/** Equal for runs that measure on the same rows in the same way: those of the same organisations, chosen by the same fraction. */
function heldOutRowsOf({ metrics: { evaluation }, base, data, rosterHash }: Manifest): string | null {
  if (evaluation === undefined) return null;
  return Buffer.from(canonicalJson({ base: base.digest, data, evaluation, rosterHash })).toString('utf8');
}
