import { Progress } from '@mantine/core';
import type { OrganisationView, ParticipantView, RoundView, RunView } from '@fedlora/shared';
import { useServerNow } from '../clock.js';
import { formatAgo, formatBytes, formatCountdown, formatDuration } from '../format.js';
import { isOut, isOver, phases, type WorkPhase } from '../phases.js';
import { Hint } from '../blocks/hint.js';
import { Nothing, Section } from '../blocks/section.js';

interface RoundLiveProps {
  readonly run: RunView;
  readonly round: RoundView | null;
  /** For each participant's connection and device. */
  readonly organisations: readonly OrganisationView[];
}

/** Shows the newest round: while it goes on, and until the next one starts. */
export function RoundLive({ run, round, organisations }: RoundLiveProps) {
  if (round === null) {
    return (
      <Section testId="round-live" title="No round under way">
        {run.status === 'running' ? (
          <Nothing title="Waiting for the first round">
            {run.reason ?? 'It starts when enough organisations are connected.'}
          </Nothing>
        ) : run.status === 'paused' ? (
          <Nothing title="This run is paused">No round starts until an operator resumes it.</Nothing>
        ) : (
          <Nothing title="This run has ended">Its newest version stays; start another run to train on.</Nothing>
        )}
      </Section>
    );
  }
  return (
    <Section testId="round-live" title={`Round ${round.number}`} aside={<RoundClock round={round} />}>
      <PhaseSteps round={round} />
      {round.phase === 'aborted' && <p className="reason reason-bad">{round.cause ?? 'No cause was written down.'}</p>}
      {round.participants.length === 0 ? (
        <Nothing title="No participants yet">Organisations are being asked to take part.</Nothing>
      ) : (
        <ul className="participants" aria-label="Participants">
          {round.participants.map((one) => (
            <Participant
              key={one.name}
              participant={one}
              round={round}
              organisation={organisations.find(({ name }) => name === one.name)}
            />
          ))}
        </ul>
      )}
    </Section>
  );
}

function RoundClock({ round }: { round: RoundView }) {
  const now = useServerNow();
  if (round.endedAt !== null || isOver(round.phase)) {
    return (
      <span>
        <strong className={round.phase === 'aborted' ? 'bad' : 'good'}>
          {round.phase === 'aborted' ? 'Aborted' : 'Done'}
        </strong>
        {round.endedAt !== null && (
          <span className="faint"> {formatAgo(round.endedAt, now)} · waiting for the next round</span>
        )}
      </span>
    );
  }
  const elapsed = formatDuration(Math.max(0, Math.floor((now - round.startedAt) / 1_000) * 1_000) || 0);
  const leftMs = round.deadlineAt === null ? null : round.deadlineAt - now;
  return (
    <span className="round-clock">
      <span className="faint">started {elapsed} ago</span>
      {leftMs === null ? (
        <span className="faint">no deadline in this phase</span>
      ) : (
        <Hint
          plain
          text="Time left for this phase. Who has not answered by then is out of this round; the round goes on if enough are left."
        >
          <span className={`countdown ${leftMs < 30_000 ? 'warn' : ''}`} data-testid="countdown" role="timer">
            {leftMs <= 0 ? 'deadline passed' : formatCountdown(leftMs)}
            {leftMs > 0 && <span className="small">{leftMs > 3_600_000 ? 'h' : 'min'} left</span>}
          </span>
        </Hint>
      )}
    </span>
  );
}

/** Where an aborted round stopped: the last phase that has a duration. */
function phaseReached(round: RoundView, steps: typeof phases): number {
  if (round.phase === 'done') return steps.length;
  if (round.phase !== 'aborted') return steps.findIndex((phase) => phase.name === round.phase);
  return steps.findLastIndex((phase) => phase.name in round.phaseDurationsMs);
}

function PhaseSteps({ round }: { round: RoundView }) {
  const steps = phases.filter(({ name }) => round.phases.includes(name));
  const reached = phaseReached(round, steps);
  return (
    <ol className="steps" aria-label="Phases" data-testid="phases">
      {steps.map(({ name, meaning }, index) => {
        const state =
          index < reached ? 'past' : index > reached ? 'future' : round.phase === 'aborted' ? 'stopped' : 'current';
        const tookMs = round.phaseDurationsMs[name];
        return (
          <li key={name} className="step" data-state={state} aria-current={state === 'current' ? 'step' : undefined}>
            <Hint plain text={meaning}>
              <span className="step-name">{name}</span>
              <span className="step-detail">
                {state === 'stopped'
                  ? 'stopped here'
                  : tookMs !== undefined
                    ? formatDuration(tookMs)
                    : stepProgress(round, name, state)}
              </span>
            </Hint>
          </li>
        );
      })}
    </ol>
  );
}

/** What a participant's status is once it has answered the phase. */
const answers: Partial<Record<WorkPhase, readonly ParticipantView['status'][]>> = {
  advertising: ['advertised', 'revealed', 'shared', 'uploaded', 'checked', 'unmasked'],
  revealing: ['revealed', 'shared', 'uploaded', 'checked', 'unmasked'],
  sharing: ['shared', 'uploaded', 'checked', 'unmasked'],
  training: ['uploaded', 'checked', 'unmasked'],
  checking: ['checked', 'unmasked'],
  unmasking: ['unmasked'],
};

function hasAnswered(participant: ParticipantView, phase: WorkPhase): boolean {
  return answers[phase]?.includes(participant.status) ?? false;
}

function stepProgress(round: RoundView, phase: WorkPhase, state: string): string {
  if (state !== 'current') return '';
  if (answers[phase] === undefined) return 'now';
  const expected = round.participants.filter((one) => !isOut(one));
  return `${expected.filter((one) => hasAnswered(one, phase)).length} of ${expected.length} answered`;
}

const statusMeanings: Record<ParticipantView['status'], string> = {
  waiting: 'Was asked to take part and has not answered yet.',
  advertised: 'Has accepted the terms and sent its keys.',
  revealed: 'Has shown the randomness that it had committed to.',
  shared: 'Has sent its encrypted shares.',
  uploaded: 'Has uploaded its masked update.',
  checked: 'Has confirmed the list of survivors.',
  unmasked: 'Has helped to remove the masks: its part is complete.',
  declined: 'Does not take part in this round, by its own decision.',
  dropped: 'Did not answer in time or its answer was refused; it is out of this round.',
};

interface ParticipantProps {
  readonly participant: ParticipantView;
  readonly round: RoundView;
  readonly organisation: OrganisationView | undefined;
}

function Participant({ participant, round, organisation }: ParticipantProps) {
  const isWorking =
    !isOver(round.phase) && !isOut(participant) && round.phase !== 'applying' && round.phase !== 'recruiting';
  const isAwaited = isWorking && !hasAnswered(participant, round.phase);
  const isAway = isAwaited && organisation !== undefined && !organisation.connected;
  const tone = isOut(participant) ? 'bad' : isAwaited ? 'wait' : 'good';
  const upload = isAwaited ? uploadOf(participant, round) : null;
  return (
    <li className="participant" data-tone={tone} data-status={participant.status} data-participant={participant.name}>
      <i className="dot" aria-hidden />
      <div>
        <span className="participant-name">{participant.name}</span>
        <Hint plain text={`${statusMeanings[participant.status]}${isAwaited ? ` Now awaited in ${round.phase}.` : ''}`}>
          <span className="participant-status">
            {!isAwaited
              ? participant.status
              : upload !== null
                ? 'uploading'
                : round.phase === 'training'
                  ? 'training'
                  : 'awaited'}
          </span>
        </Hint>
        {organisation?.device != null && (
          <>
            {' '}
            <Hint plain text="The kind of hardware it trains on.">
              <span className="faint">on {organisation.device}</span>
            </Hint>
          </>
        )}
        {upload !== null && (
          <Hint
            plain
            text="How much of its masked update is here. What is missing continues after a broken connection."
          >
            <Progress value={(100 * upload.received) / upload.total} size="sm" aria-label="Uploaded, percent" />
            <span className="faint">
              {formatBytes(upload.received)} of {formatBytes(upload.total)}
            </span>
          </Hint>
        )}
        {isAway && (
          <p className="participant-reason warn">
            Not connected; it is asked again when it is back before the deadline.
          </p>
        )}
        {participant.reason !== null && <p className="participant-reason">{participant.reason}</p>}
      </div>
    </li>
  );
}

/** While a participant's upload is under way. */
function uploadOf(participant: ParticipantView, round: RoundView): { received: number; total: number } | null {
  const { receivedBytes: received } = participant;
  const { contributionBytes: total } = round;
  return round.phase === 'training' && received !== null && received > 0 && total !== null ? { received, total } : null;
}
