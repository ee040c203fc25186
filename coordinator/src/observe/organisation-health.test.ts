import type { OrganisationRound } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { healthWarnings, LONGEST_ABSENCE_MS, MOST_SKEW_MS, type OrganisationFacts } from './organisation-health.js';

const NOW = 1_800_000_000_000;
const DAY_MS = 24 * 3600_000;

const well: OrganisationFacts = {
  isCertified: true,
  isRevoked: false,
  isSuspended: false,
  hasLeft: false,
  enrolledAt: NOW - 30 * DAY_MS,
  isConnected: true,
  lastSeenAt: NOW,
  clientVersion: '1.4.2',
  programVersion: '1.4.2',
  clock: { skewMs: 20, uncertaintyMs: 5, measuredAt: NOW },
  latestRounds: [],
};

/** Rounds that ended so for the organisation; `null`: well. */
function rounds(...failures: (string | null)[]): OrganisationRound[] {
  return failures.map((failure, i) => ({
    roundId: `run-1-r${i}`,
    runId: 'run-1',
    number: i,
    endedAt: NOW - i,
    outcome: 'done',
    failure,
  }));
}

const clock = (skewMs: number, uncertaintyMs: number): Partial<OrganisationFacts> => ({
  clock: { skewMs, uncertaintyMs, measuredAt: NOW },
});
const away = (facts: Partial<OrganisationFacts>): Partial<OrganisationFacts> => ({ isConnected: false, ...facts });
const slow = 'no answer within the time for training';

describe('the health of an organisation', () => {
  it.each<[string, Partial<OrganisationFacts>, string[]]>([
    ['nothing is amiss', {}, []],
    ['its key is not certified', { isCertified: false }, ['health/not-certified']],
    ['its key is revoked', { isRevoked: true }, ['health/revoked']],
    [
      'its key is revoked, and much else',
      { isRevoked: true, isCertified: false, ...clock(1e6, 1) },
      ['health/revoked'],
    ],
    ['its clock is ahead', clock(MOST_SKEW_MS + 6, 5), ['health/clock-skew']],
    ['its clock is behind', clock(-MOST_SKEW_MS - 6, 5), ['health/clock-skew']],
    ['its clock may be right', clock(MOST_SKEW_MS + 5, 5), []],
    ['its clock is unknown', { clock: null }, []],
    ['its client is older by a patch', { clientVersion: '1.4.1' }, ['health/outdated']],
    ['its client is older by a major version', { clientVersion: '0.9.9' }, ['health/outdated']],
    ['its client is newer', { clientVersion: '1.10.0' }, []],
    ['its client has a version of its own', { clientVersion: 'nightly' }, []],
    ['its client never said its version', { clientVersion: null }, []],
    ['it failed twice', { latestRounds: rounds('policy/declined', null, slow) }, []],
    ['it failed three times', { latestRounds: rounds(slow, null, slow, 'policy/declined') }, ['health/failing']],
    ['it has been away for long', away({ lastSeenAt: NOW - LONGEST_ABSENCE_MS - 1 }), ['health/not-seen']],
    ['it has been away for a while', away({ lastSeenAt: NOW - LONGEST_ABSENCE_MS }), []],
    ['it has never been here', away({ lastSeenAt: null }), ['health/not-seen']],
    ['it was enrolled a moment ago', away({ lastSeenAt: null, enrolledAt: NOW - DAY_MS }), []],
    ['it came back with a new key', away({ lastSeenAt: NOW - 30 * DAY_MS, enrolledAt: NOW - DAY_MS }), []],
    ['it is suspended and away', away({ lastSeenAt: null, isSuspended: true }), []],
    ['it left', away({ lastSeenAt: null, hasLeft: true, isCertified: false }), []],
    ['it waits for its certificate', away({ lastSeenAt: null, isCertified: false }), ['health/not-certified']],
    [
      'several things are amiss',
      { ...clock(1e6, 1), clientVersion: '1.0.0', latestRounds: rounds(slow, slow, slow) },
      ['health/failing', 'health/clock-skew', 'health/outdated'],
    ],
  ])('when %s', (_what, facts, codes) => {
    const warnings = healthWarnings({ ...well, ...facts }, NOW);
    expect(warnings.map(({ code }) => code)).toEqual(codes);
    for (const { message, remedy } of warnings) {
      expect(message).toMatch(/^[A-Z].*\.$/);
      expect(remedy).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('names what it failed of, the commonest first, with the remedy for that', () => {
    const latestRounds = rounds('client/paused', slow, 'client/paused', null, 'client/paused');
    const [warning] = healthWarnings({ ...well, latestRounds }, NOW);
    expect(warning.message).toContain('4 of its last 5 rounds');
    expect(warning.message).toContain(`client/paused (3 ×), ${slow} (1 ×)`);
    expect(warning.remedy).toContain('fedlora resume');
  });

  it('says how far a clock is off, and which way', () => {
    const [ahead] = healthWarnings({ ...well, ...clock(61_400, 30) }, NOW);
    expect(ahead.message).toContain('61 s ahead of');
    const [behind] = healthWarnings({ ...well, ...clock(-61_400, 30) }, NOW);
    expect(behind.message).toContain('61 s behind');
  });
});
