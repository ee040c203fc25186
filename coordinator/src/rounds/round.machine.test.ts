import { phasesOfRound, requestPhases, type RequestPhase } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import {
  asked,
  LEAST_AFTER_RESUME_MS,
  recruiting,
  transition,
  type RoundEffect,
  type RoundEvent,
  type RoundState,
} from './round.machine.js';

const DEADLINE_MS = 60_000;
/** Without a graph. */
const phases = phasesOfRound(false);
const names = ['clinic', 'bank', 'council', 'museum', 'school'];

/** A round told as a story: each step is an event; `at` advances by a second. */
class Story {
  state: RoundState = recruiting;
  effects: readonly RoundEffect[] = [];
  readonly events: RoundEvent[] = [];
  at = 1000;

  constructor(options: { participants: number; threshold: number; minimumContributors?: number; silent?: number }) {
    const { participants, threshold, minimumContributors = threshold, silent } = options;
    const deadlinesMs = Object.fromEntries(requestPhases.map((phase) => [phase, DEADLINE_MS])) as Record<
      RequestPhase,
      number
    >;
    this.tell({
      kind: 'round.started',
      at: this.at,
      terms: { threshold, minimumContributors, deadlinesMs, ...(silent === undefined ? {} : { silent }) },
      participants: names.slice(0, participants).map((name, index) => ({ name, index })),
    });
  }

  tell(event: RoundEvent): this {
    const { state, effects } = transition(this.state, event);
    this.state = state;
    this.effects = effects;
    this.events.push(event);
    this.at += 1000;
    return this;
  }

  answer(phase: RequestPhase, ...participants: number[]): this {
    for (const participant of participants) this.tell({ kind: 'answer.received', at: this.at, participant, phase });
    return this;
  }

  deadline(): this {
    return this.tell({ kind: 'deadline.passed', at: this.at, phase: this.state.phase as RequestPhase });
  }

  decline(participant: number, code = 'round/forgotten'): this {
    return this.tell({ kind: 'participant.declined', at: this.at, participant, code });
  }

  statuses(): string[] {
    return this.state.participants.map((one) => one.status);
  }
}

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('a round in which everyone answers', () => {
  const story = new Story({ participants: 3, threshold: 3 });

  it('begins by asking all participants for keys', () => {
    expect(story.state.phase).toBe('advertising');
    expect(story.effects).toEqual([
      { kind: 'request', phase: 'advertising', to: [0, 1, 2] },
      { kind: 'arm-deadline', phase: 'advertising', at: 1000 + DEADLINE_MS },
    ]);
  });

  it('goes from phase to phase as soon as the last answer is in', () => {
    for (const phase of phases) {
      expect(story.state.phase).toBe(phase);
      story.answer(phase, 2, 0);
      expect(story.state.phase).toBe(phase);
      expect(story.effects).toEqual([]);
      story.answer(phase, 1);
    }
    expect(story.state.phase).toBe('applying');
    expect(story.effects).toEqual([{ kind: 'conclude' }]);
    expect(story.statuses()).toEqual(['unmasked', 'unmasked', 'unmasked']);
    expect(story.state.isCharged).toBe(true);
  });

  it('ends when the sum is applied, with the time each phase took', () => {
    story.tell({ kind: 'sum.applied', at: story.at, version: 'v1' });
    expect(story.state).toMatchObject({ phase: 'done', cause: null, version: 'v1', deadlineAt: null });
    expect(story.effects).toEqual([{ kind: 'end' }]);
    expect(Object.keys(story.state.phaseDurationsMs)).toEqual([...phases, 'applying']);
  });

  it('gives the same state when its events are told again', () => {
    expect(story.events.reduce((state, event) => transition(state, event).state, recruiting)).toEqual(story.state);
  });
});

describe('absence', () => {
  it.each(phases)('of one of three with a threshold of three aborts phase %s at the deadline and names it', (phase) => {
    const story = new Story({ participants: 3, threshold: 3 });
    for (const earlier of phases.slice(0, phases.indexOf(phase))) story.answer(earlier, 0, 1, 2);
    story.answer(phase, 0, 2).deadline();
    expect(story.state.phase).toBe('aborted');
    expect(story.effects).toEqual([{ kind: 'end' }]);
    expect(story.state.cause).toMatch(new RegExp(`phase ${phase}: 2 left of 3, 3 needed.*bank \\(dropped`));
    expect(story.state.isCharged).toBe(phase === 'unmasking');
  });

  it.each(phases)('of one of five with a threshold of four is survived in phase %s', (phase) => {
    const story = new Story({ participants: 5, threshold: 4 });
    for (const earlier of phases.slice(0, phases.indexOf(phase))) story.answer(earlier, ...all(5));
    story.answer(phase, 0, 1, 2, 4).deadline();
    expect(story.statuses()[3]).toBe('dropped');
    for (const later of phases.slice(phases.indexOf(phase) + 1)) {
      expect(story.state.phase).toBe(later);
      expect(asked(story.state)).toEqual([0, 1, 2, 4]);
      story.answer(later, 0, 1, 2, 4);
    }
    expect(story.state.phase).toBe('applying');
    expect(story.state.answered.training).toHaveLength(phases.indexOf(phase) <= 2 ? 4 : 5);
  });

  it('is decided at once when too few could still answer', () => {
    const story = new Story({ participants: 3, threshold: 3 }).decline(1, 'policy/epsilon-cap');
    expect(story.state.phase).toBe('aborted');
    expect(story.state.cause).toContain('bank (declined: policy/epsilon-cap)');
    expect(story.statuses()).toEqual(['waiting', 'declined', 'waiting']);
  });

  it('of the last awaited participant ends the phase without the deadline', () => {
    const story = new Story({ participants: 5, threshold: 4 }).answer('advertising', 0, 1, 2, 3).decline(4);
    expect(story.state.phase).toBe('sharing');
    expect(story.state.answered.advertising).toEqual([0, 1, 2, 3]);
  });

  it('after the keys were sent in the same phase takes the keys out of the list', () => {
    const story = new Story({ participants: 5, threshold: 4 })
      .answer('advertising', 4, 0, 1)
      .decline(4)
      .answer('advertising', 2, 3);
    expect(story.state.phase).toBe('sharing');
    expect(story.state.answered.advertising).toEqual([0, 1, 2, 3]);
  });

  it('after the upload keeps the contribution in the sum, and asks nothing more', () => {
    const story = new Story({ participants: 5, threshold: 4 })
      .answer('advertising', ...all(5))
      .answer('sharing', ...all(5));
    story.answer('training', 0, 1).decline(0).answer('training', 2, 3, 4);
    expect(story.state.phase).toBe('checking');
    expect(story.state.answered.training).toEqual([0, 1, 2, 3, 4]);
    expect(asked(story.state)).toEqual([1, 2, 3, 4]);
  });

  it('of two after the upload leaves too few to unmask', () => {
    const story = new Story({ participants: 5, threshold: 4 })
      .answer('advertising', ...all(5))
      .answer('sharing', ...all(5));
    story.answer('training', 0, 1).decline(0).decline(1);
    expect(story.state.phase).toBe('aborted');
  });

  it('in the last phase of one that has answered does not keep the others from finishing', () => {
    const story = new Story({ participants: 3, threshold: 3 });
    for (const phase of ['advertising', 'sharing', 'training', 'checking'] as const) story.answer(phase, 0, 1, 2);
    story.answer('unmasking', 0, 1).decline(0);
    expect(story.state.phase).toBe('unmasking');
    story.answer('unmasking', 2);
    expect(story.state.phase).toBe('applying');
    expect(story.state.answered.unmasking).toEqual([0, 1, 2]);
  });

  it('needs no more answers to unmask than the threshold, though a sum needs more contributions', () => {
    const story = new Story({ participants: 5, threshold: 3, minimumContributors: 5 });
    for (const phase of ['advertising', 'sharing', 'training'] as const) story.answer(phase, ...all(5));
    story.answer('checking', 0, 1, 2).deadline().answer('unmasking', 0, 1, 2);
    expect(story.state.phase).toBe('applying');
    const short = new Story({ participants: 5, threshold: 3, minimumContributors: 5 })
      .answer('advertising', 0, 1, 2, 3)
      .deadline();
    expect(short.state.phase).toBe('aborted');
  });
});

describe('news that do not fit', () => {
  const changesNothing = (story: Story, event: RoundEvent): void => {
    const before = story.state;
    story.tell(event);
    expect(story.state).toBe(before);
    expect(story.effects).toEqual([]);
  };

  it('an answer to another phase, a second answer and one by a stranger change nothing', () => {
    const story = new Story({ participants: 3, threshold: 3 }).answer('advertising', 0);
    changesNothing(story, { kind: 'answer.received', at: 1, participant: 1, phase: 'sharing' });
    changesNothing(story, { kind: 'answer.received', at: 1, participant: 0, phase: 'advertising' });
    changesNothing(story, { kind: 'answer.received', at: 1, participant: 7, phase: 'advertising' });
  });

  it('the deadline of an earlier phase changes nothing', () => {
    const story = new Story({ participants: 3, threshold: 3 }).answer('advertising', 0, 1, 2);
    changesNothing(story, { kind: 'deadline.passed', at: 1, phase: 'advertising' });
  });

  it('nobody can leave a round that has ended, or come back into one', () => {
    const story = new Story({ participants: 5, threshold: 4 }).decline(4);
    changesNothing(story, { kind: 'answer.received', at: 1, participant: 4, phase: 'advertising' });
    story.tell({ kind: 'round.failed', at: story.at, cause: 'stopped' });
    expect(story.state).toMatchObject({ phase: 'aborted', cause: 'stopped' });
    changesNothing(story, { kind: 'participant.declined', at: 1, participant: 0, code: 'round/forgotten' });
    changesNothing(story, { kind: 'round.failed', at: 1, cause: 'again' });
    changesNothing(story, { kind: 'sum.applied', at: 1, version: 'v' });
  });

  it('a declined participant while the sum is applied stays in the sum', () => {
    const story = new Story({ participants: 3, threshold: 3 });
    for (const phase of phases) story.answer(phase, 0, 1, 2);
    story.decline(1);
    expect(story.state.phase).toBe('applying');
    expect(story.effects).toEqual([]);
  });
});

describe('a round with a graph', () => {
  it('asks for randomness between keys and shares', () => {
    const story = new Story({ participants: 3, threshold: 3, silent: 1 });
    for (const phase of requestPhases) {
      expect(story.state.phase).toBe(phase);
      story.answer(phase, 0, 1, 2);
    }
    expect(story.state.phase).toBe('applying');
    expect(Object.keys(story.state.phaseDurationsMs)).toEqual(requestPhases);
  });

  it('bears as many as the terms allow who send keys and stay silent, and no more, however many are left', () => {
    const one = new Story({ participants: 5, threshold: 3, silent: 1 }).answer('advertising', ...all(5));
    one.answer('revealing', 0, 1, 2, 4).deadline();
    expect(one.state.phase).toBe('sharing');
    expect(one.statuses()[3]).toBe('dropped');
    const two = new Story({ participants: 5, threshold: 3, silent: 1 }).answer('advertising', ...all(5));
    two.answer('revealing', 0, 1, 2).deadline();
    expect(two.state.cause).toMatch(/phase revealing: 3 left of 5, 4 needed/);
  });

  it('counts one who leaves after it has shown its randomness as silent', () => {
    const story = new Story({ participants: 5, threshold: 3, silent: 1 }).answer('advertising', ...all(5));
    story.answer('revealing', 0, 1).decline(1).answer('revealing', 2, 3, 4);
    expect(story.state.phase).toBe('sharing');
    expect(story.state.answered.revealing).toEqual([0, 2, 3, 4]);
    expect(story.state.answered.advertising).toEqual(all(5));
  });

  it('is not asked to wait for keys that never came: only those of the key list can be silent', () => {
    const story = new Story({ participants: 5, threshold: 3, silent: 0 }).answer('advertising', 0, 1, 2, 3).deadline();
    expect(story.state.phase).toBe('revealing');
    story.answer('revealing', 0, 1, 2, 3);
    expect(story.state.phase).toBe('sharing');
  });
});

describe('a coordinator that comes back', () => {
  it('asks again and gives at least a while, but never shortens a deadline', () => {
    const story = new Story({ participants: 3, threshold: 3 }).answer('advertising', 0);
    story.tell({ kind: 'coordinator.resumed', at: 500_000 });
    expect(story.state.deadlineAt).toBe(500_000 + LEAST_AFTER_RESUME_MS);
    expect(story.effects[0]).toEqual({ kind: 'request', phase: 'advertising', to: [0, 1, 2] });
    const early = new Story({ participants: 3, threshold: 3 }).tell({ kind: 'coordinator.resumed', at: 2000 });
    expect(early.state.deadlineAt).toBe(1000 + DEADLINE_MS);
  });

  it('concludes again when it was killed while applying', () => {
    const story = new Story({ participants: 3, threshold: 3 });
    for (const phase of phases) story.answer(phase, 0, 1, 2);
    story.tell({ kind: 'coordinator.resumed', at: story.at });
    expect(story.effects).toEqual([{ kind: 'conclude' }]);
  });
});
