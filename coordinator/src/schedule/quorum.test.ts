import { describe, expect, it } from 'vitest';
import { quorumOf, type Attendance } from './quorum.js';

const NOW = 1_000_000;
function attendance(ready: number, all: number, more: Partial<Attendance> = {}): Attendance {
  const names = Array.from({ length: all }, (_, i) => `org-${i + 1}`);
  return {
    needed: 3,
    ready,
    absent: names.slice(ready),
    out: new Map(),
    justLeft: [],
    enoughSince: undefined,
    ...more,
  };
}

describe('a round', () => {
  it('starts with as many as it needs, and not with fewer', () => {
    expect(quorumOf(attendance(3, 5), undefined, NOW)).toEqual({ kind: 'start' });
    expect(quorumOf(attendance(2, 4), undefined, NOW)).toEqual({
      kind: 'wait',
      why: 'Waits for organisations: 2 of 3 needed are ready. Not ready: org-3, org-4.',
      isEnough: false,
    });
    const suspended = attendance(2, 4, { out: new Map([['org-4', 'suspended']]) });
    expect(quorumOf(suspended, undefined, NOW)).toMatchObject({
      why: expect.stringContaining('Not ready: org-3, org-4 (suspended).') as string,
    });
  });

  it('waits for those beyond the threshold that the schedule wants', () => {
    expect(quorumOf(attendance(4, 6), { beyondThreshold: 2 }, NOW)).toMatchObject({
      isEnough: false,
      why: 'Waits for organisations: 4 of 5 wanted (3 needed, 2 beyond) are ready. Not ready: org-5, org-6.',
    });
    expect(quorumOf(attendance(5, 6), { beyondThreshold: 2 }, NOW)).toEqual({ kind: 'start' });
  });

  it('waits a moment for those who were just here', () => {
    const left = attendance(3, 5, { justLeft: ['org-4'] });
    expect(quorumOf(left, undefined, NOW)).toMatchObject({
      isEnough: true,
      why: 'Waits a moment for org-4.',
      forMs: 3000,
    });
    expect(quorumOf({ ...left, enoughSince: NOW - 2000 }, undefined, NOW)).toMatchObject({ forMs: 1000 });
    expect(quorumOf({ ...left, enoughSince: NOW - 3000 }, undefined, NOW)).toEqual({ kind: 'start' });
  });

  it('waits for all others as long as the schedule says, and no longer for a clock that was set back', () => {
    const rule = { waitSeconds: 60 };
    const some = attendance(3, 5, { enoughSince: NOW - 20_000 });
    expect(quorumOf(some, rule, NOW)).toEqual({
      kind: 'wait',
      why: 'Waits up to 40 s more for org-4, org-5.',
      isEnough: true,
      forMs: 40_000,
    });
    expect(quorumOf({ ...some, enoughSince: NOW + 3600_000 }, rule, NOW)).toMatchObject({ forMs: 60_000 });
    expect(quorumOf({ ...some, enoughSince: NOW - 60_000 }, rule, NOW)).toEqual({ kind: 'start' });
    expect(
      quorumOf({ ...some, out: new Map(Object.entries({ 'org-4': 'suspended', 'org-5': 'left' })) }, rule, NOW),
    ).toEqual({ kind: 'start' });
    expect(quorumOf(attendance(5, 5), rule, NOW)).toEqual({ kind: 'start' });
    expect(quorumOf(attendance(3, 5), { waitSeconds: 0 }, NOW)).toEqual({ kind: 'start' });
  });
});
