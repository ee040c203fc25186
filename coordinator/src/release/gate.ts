/**
 * The release gate: whether a version is no worse than the stable one, in what it promises and as far as held-out rows tell. What was measured
 * travelled inside the noised sum of a round, so two numbers differ by chance as well: small differences are none.
 */

import type {
  AuditFindingView,
  EvaluationView,
  GateCheck,
  GateCheckName,
  GateOutcome,
  GateView,
} from '@fedlora/shared';

import { isContradicted } from './audit-finding.js';

/** How much higher a mean loss may be, relative. Chosen, not derived: how much rounds scatter depends on their noise and their rows. */
const LOSS_TOLERANCE = 0.02;
/** How much lower the fraction of exact answers may be, absolute. */
const ACCURACY_TOLERANCE = 0.02;

/** What is known of a version, for the gate. */
export interface Measured {
  readonly id: string;
  /** Rounds of its run that went well up to it; 0 for the untrained beginning. */
  readonly number: number;
  /** `null`: not measured, or not yet. */
  readonly evaluation: Pick<EvaluationView, 'loss' | 'accuracy'> | null;
  /** Whether it promises differential privacy to anybody. */
  readonly isPrivate: boolean;
  /** Which rows it was measured on: only numbers of the same rows are compared. `null`: its run measures nothing. */
  readonly heldOutRows: string | null;
}

export interface GateQuestion {
  readonly version: Measured;
  /** The first version of its run, which answers as the base model does. */
  readonly start: Measured | null;
  readonly stable: Measured | null;
  /** A version that it was trained from, or itself, and that was revoked. */
  readonly revokedAncestor: string | null;
  /** Of the version. */
  readonly audits: readonly AuditFindingView[];
}

export function releaseGate(question: GateQuestion): GateView {
  const { version, stable, revokedAncestor } = question;
  const checks: GateCheck[] = [
    version.number > 0
      ? check('trained', 'passed', `Trained in ${version.number} ${version.number === 1 ? 'round' : 'rounds'}.`)
      : check('trained', 'failed', 'This is the beginning of a run: nothing was trained yet.'),
    revokedAncestor === null
      ? check('lineage', 'passed', 'No version that it comes from was revoked.')
      : check(
          'lineage',
          'failed',
          revokedAncestor === version.id
            ? 'It was revoked.'
            : `Version ${short(revokedAncestor)}, which it comes from, was revoked.`,
        ),
    stable?.isPrivate === true && !version.isPrivate
      ? check('privacy', 'failed', 'The stable version promises differential privacy, and this one none.')
      : check('privacy', 'passed', 'It promises no less than the stable version.'),
    promiseKept(question),
    betterThanStart(question),
    ...(stable === null || stable.id === version.id ? nothingToCompare(stable) : comparedWith(version, stable)),
  ];
  return { outcome: outcomeOf(checks), reference: stable?.id ?? null, checks };
}

function outcomeOf(checks: readonly GateCheck[]): GateOutcome {
  const some = (outcome: GateOutcome): boolean => checks.some((one) => one.outcome === outcome);
  return some('failed') ? 'failed' : some('not-measured') ? 'not-measured' : 'passed';
}

/** One audit that contradicts the promise is enough: others look for other things, and cannot take it back. */
function promiseKept({ audits }: GateQuestion): GateCheck {
  if (audits.length === 0) return check('audit', 'passed', 'No audit of it was reported.');
  const worst = audits.reduce((most, one) => (one.epsilonLowerBound > most.epsilonLowerBound ? one : most));
  const { canaries, guesses, right, epsilonLowerBound: bound, epsilonPromised } = worst;
  const found = `${right} of ${guesses} guesses about ${canaries} canaries were right: epsilon is at least ${bound.toFixed(3)} for one record`;
  if (epsilonPromised === null) return check('audit', 'passed', `${found}, of which nothing is promised.`);
  return check(
    'audit',
    isContradicted(worst) ? 'failed' : 'passed',
    `${found}, and ${epsilonPromised.toFixed(3)} is promised.`,
  );
}

function betterThanStart({ version, start }: GateQuestion): GateCheck {
  const name = 'better-than-start';
  if (version.evaluation === null) return check(name, 'not-measured', whyNotMeasured(version));
  if (start?.evaluation == null)
    return check(name, 'not-measured', 'The base model was not measured on the held-out rows of this run.');
  const [own, before] = [version.evaluation.loss, start.evaluation.loss];
  const numbers = `a held-out loss of ${nats(own)}; the base model alone has ${nats(before)}`;
  return own < before
    ? check(name, 'passed', `It has ${numbers}.`)
    : check(name, 'failed', `It is no better than the base model: ${numbers}.`);
}

function nothingToCompare(stable: Measured | null): readonly GateCheck[] {
  const reason = stable === null ? 'Nothing is stable yet to be worse than.' : 'This is the stable version.';
  return [check('loss', 'passed', reason), check('accuracy', 'passed', reason)];
}

function comparedWith(version: Measured, stable: Measured): readonly GateCheck[] {
  const missing = whyNotComparable(version, stable);
  if (version.evaluation === null || stable.evaluation === null || missing !== null) {
    const reason = missing ?? whyNotMeasured(version);
    return [check('loss', 'not-measured', reason), check('accuracy', 'not-measured', reason)];
  }
  const [own, other] = [version.evaluation, stable.evaluation];
  return [
    check(
      'loss',
      own.loss <= other.loss * (1 + LOSS_TOLERANCE) ? 'passed' : 'failed',
      `Held-out loss ${nats(own.loss)}; the stable version has ${nats(other.loss)}, and ${percent(LOSS_TOLERANCE)} more is allowed.`,
    ),
    check(
      'accuracy',
      own.accuracy >= other.accuracy - ACCURACY_TOLERANCE ? 'passed' : 'failed',
      `${percent(own.accuracy)} of the answers are exactly right; the stable version has ${percent(other.accuracy)}, and ${100 * ACCURACY_TOLERANCE} points less are allowed.`,
    ),
  ];
}

function whyNotComparable(version: Measured, stable: Measured): string | null {
  if (version.evaluation === null) return whyNotMeasured(version);
  if (stable.evaluation === null) return `The stable version ${short(stable.id)} was not measured on held-out rows.`;
  if (version.heldOutRows !== stable.heldOutRows)
    return 'The stable version was measured on other rows: by other organisations, or with other terms.';
  return null;
}

function whyNotMeasured({ heldOutRows }: Measured): string {
  return heldOutRows === null
    ? 'Its run holds no rows out from training: "metrics": { "evaluation": … } in a run description does.'
    : 'A version is measured in the round that starts from it, and that has not ended well; the last version of a run is never measured.';
}

function check(name: GateCheckName, outcome: GateOutcome, reason: string): GateCheck {
  return { name, outcome, reason };
}

function nats(loss: number): string {
  return `${loss.toFixed(4)} nats per answer token`;
}

function percent(fraction: number): string {
  return `${Number((100 * fraction).toFixed(1))} %`;
}

function short(version: string): string {
  return version.slice(0, 8);
}
