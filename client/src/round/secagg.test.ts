import { handleKeyList, planKeyList, planReveals, shareKeysCheck } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { describe, expect, it } from 'vitest';
import { aCohort, ready } from '../../../test/scenario/secagg-cohort.js';
import { remembering } from '../../../test/support/remembering.js';
import { SecaggSeat } from './secagg.js';

describe('a seat in a round of 129', () => {
  it('shows its randomness for the key list, then deals shares for the graph that everyone’s gives, and never twice', () => {
    const crypto = remembering(nodeProvider);
    const cohort = aCohort({
      participants: 129,
      threshold: 67,
      minContributors: 117,
      graph: { neighbours: 14, threshold: 3, silent: 1 },
      crypto,
    });
    const { terms, members, advertised } = cohort;
    const [mine, ...others] = members;
    const seat = new SecaggSeat(mine.parts, terms, mine.index);
    const keyList = ready(planKeyList(crypto, terms, [seat.advertise(), ...advertised.slice(1)]));
    const reveals = others.map(({ parts, state }) => handleKeyList(parts, state, keyList).message);
    const revealList = ready(planReveals(crypto, terms, keyList, [seat.reveal(keyList), ...reveals]));
    const shares = seat.share(revealList);
    const { entries, sender } = shareKeysCheck(crypto, terms, keyList, revealList)(shares);
    expect(sender).toBe(0);
    expect(entries).toHaveLength(15);
    expect(seat.share(revealList)).toEqual(shares);
    const fewer = ready(planReveals(crypto, terms, keyList, [seat.reveal(keyList), ...reveals.slice(1)]));
    expect(() => seat.share(fewer)).toThrowError(expect.objectContaining({ code: 'secagg/wrong-phase' }));
    seat.leave();
  });
});
