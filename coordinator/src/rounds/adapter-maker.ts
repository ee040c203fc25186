/** Makes the next adapter version of a finished round's contributions, and keeps what the round after needs. */

import type { CryptoProvider } from '@fedlora/protocol';
import { errorEntry, type VersionRecord } from '@fedlora/shared';
import type { OptimizerStore } from '../adapters/optimizer-store.js';
import type { HeldOutResult, VersionAudit, VersionStore } from '../adapters/version-store.js';
import { conclude, type Conclusion, type TrainedState } from '../aggregation/conclude.js';
import type { RoundSums } from '../aggregation/round-sums.js';
import type { Log } from '../observe/log.js';
import { auditFinding } from '../release/audit-finding.js';
import type { AuditFindingsRepository } from '../release/audit-findings.repository.js';
import type { Budget } from '../runs/budget.js';
import type { Run, RunsRepository } from '../runs/runs.repository.js';
import type { OpenRound } from './open-round.js';
import { roundResult, type RoundResult } from './round-result.js';

export interface AdapterMakerParts {
  readonly runs: RunsRepository;
  readonly versionStore: VersionStore;
  readonly optimizerStore: OptimizerStore;
  readonly roundSums: RoundSums;
  readonly budget: Budget;
  readonly auditFindings: AuditFindingsRepository;
  readonly crypto: CryptoProvider;
  readonly log: Log;
}

export type Made =
  | { readonly kind: 'made'; readonly version: VersionRecord; readonly result: RoundResult }
  | { readonly kind: 'failed'; readonly cause: string };

export class AdapterMaker {
  /** The newest version of each run with its optimizer, so that a round need not read what the last one wrote. */
  private readonly newest = new Map<string, { readonly version: string; readonly state: TrainedState }>();

  constructor(private readonly parts: AdapterMakerParts) {}

  /** Ends what is being made; it is not made. */
  close(): void {
    this.parts.roundSums.close();
  }

  /** Unmasks the sum, takes the server's step, and puts version and optimizer on disk. A second time, after a crash, makes the same. */
  async make(round: OpenRound): Promise<Made> {
    const { crypto, roundSums, budget, versionStore, optimizerStore, runs, log } = this.parts;
    const { run, record } = round;
    const started = performance.now();
    const conclusion = await conclude(
      {
        manifest: run.manifest,
        terms: round.terms,
        trained: round.trained,
        completedRounds: record.completedRounds,
        view: round.view(),
        shareKeys: round.dealtShares(),
        answers: round.answersTo('unmasking'),
        maskedSum: (survivors, length) => roundSums.sum(round.id, survivors, length),
      },
      await this.trainedState(run, record.baseVersion),
      crypto,
    );
    this.reportFaults(round, conclusion);
    if (conclusion.kind === 'failed') return { kind: 'failed', cause: causeOf(round, conclusion) };

    // The run's row counts this round since its unmasking began.
    const charged = (await runs.byId(run.id))?.chargedRounds ?? 0;
    const epsilon = budget.epsilonAfter(run.manifest, charged);
    const { metrics, noiseToSignal } = conclusion;
    const result = roundResult(run.manifest, metrics, { epsilon, noiseToSignal });
    // When applying began, which is stored: so a second attempt gives the same bytes.
    const createdAt = round.state.phaseStartedAt;
    const version = await versionStore.publish(run.manifest, conclusion.next.adapter, {
      parent: record.baseVersion,
      roundId: round.id,
      completedRounds: record.completedRounds + 1,
      organisations: run.roster.members.length,
      epsilon,
      parentOnHeldOut: heldOutOf(result),
      audits: await this.auditsOf(run, createdAt),
      createdAt,
    });
    await optimizerStore.write(version.id, conclusion.next.optimizer);
    this.newest.set(run.id, { version: version.id, state: conclusion.next });
    log.info('round.sum.applied', {
      runId: run.id,
      roundId: round.id,
      version: version.id,
      survivors: round.state.answered.training.length,
      durationMs: Math.round(performance.now() - started),
    });
    return { kind: 'made', version, result };
  }

  /** Removes what only this round's beginning needed, once its end is stored. */
  async forgetBefore(round: OpenRound): Promise<void> {
    await this.parts.optimizerStore.remove(round.record.baseVersion);
  }

  /** Removes what only another round of this run would need. */
  async forgetRun(run: Run): Promise<void> {
    this.newest.delete(run.id);
    await this.parts.optimizerStore.remove(run.version);
  }

  private async auditsOf({ id, manifest }: Run, before: number): Promise<readonly VersionAudit[]> {
    const { unit, delta } = manifest.privacy;
    return (await this.parts.auditFindings.ofRun(id, before)).map((audit) => {
      const promised = { unit, epsilon: audit.epsilon, delta: unit === 'none' ? null : delta };
      return { version: audit.version, ...auditFinding(audit, promised) };
    });
  }

  private async trainedState(run: Run, version: string): Promise<TrainedState> {
    const known = this.newest.get(run.id);
    if (known?.version === version) return known.state;
    const { versionStore, optimizerStore } = this.parts;
    return {
      adapter: await versionStore.adapter(version, run.manifest),
      optimizer: await optimizerStore.read(version),
    };
  }

  /** Wrong shares and complaints are news for the operator even when the round ends well. */
  private reportFaults(round: OpenRound, { plan }: Conclusion): void {
    for (const { sender, code } of plan.refused) {
      this.parts.log.warn('round.share.refused', { roundId: round.id, participantId: nameOf(round, sender), code });
    }
    for (const { by, about } of plan.complaints) {
      this.parts.log.warn('round.share.unusable', {
        roundId: round.id,
        by: nameOf(round, by),
        about: nameOf(round, about),
      });
    }
  }
}

function heldOutOf({ heldOutLoss: loss, heldOutAccuracy: accuracy }: RoundResult): HeldOutResult | null {
  return loss === null || accuracy === null ? null : { loss, accuracy };
}

function causeOf(round: OpenRound, { because, plan }: Extract<Conclusion, { kind: 'failed' }>): string {
  const refused = plan.refused.map(({ sender, code }) => `${nameOf(round, sender)} (${code})`).join(', ');
  return `${errorEntry(because).meaning} [${because}]${refused === '' ? '' : ` Refused: ${refused}.`}`;
}

function nameOf(round: OpenRound, index: number): string {
  return round.run.roster.members[index]?.name ?? `participant ${index}`;
}
