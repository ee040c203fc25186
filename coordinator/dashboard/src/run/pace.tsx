import type { Manifest } from '@fedlora/protocol';
import type { RoundView, RunView } from '@fedlora/shared';
import { Fact, Small } from '../blocks/fact.js';
import { Nothing } from '../blocks/section.js';
import { formatBytes, formatDuration, formatNumber } from '../format.js';

/** Rounds that the pace is the median of: recent ones say what the next will take. */
const RECENT_ROUNDS = 20;

interface PaceProps {
  readonly run: RunView;
  /** Newest first. */
  readonly rounds: readonly RoundView[];
  readonly manifest: Manifest | undefined;
}

/** How fast a run goes, of the rounds that gave a version. */
export function Pace({ run, rounds, manifest }: PaceProps) {
  const recent = rounds.filter(({ phase }) => phase === 'done').slice(0, RECENT_ROUNDS);
  if (recent.length === 0)
    return <Nothing title="No pace yet">The first finished round tells how long one takes.</Nothing>;
  const roundMs = median(recent.map(({ startedAt, endedAt }) => (endedAt ?? startedAt) - startedAt));
  const trainingMs = median(recent.map(({ phaseDurationsMs }) => phaseDurationsMs['training'] ?? 0));
  const left = run.plannedRounds - run.completedRounds;
  const everyMs = betweenMs(recent) ?? roundMs;
  const records = manifest && recordsOf(manifest, run.members.length);
  const bytes = run.completedRounds === 0 ? 0 : run.bytesUpPerClient / run.completedRounds;
  return (
    <dl className="facts" data-testid="pace">
      <Fact label="A round takes" hint={`Median of the last ${recent.length} finished rounds, from start to end.`}>
        {formatDuration(roundMs)}
        <Small>{formatDuration(trainingMs)} of it training</Small>
      </Fact>
      <Fact
        label="Rounds an hour"
        hint="From the times at which the last finished rounds ended, waits in between included."
      >
        {formatNumber(3_600_000 / Math.max(1, everyMs), 0)}
        <Small>one every {formatDuration(everyMs)}</Small>
      </Fact>
      {records !== undefined && (
        <Fact
          label="Records trained on"
          hint="What the terms expect of all organisations together, over the time of the training phase. How many really are drawn stays with the organisations."
        >
          {formatNumber(records / Math.max(0.001, trainingMs / 1_000), 1)} a second
          <Small>{formatNumber(records, 0)} expected a round</Small>
        </Fact>
      )}
      <Fact
        label="Received"
        hint="Masked updates of all members in one round, over the time of the training phase, in which they arrive."
      >
        {formatBytes((bytes * run.members.length) / Math.max(0.001, trainingMs / 1_000))} a second
        <Small>{formatBytes(bytes * run.members.length)} a round</Small>
      </Fact>
      <Fact label="Left" hint="Planned rounds that are still to come, at the pace of the last ones.">
        {run.endedAt !== null ? '–' : formatDuration(left * everyMs)}
        <Small>{run.endedAt !== null ? 'the run has ended' : `for ${left} rounds`}</Small>
      </Fact>
    </dl>
  );
}

function median(values: readonly number[]): number {
  const ordered = values.toSorted((a, b) => a - b);
  return ordered[Math.floor(ordered.length / 2)];
}

/** Between the ends of neighbouring rounds. `rounds`: newest first. */
function betweenMs(rounds: readonly RoundView[]): number | null {
  const ends = rounds.flatMap(({ endedAt }) => (endedAt === null ? [] : [endedAt]));
  return ends.length < 2 ? null : median(ends.slice(1).map((end, index) => ends[index] - end));
}

/** Expected in a round, over all organisations. */
function recordsOf({ training }: Manifest, members: number): number {
  switch (training.kind) {
    case 'record-step':
      return training.expectedRecords;
    case 'local-record-steps':
      return training.expectedRecords * training.steps * members;
    case 'local-steps':
      return training.batchSize * training.steps * members;
    default:
      return training satisfies never;
  }
}
