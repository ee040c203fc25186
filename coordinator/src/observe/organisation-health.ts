/** What is amiss with an organisation, and what to do about it: a pure function of what is known. */

import {
  errorEntry,
  isErrorCode,
  type ClockReading,
  type HealthWarning,
  type OrganisationRound,
} from '@fedlora/shared';

export interface OrganisationFacts {
  readonly isCertified: boolean;
  readonly isRevoked: boolean;
  readonly isSuspended: boolean;
  readonly hasLeft: boolean;
  readonly enrolledAt: number;
  readonly isConnected: boolean;
  readonly lastSeenAt: number | null;
  readonly clientVersion: string | null;
  /** Of this coordinator: clients are released together with it. */
  readonly programVersion: string;
  readonly clock: ClockReading | null;
  /** Newest first. */
  readonly latestRounds: readonly OrganisationRound[];
}

/** A clock that is further off than this for certain: certificates and ledgers of that machine have wrong times. */
export const MOST_SKEW_MS = 30_000;
/** Away for longer than this, unless it is suspended. */
export const LONGEST_ABSENCE_MS = 7 * 24 * 3600_000;
/** Out of this many of its latest rounds before their end. */
export const FAILED_ROUNDS = 3;

const HOUR_MS = 3600_000;

/** The gravest first. */
export function healthWarnings(facts: OrganisationFacts, now: number): HealthWarning[] {
  // Of whoever has no valid key nothing else is of interest.
  if (facts.isRevoked) return [revoked];
  if (facts.hasLeft) return [];
  const all = [
    facts.isCertified ? undefined : notCertified,
    failing(facts.latestRounds),
    absent(facts, now),
    clockSkew(facts.clock),
    outdated(facts),
  ];
  return all
    .filter((warning) => warning !== undefined)
    .sort((a, b) => Number(a.severity === 'advice') - Number(b.severity === 'advice'));
}

const revoked: HealthWarning = {
  code: 'health/revoked',
  severity: 'problem',
  message: 'The federation has revoked its key: it cannot sign in, and is in no new run.',
  remedy:
    'To have it back, invite it again under the same name; its owner makes a new key with `fedlora identity next` and takes it into use with `fedlora identity rotate`.',
};

const notCertified: HealthWarning = {
  code: 'health/not-certified',
  severity: 'problem',
  message: 'The federation key has not certified its key: it cannot sign in, and is in no run.',
  remedy:
    'Compare the fingerprint with its owner by another channel, run `fedlora federation sign` where the federation key is kept, and bring the certificate.',
};

function failing(rounds: readonly OrganisationRound[]): HealthWarning | undefined {
  const causes = rounds.flatMap(({ failure }) => (failure === null ? [] : [failure]));
  if (causes.length < FAILED_ROUNDS) return undefined;
  const counts = new Map<string, number>();
  for (const cause of causes) counts.set(cause, (counts.get(cause) ?? 0) + 1);
  const byCount = [...counts].sort(([, a], [, b]) => b - a);
  const told = byCount.map(([cause, count]) => `${cause} (${count} ×)`).join(', ');
  return {
    code: 'health/failing',
    severity: 'problem',
    message: `It was out of ${causes.length} of its last ${rounds.length} rounds before their end: ${told}.`,
    remedy: remedyOf(byCount[0][0]),
  };
}

/** What helps against the commonest cause: a code of the catalogue, or the round's words for silence. */
function remedyOf(cause: string): string {
  if (isErrorCode(cause)) return errorEntry(cause).remedy;
  return 'Ask its owner for `fedlora doctor` and the log of these rounds; if its machine is slow or its link thin, plan runs with longer deadlines.';
}

function absent(facts: OrganisationFacts, now: number): HealthWarning | undefined {
  if (facts.isConnected || facts.isSuspended || !facts.isCertified) return undefined;
  const since = Math.max(facts.lastSeenAt ?? 0, facts.enrolledAt);
  if (now - since <= LONGEST_ABSENCE_MS) return undefined;
  const days = Math.floor((now - since) / (24 * HOUR_MS));
  return {
    code: 'health/not-seen',
    severity: 'problem',
    message:
      facts.lastSeenAt === null
        ? `It was enrolled ${days} days ago and has never connected.`
        : `It was last connected ${days} days ago.`,
    remedy:
      'Ask its owner whether `fedlora run` is running, and for `fedlora status` and `fedlora doctor`. Suspend it if it is to stay away.',
  };
}

function clockSkew(clock: ClockReading | null): HealthWarning | undefined {
  if (clock === null || Math.abs(clock.skewMs) - clock.uncertaintyMs <= MOST_SKEW_MS) return undefined;
  const direction = clock.skewMs > 0 ? 'ahead of' : 'behind';
  return {
    code: 'health/clock-skew',
    severity: 'advice',
    message: `Its clock is ${Math.round(Math.abs(clock.skewMs) / 1000)} s ${direction} the coordinator’s. Rounds do not depend on it; TLS certificates and the times in its ledger do.`,
    remedy: 'Have its owner set the clock by a time server (NTP). If every client seems off, look at this machine’s.',
  };
}

function outdated({ clientVersion, programVersion }: OrganisationFacts): HealthWarning | undefined {
  if (clientVersion === null || !isOlder(clientVersion, programVersion)) return undefined;
  return {
    code: 'health/outdated',
    severity: 'advice',
    message: `Its client is version ${clientVersion}; this coordinator is ${programVersion}.`,
    remedy: `Ask its owner to install version ${programVersion} of the client between two rounds.`,
  };
}

/** By the numbers of `major.minor.patch`; a version that has none of this form is not called older. */
function isOlder(version: string, than: string): boolean {
  const [left, right] = [numbersOf(version), numbersOf(than)];
  if (left === undefined || right === undefined) return false;
  const at = left.findIndex((part, i) => part !== right[i]);
  return at >= 0 && left[at] < right[at];
}

function numbersOf(version: string): number[] | undefined {
  return /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
}
