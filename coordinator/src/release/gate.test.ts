import type { AuditFindingView, GateCheckName, GateOutcome, GateView } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { releaseGate, type GateQuestion, type Measured } from './gate.js';

const start: Measured = {
  id: '0'.repeat(40),
  number: 0,
  evaluation: { loss: 2, accuracy: 0.1 },
  heldOutRows: 'rows',
  isPrivate: true,
};
const stable: Measured = {
  id: 'a'.repeat(40),
  number: 3,
  evaluation: { loss: 1, accuracy: 0.5 },
  heldOutRows: 'rows',
  isPrivate: true,
};
const version: Measured = {
  id: 'b'.repeat(40),
  number: 5,
  evaluation: { loss: 0.9, accuracy: 0.6 },
  heldOutRows: 'rows',
  isPrivate: true,
};
const question: GateQuestion = { version, start, stable, revokedAncestor: null, audits: [] };

const anAudit = (epsilonLowerBound: number, epsilonPromised: number | null = 3): AuditFindingView => ({
  seal: 'a'.repeat(64),
  canaries: 200,
  guesses: 100,
  right: 90,
  epsilonLowerBound,
  epsilonPromised,
  at: 0,
});
const measuring = (loss: number, accuracy: number): GateQuestion => ({
  ...question,
  version: { ...version, evaluation: { loss, accuracy } },
});
const outcomes = ({ checks }: GateView): Record<string, GateOutcome> =>
  Object.fromEntries(checks.map(({ name, outcome }) => [name, outcome]));
const reasonOf = ({ checks }: GateView, name: GateCheckName): string =>
  checks.find((one) => one.name === name)?.reason ?? '';

describe('releaseGate', () => {
  it('passes a version whose audits contradict nothing, and says what they found', () => {
    const gate = releaseGate({ ...question, audits: [anAudit(0.2), anAudit(2.9)] });
    expect(gate.outcome).toBe('passed');
    expect(reasonOf(gate, 'audit')).toBe(
      '90 of 100 guesses about 200 canaries were right: epsilon is at least 2.900 for one record, and 3.000 is promised.',
    );
    const ofNothing = releaseGate({ ...question, audits: [anAudit(9, null)] });
    expect(outcomes(ofNothing).audit).toBe('passed');
    expect(reasonOf(ofNothing, 'audit')).toContain('nothing is promised');
  });

  it('passes a version that is better than the base model and the stable version, and says the numbers', () => {
    const gate = releaseGate(question);
    expect(gate).toMatchObject({ outcome: 'passed', reference: stable.id });
    expect(new Set(Object.values(outcomes(gate)))).toEqual(new Set(['passed']));
    expect(reasonOf(gate, 'loss')).toContain('0.9000 nats per answer token');
    expect(reasonOf(gate, 'accuracy')).toContain('60 %');
  });

  it.each<[string, GateQuestion, GateCheckName]>([
    ['whose loss is more than two per cent higher', measuring(1.021, 0.5), 'loss'],
    ['with more than two points fewer exact answers', measuring(0.9, 0.479), 'accuracy'],
    ['no better than the base model', measuring(2, 0.5), 'better-than-start'],
    [
      'that promises nothing where the stable one does',
      { ...question, version: { ...version, isPrivate: false } },
      'privacy',
    ],
    ['that was never trained', { ...question, version: { ...version, number: 0 } }, 'trained'],
    [
      'that an audit contradicts, whatever the others found',
      { ...question, audits: [anAudit(3.1), anAudit(0.2), anAudit(2)] },
      'audit',
    ],
    ['that comes from a revoked one', { ...question, revokedAncestor: 'c'.repeat(40) }, 'lineage'],
  ])('fails a version %s', (_what, asked, name) => {
    const gate = releaseGate(asked);
    expect(gate.outcome).toBe('failed');
    expect(outcomes(gate)[name]).toBe('failed');
  });

  it('lets pass what chance alone makes of the same adapter', () => {
    expect(releaseGate(measuring(1.019, 0.481)).outcome).toBe('passed');
  });

  it.each<[string, GateQuestion, string]>([
    ['was not measured yet', { ...question, version: { ...version, evaluation: null } }, 'has not ended well'],
    [
      'comes from a run without held-out rows',
      { ...question, version: { ...version, evaluation: null, heldOutRows: null } },
      'holds no rows out',
    ],
    ['is compared with one that was not', { ...question, stable: { ...stable, evaluation: null } }, 'was not measured'],
    ['was measured on other rows', { ...question, stable: { ...stable, heldOutRows: 'others' } }, 'other rows'],
  ])('cannot tell of a version that %s, and says why', (_what, asked, reason) => {
    const gate = releaseGate(asked);
    expect(gate.outcome).toBe('not-measured');
    expect(reasonOf(gate, 'loss')).toContain(reason);
  });

  it('has nothing to compare the first release with but the base model', () => {
    expect(releaseGate({ ...question, stable: null })).toMatchObject({ outcome: 'passed', reference: null });
    expect(releaseGate({ ...question, stable: null, start: { ...start, evaluation: null } }).outcome).toBe(
      'not-measured',
    );
  });

  it('asks of nobody what the stable version does not promise either', () => {
    const open = { ...question, version: { ...version, isPrivate: false }, stable: { ...stable, isPrivate: false } };
    expect(releaseGate(open).outcome).toBe('passed');
  });

  it('passes the stable version itself', () => {
    expect(releaseGate({ ...question, version: stable }).outcome).toBe('passed');
  });
});
