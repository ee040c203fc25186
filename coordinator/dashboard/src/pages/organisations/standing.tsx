import type { HealthWarning, OrganisationStatus, OrganisationView } from '@fedlora/shared';
import { Hint } from '../../blocks/hint.js';
import { count, formatDuration } from '../../format.js';

const statusTones: Record<OrganisationStatus, string> = {
  pending: 'warn',
  active: 'good',
  suspended: 'warn',
  left: 'plain',
  revoked: 'bad',
};

export const statusHint =
  'Pending: enrolled, and without a certificate of the federation key. Active: may take part. Suspended: kept out of rounds by an operator. Left: gone of its own accord; a new invitation brings it back. Revoked: the federation key has taken its key back.';

export function StatusTag({ organisation: { status, suspension } }: { organisation: OrganisationView }) {
  const tag = <span className={`tag tone-${statusTones[status]}`}>{status}</span>;
  if (status !== 'suspended' || suspension?.reason == null) return tag;
  return (
    <Hint text={suspension.reason} plain>
      {tag}
    </Hint>
  );
}

export function ClientState({ organisation: { connected, state } }: { organisation: OrganisationView }) {
  const tone = connected ? (state === 'paused' ? 'wait' : 'good') : 'off';
  return (
    <span className="state" data-tone={tone}>
      <i className="dot" aria-hidden />
      {state === 'waiting-for-cohort' ? 'waiting for others' : state}
    </span>
  );
}

/** How many things are amiss; which, on hover and focus. */
export function Health({ warnings }: { warnings: readonly HealthWarning[] }) {
  if (warnings.length === 0) return <span className="good">Well</span>;
  const problems = warnings.filter(({ severity }) => severity === 'problem').length;
  return (
    <Hint
      text={warnings.map(({ code, message }) => (
        <span key={code} className="line">
          {message}
        </span>
      ))}
    >
      <span className={problems > 0 ? 'bad' : 'warn'}>
        {problems > 0 ? count(problems, 'problem') : count(warnings.length, 'piece') + ' of advice'}
      </span>
    </Hint>
  );
}

/** `2.3 s ahead ± 40 ms`. */
export function formatClock({ clock }: OrganisationView): string {
  if (clock === null) return 'not measured yet';
  const { skewMs, uncertaintyMs } = clock;
  const within = `± ${formatDuration(uncertaintyMs)}`;
  if (Math.abs(skewMs) <= uncertaintyMs) return `right, ${within}`;
  return `${formatDuration(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead' : 'behind'}, ${within}`;
}
