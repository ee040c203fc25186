import { Progress } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { RunView } from '@fedlora/shared';
import { count, formatBytes, formatDelta, formatNumber, formatTime, shorten } from '../format.js';
import { CopyButton } from '../blocks/copy-button.js';
import { Big, Fact, Small } from '../blocks/fact.js';
import { RunStatusTag } from './run-status.js';

/** How far a run is. On its own page the title stands above; elsewhere it leads there. */
export function RunSummary({ run, isOnItsPage = false }: { run: RunView; isOnItsPage?: boolean }) {
  return (
    <section className="section summary" data-testid="run-summary" aria-label={`Run: ${run.title}`}>
      <div className="summary-head">
        {!isOnItsPage && (
          <h2 className="summary-title">
            <Link to="/runs/$runId" params={{ runId: run.id }}>
              {run.title}
            </Link>
          </h2>
        )}
        <RunStatusTag status={run.status} />
        <span className="faint">
          {run.baseName} ·{' '}
          {run.endedAt === null ? `started ${formatTime(run.createdAt)}` : `ended ${formatTime(run.endedAt)}`}
        </span>
      </div>
      {run.reason !== null && <p className={`reason ${run.status === 'failed' ? 'reason-bad' : ''}`}>{run.reason}</p>}
      <dl className="facts">
        <Rounds run={run} />
        <PrivacySpent run={run} />
        <Fact
          label="Sent per client"
          hint="Masked updates that an organisation has uploaded if it took part in every completed round. The other messages of a round are not counted."
        >
          {formatBytes(run.bytesUpPerClient)}
          <Small>by one organisation</Small>
        </Fact>
        <Fact
          label="Members"
          hint={`Organisations that this run’s roster names. At least ${run.threshold} must answer to the end, or a round is aborted and nothing of it can be read.`}
        >
          {count(run.members.length, 'organisation')}
          <Small>{run.threshold} needed to unmask a sum</Small>
        </Fact>
        <Fact
          label="Newest version"
          hint={
            <>
              Identifier of the newest adapter version, derived from its content: <code>{run.version}</code>
            </>
          }
        >
          <span className="inline">
            <code data-testid="newest-version" data-version={run.version}>
              {shorten(run.version)}
            </code>
            <CopyButton value={run.version} what="the version’s identifier" />
          </span>
          <Small>first 10 of {run.version.length} digits</Small>
        </Fact>
      </dl>
    </section>
  );
}

function Rounds({ run }: { run: RunView }) {
  const percent = run.plannedRounds === 0 ? 0 : (100 * run.completedRounds) / run.plannedRounds;
  return (
    <Fact
      label="Rounds done"
      hint={`${run.completedRounds} of ${run.plannedRounds} planned rounds gave a new version. ${count(run.abortedRounds, 'further attempt')} ended without one.`}
      after={<Progress value={percent} size="sm" aria-label="Rounds done, percent" />}
    >
      <Big>{run.completedRounds}</Big> of {run.plannedRounds}
      <Small>{run.abortedRounds === 0 ? 'none aborted' : `${run.abortedRounds} aborted`}</Small>
    </Fact>
  );
}

function PrivacySpent({ run }: { run: RunView }) {
  if (run.unit === 'none') {
    return (
      <Fact
        label="Privacy spent"
        hint="This run adds no noise. The masks still hide single updates from the coordinator, but the published adapter may reveal what it was trained on."
      >
        <strong className="bad" data-testid="no-privacy">
          no differential privacy
        </strong>
      </Fact>
    );
  }
  const isOfRecords = run.unit !== 'client';
  const whose = isOfRecords ? 'one training record' : 'all records of one organisation';
  const projected = run.projectedEpsilon;
  const percent = run.epsilon === null || !projected ? 0 : Math.min(100, (100 * run.epsilon) / projected);
  return (
    <Fact
      label="Privacy spent (ε)"
      hint={
        <>
          Projected: what will be spent after all planned rounds. Adding or removing {whose} changes the chance of any
          outcome of this run by at most a factor of e<sup>ε</sup>
          {run.epsilon !== null && run.epsilon < 20 && (
            <> (now {formatNumber(Math.exp(run.epsilon), run.epsilon < 4 ? 1 : 0)})</>
          )}
          , apart from a remainder δ of {formatDelta(run.delta)}. Smaller is more private. The promise is about{' '}
          {isOfRecords ? 'single records, not whole organisations' : 'whole organisations'}
          {run.unit === 'record-local' && ', and needs no noise but that of the record’s own organisation'}.
        </>
      }
      after={<Progress value={percent} size="sm" color="orange" aria-label="Epsilon spent, percent of projected" />}
    >
      <Big>{run.epsilon === null ? '–' : `ε ${formatNumber(run.epsilon)}`}</Big>
      {projected !== null && <> of {formatNumber(projected)}</>}
      <Small>
        per {isOfRecords ? 'record' : 'organisation'}, δ = {formatDelta(run.delta)}
      </Small>
    </Fact>
  );
}
