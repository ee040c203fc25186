import { describe, expect, it, vi } from 'vitest';
import { FedloraError, phasesOfRound, type RequestPhase, type RoundOffer, type RoundRequest } from '@fedlora/shared';
import { Conversation } from './conversation.js';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

const request = (phase: RequestPhase, message = bytes(1)): RoundRequest => ({
  roundId: 'round-1',
  phase,
  deadlineAt: 1000,
  sentAt: 0,
  ...(phase === 'advertising'
    ? { offer: { roundId: 'round-1', number: message[0] } as unknown as RoundOffer }
    : { messages: [message] }),
});

function aConversation(patienceMs = 60_000) {
  const sent: [RequestPhase, Uint8Array][] = [];
  const talk = new Conversation('round-1', { send: (phase, message) => sent.push([phase, message]), patienceMs });
  return { talk, sent };
}

describe('Conversation', () => {
  it('hands a question to whoever waits for it, and one that came early to whoever asks later', async () => {
    const { talk } = aConversation();
    talk.receive(request('advertising'));
    talk.answer('advertising', bytes(7));
    const waiting = talk.asked('sharing');
    talk.receive(request('sharing', bytes(5)));
    expect(await waiting).toEqual(bytes(5));
    expect(await talk.asked('sharing')).toEqual(bytes(5));
  });

  it('answers the same question with the same bytes, as often as it is asked', () => {
    const { talk, sent } = aConversation();
    talk.receive(request('advertising'));
    talk.receive(request('advertising')); // Not answered yet: nothing to say.
    expect(sent).toEqual([]);
    talk.answer('advertising', bytes(7));
    talk.receive(request('advertising'));
    expect(sent).toEqual([
      ['advertising', bytes(7)],
      ['advertising', bytes(7)],
    ]);
  });

  it.each([
    ['forward', 365],
    ['back', -365],
  ])('keeps its deadline by a clock that nobody sets, when that of the machine goes %s a year', async (_way, days) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const { talk } = aConversation(0);
      talk.receive({ ...request('advertising'), deadlineAt: 5150, sentAt: 5000 });
      talk.answer('advertising', bytes(7));
      const begun = performance.now();
      const waiting = talk.asked('sharing');
      vi.setSystemTime(Date.now() + days * 24 * 3600_000);
      await expect(waiting).rejects.toMatchObject({ code: 'round/deadline-passed' });
      const waited = performance.now() - begun;
      expect(waited).toBeGreaterThan(140);
      expect(waited).toBeLessThan(10_000);
    } finally {
      vi.useRealTimers();
    }
  });

  it('refuses another question in a phase that has one, answered or not', () => {
    const { talk, sent } = aConversation();
    talk.receive(request('advertising'));
    expect(() => talk.receive(request('advertising', bytes(2)))).toThrowError(
      expect.objectContaining({ code: 'secagg/wrong-phase' }),
    );
    talk.answer('advertising', bytes(7));
    expect(() => talk.receive(request('advertising', bytes(2)))).toThrowError(
      expect.objectContaining({ code: 'secagg/wrong-phase' }),
    );
    expect(sent).toHaveLength(1);
  });

  it('follows the phases of the signed terms: randomness is asked for before shares exactly in rounds with a graph', () => {
    const outOfOrder = expect.objectContaining({ code: 'round/out-of-order' });
    for (const hasGraph of [false, true]) {
      const { talk } = aConversation();
      talk.receive(request('advertising'));
      talk.follow(phasesOfRound(hasGraph), 1000);
      talk.answer('advertising', bytes(7));
      const [asked, refused] = hasGraph ? (['revealing', 'sharing'] as const) : (['sharing', 'revealing'] as const);
      expect(() => talk.receive(request(refused, bytes(2)))).toThrowError(outOfOrder);
      expect(() => talk.receive(request(asked, bytes(2)))).not.toThrow();
    }
  });

  it('attack: a deadline of years in a request does not keep this client beyond the deadlines of the signed terms', async () => {
    const { talk } = aConversation(20);
    talk.receive({ ...request('advertising'), deadlineAt: 1e18 });
    talk.follow(phasesOfRound(false), 30);
    talk.answer('advertising', bytes(7));
    await expect(talk.asked('sharing')).rejects.toMatchObject({ code: 'round/deadline-passed' });
  });

  it('refuses a phase before its turn', () => {
    const { talk } = aConversation();
    talk.receive(request('advertising'));
    expect(() => talk.receive(request('sharing'))).toThrowError(
      expect.objectContaining({ code: 'round/out-of-order' }),
    );
    talk.answer('advertising', bytes(7));
    expect(() => talk.receive(request('unmasking'))).toThrowError(
      expect.objectContaining({ code: 'round/out-of-order' }),
    );
  });

  it('ends every wait when the round is aborted, with the reason', async () => {
    const { talk } = aConversation();
    talk.receive(request('advertising'));
    talk.answer('advertising', bytes(7));
    const waiting = talk.asked('sharing');
    talk.end({ kind: 'aborted', cause: 'too few' });
    await expect(waiting).rejects.toMatchObject({ code: 'round/aborted' });
    expect(() => talk.answer('sharing', bytes(1))).toThrow(FedloraError);
  });

  it('tells how the round ended, also when that came before anyone asked', async () => {
    const { talk } = aConversation();
    talk.receive(request('advertising'));
    talk.end({ kind: 'done', version: 'v' });
    expect(await talk.ended()).toEqual({ kind: 'done', version: 'v' });
  });

  it('gives up on a coordinator that says nothing more', async () => {
    const { talk } = aConversation(-990);
    talk.receive(request('advertising'));
    talk.answer('advertising', bytes(7));
    await expect(talk.asked('sharing')).rejects.toMatchObject({ code: 'round/deadline-passed' });
  });
});
