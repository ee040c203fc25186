/** Above 128 members: rounds over a graph that nobody chose, and the attacks that only a graph invites. */

import { describe, expect, it } from 'vitest';
import { nodeProvider, seededRandom } from '../../protocol/src/node/index.js';
import { planDeliveries, planKeyList, planReveals, shareKeysCheck } from '../../protocol/src/secagg/aggregator.js';
import { readCohort } from '../../protocol/src/secagg/cohort.js';
import { graphCommitment, hararyGraph } from '../../protocol/src/secagg/graph.js';
import { emptyMaskedSum, sumMaskedInto, unmask } from '../../protocol/src/secagg/masks.js';
import {
  advertiseKeysToSign,
  decodeAdvertiseKeys,
  decodeKeyList,
  decodeRevealList,
  decodeRevealRandomness,
  decodeShareDelivery,
  decodeShareKeys,
  decodeUnmaskShares,
  encodeAdvertiseKeys,
  encodeKeyList,
  encodeRevealList,
  encodeRevealRandomness,
  encodeShareDelivery,
  encodeUnmaskShares,
  revealRandomnessToSign,
  unmaskSharesToSign,
} from '../../protocol/src/secagg/messages.js';
import { handleKeyList, handleRevealList, handleShareDelivery } from '../../protocol/src/secagg/participant.js';
import {
  aCohort,
  answer,
  apply,
  dealInGraph,
  plainSum,
  prove,
  ready,
  recover,
  refusal,
  showRandomness,
  unmaskedSum,
  upload,
  type Cohort,
  type CohortOptions,
} from './secagg-cohort.js';
import { remembering } from '../support/remembering.js';

const MEMBERS = 130;
/** k = 22 of which 6 shares recover a secret: 2 colluders and 18 dropouts cannot cut it (SPEC §10.6.1). */
const GRAPH = { neighbours: 22, threshold: 6, silent: 1 };
const LEAST = 112;
const everyone = Array.from({ length: MEMBERS }, (_, i) => i);

const crypto = remembering(nodeProvider);

function aLargeCohort(options: Partial<CohortOptions> = {}): Cohort {
  return aCohort({
    participants: MEMBERS,
    threshold: LEAST,
    minContributors: LEAST,
    assumedColluders: 2,
    graph: GRAPH,
    crypto,
    ...options,
  });
}

/** Computed when it is first asked for: what several tests look at and none changes. */
function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Everyone showed its randomness; nobody has dealt. */
const revealed = once(() => {
  const cohort = aLargeCohort();
  return { cohort, ...showRandomness(cohort) };
});

/** Everyone uploaded and answered. */
const complete = once(() => {
  const cohort = aLargeCohort();
  const collected = upload(cohort, dealInGraph(cohort), everyone);
  return { cohort, collected, answers: answer(cohort, prove(cohort, collected), everyone) };
});

/** Some were lost in every phase. */
const depleted = once(() => {
  const cohort = aLargeCohort();
  const revealers = everyone.filter((i) => i !== 77);
  const sharers = revealers.filter((i) => i !== 5);
  const survivors = sharers.filter((i) => i % 9 !== 4);
  const collected = upload(cohort, dealInGraph(cohort, { revealers, sharers }), survivors);
  const signers = survivors.filter((i) => i !== 11);
  const responders = signers.filter((i) => i % 7 !== 3);
  return { cohort, collected, survivors, answers: answer(cohort, prove(cohort, collected, signers), responders) };
});

describe('a round of 130', () => {
  it('over a graph loses some in every phase and yields the sum of those who uploaded', () => {
    const { cohort, collected, survivors, answers } = depleted();
    const plan = recover(cohort, collected, answers);
    expect(survivors.length).toBeLessThan(MEMBERS - 15);
    expect(plan.refused).toEqual([]);
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, survivors));
  });

  it('ties everyone to k neighbours only, and gives shares to nobody else', () => {
    const { cohort, collected } = complete();
    const { graph } = readCohort(cohort.terms, collected.keyList, collected.revealList);
    for (const bytes of collected.shareMessages) {
      const { sender, entries } = decodeShareKeys(bytes);
      expect(entries.map((entry) => entry.receiver)).toEqual(graph.holdersOf(sender));
      expect(entries).toHaveLength(GRAPH.neighbours + 1);
    }
    for (const u of everyone) for (const v of graph.holdersOf(u)) expect(graph.holdersOf(v)).toContain(u);
  });

  it('stays hidden when one survivor has fewer than t neighbours who answer', () => {
    const { cohort, collected, answers } = complete();
    const { graph } = readCohort(cohort.terms, collected.keyList, collected.revealList);
    const silent = new Set(graph.holdersOf(0).slice(0, 18)); // of 23 holders 5 are left
    const plan = recover(
      cohort,
      collected,
      answers.filter((_, i) => !silent.has(i)),
    );
    expect(plan).toMatchObject({ kind: 'too-few', needed: GRAPH.threshold });
  });

  it('survives wrong shares, and traces them to their sender', () => {
    const { cohort, collected, survivors, answers } = depleted();
    const bent = answers.map((bytes, place) => {
      if (place !== 3 && place !== 8) return bytes;
      const message = decodeUnmaskShares(bytes);
      const entries = message.entries.map((entry) =>
        entry.kind === 'unusable' ? entry : { ...entry, share: new Uint8Array(33).fill(place) },
      );
      const signature = cohort.members[message.sender].parts.sign(unmaskSharesToSign({ ...message, entries }));
      return encodeUnmaskShares({ ...message, entries, signature });
    });
    const plan = recover(cohort, collected, bent);
    const culprits = [3, 8].map((place) => decodeUnmaskShares(answers[place]).sender);
    expect(plan.refused).toEqual(culprits.map((sender) => ({ sender, code: 'secagg/wrong-share' })));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, survivors));
  });

  it('keeps a single update hidden from a coordinator that knows every self mask', () => {
    const { cohort, collected, answers } = complete();
    const { masks } = ready(recover(cohort, collected, answers));
    const single = emptyMaskedSum(cohort.terms.length);
    sumMaskedInto(single, cohort.members[0].masked!.words);
    const guess = unmask(crypto, single, [masks[0]]).levels;
    expect(guess.filter((level, i) => level === cohort.members[0].levels[i]).length).toBe(0);
  });

  it('can ask again after a lost connection, in every phase', () => {
    const cohort = aLargeCohort();
    const { keyList, reveals, revealList } = showRandomness(cohort);
    const member = cohort.members[0];
    expect(handleKeyList(member.parts, member.state, keyList).message).toEqual(reveals[0]);
    const first = apply(member, handleRevealList(member.parts, member.state, revealList));
    expect(handleRevealList(member.parts, member.state, revealList).message).toEqual(first);
    expect(handleKeyList(member.parts, member.state, keyList).message).toEqual(reveals[0]);
  });
});

describe('the graph', () => {
  it('is another one for every seed, and the same for everyone who saw the same lists', () => {
    const participants = everyone;
    const graphs = ['a', 'b', 'a'].map((seed) => hararyGraph(seededRandom(seed)(32), participants, GRAPH.neighbours));
    const [a, b, again] = graphs.map((graph) => participants.map((u) => graph.holdersOf(u)));
    expect(a).toEqual(again);
    expect(a).not.toEqual(b);
  });

  it('places any two members as neighbours about as often as chance does (false alarm 1e-4, fixed seeds)', () => {
    const participants = everyone.slice(0, 21);
    const draws = 2000;
    let together = 0;
    for (let i = 0; i < draws; i++) {
      const graph = hararyGraph(seededRandom(`circle/${i}`)(32), participants, 4);
      if (graph.holdersOf(3).includes(17)) together++;
    }
    const chance = 4 / 20;
    expect(Math.abs(together - draws * chance)).toBeLessThan(3.9 * Math.sqrt(draws * chance * (1 - chance)));
  });

  it('moves when anyone’s randomness does: no coordinator and no member places another', () => {
    const { cohort, keyList, revealList } = revealed();
    const list = decodeRevealList(revealList);
    const other = encodeRevealList({
      ...list,
      revealed: list.revealed.map((shown) =>
        shown.sender === MEMBERS - 1 ? { ...shown, randomness: new Uint8Array(32) } : shown,
      ),
    });
    const before = readCohort(cohort.terms, keyList, revealList).graph;
    const after = readCohort(cohort.terms, keyList, other).graph;
    expect(after.holdersOf(0)).not.toEqual(before.holdersOf(0));
  });
});

describe('randomness', () => {
  it('that is not what its sender committed to is refused by the coordinator and by everyone', () => {
    const { cohort, keyList, reveals, revealList } = revealed();
    const honest = decodeRevealRandomness(reveals[9]);
    const body = { ...honest, randomness: new Uint8Array(32) };
    const signature = cohort.members[9].parts.sign(revealRandomnessToSign(body));
    const bent = encodeRevealRandomness({ ...body, signature });
    expect(planReveals(crypto, cohort.terms, keyList, [...reveals.slice(0, 9), bent]).refused).toEqual([
      { sender: 9, code: 'secagg/wrong-reveal' },
    ]);
    const list = decodeRevealList(revealList);
    const lying = encodeRevealList({
      ...list,
      revealed: list.revealed.map((shown) =>
        shown.sender === 9 ? { sender: 9, randomness: body.randomness, signature } : shown,
      ),
    });
    expect(refusal(() => askReveals(cohort, 0, lying))).toBe('secagg/wrong-reveal');
  });

  it('shown for another key list is refused: each shows it once', () => {
    const cohort = aLargeCohort();
    const fewer = ready(planKeyList(crypto, cohort.terms, cohort.advertised.slice(0, MEMBERS - 1)));
    const all = ready(planKeyList(crypto, cohort.terms, cohort.advertised));
    const reveals = everyone.slice(0, MEMBERS - 1).map((i) => {
      const member = cohort.members[i];
      return apply(member, handleKeyList(member.parts, member.state, i === 0 ? fewer : all));
    });
    expect(planReveals(crypto, cohort.terms, all, reveals).refused).toEqual([
      { sender: 0, code: 'secagg/key-lists-differ' },
    ]);
    expect(refusal(() => handleKeyList(cohort.members[1].parts, cohort.members[1].state, fewer))).toBe(
      'secagg/wrong-phase',
    );
  });

  it('left out by the coordinator for more than the terms allow is noticed: it could choose the graph that way', () => {
    const { cohort, keyList, reveals, revealList } = revealed();
    const list = decodeRevealList(revealList);
    const without = (count: number) => encodeRevealList({ ...list, revealed: list.revealed.slice(0, MEMBERS - count) });
    expect(refusal(() => askReveals(cohort, 0, without(2)))).toBe('secagg/cohort-too-small');
    expect(refusal(() => askReveals(cohort, MEMBERS - 1, without(1)))).toBe('secagg/left-out');
    expect(planReveals(crypto, cohort.terms, keyList, reveals.slice(0, MEMBERS - 2))).toMatchObject({
      kind: 'too-few',
      needed: MEMBERS - 1,
    });
  });

  it('of a stranger, or unsigned, is refused', () => {
    const { cohort, revealList } = revealed();
    const list = decodeRevealList(revealList);
    const forged = list.revealed.map((shown) => ({ ...shown, signature: new Uint8Array(64) }));
    expect(refusal(() => askReveals(cohort, 0, encodeRevealList({ ...list, revealed: forged })))).toBe(
      'crypto/bad-signature',
    );
    const strange = [...list.revealed.slice(0, -1), { ...list.revealed[MEMBERS - 1], sender: 200 }];
    expect(refusal(() => askReveals(cohort, 0, encodeRevealList({ ...list, revealed: strange })))).toBe(
      'secagg/not-in-roster',
    );
  });

  it('without commitments in the key list is not shown', () => {
    const cohort = aLargeCohort();
    const plain = cohort.advertised.map((bytes, i) => {
      const { graphCommitment: _, signature: __, ...body } = decodeAdvertiseKeys(bytes);
      return encodeAdvertiseKeys({ ...body, signature: cohort.members[i].parts.sign(advertiseKeysToSign(body)) });
    });
    expect(planKeyList(crypto, cohort.terms, plain).refused).toHaveLength(MEMBERS);
    const list = encodeKeyList({ sid: cohort.terms.sid, keys: plain.map(decodeAdvertiseKeys) });
    expect(refusal(() => handleKeyList(cohort.members[0].parts, cohort.members[0].state, list))).toBe(
      'codec/malformed',
    );
    const { keys } = decodeKeyList(ready(planKeyList(crypto, cohort.terms, cohort.advertised)));
    const mixed = [...keys.slice(0, 3), ...plain.slice(3).map(decodeAdvertiseKeys)];
    expect(refusal(() => encodeKeyList({ sid: cohort.terms.sid, keys: mixed }))).toBe('codec/malformed');
  });

  it('is committed to with sender and session', () => {
    const randomness = seededRandom('r')(32);
    const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    const all = [
      graphCommitment(a, 1, randomness),
      graphCommitment(b, 1, randomness),
      graphCommitment(a, 2, randomness),
    ];
    expect(new Set(all.map(String)).size).toBe(3);
  });
});

describe('shares in a graph', () => {
  it('withheld by the coordinator, or from somebody who is no neighbour, are noticed', () => {
    const cohort = aLargeCohort();
    const { keyList, revealList } = showRandomness(cohort);
    const shareMessages = cohort.members.map((member) =>
      apply(member, handleRevealList(member.parts, member.state, revealList)),
    );
    const deliveries = ready(planDeliveries(crypto, cohort.terms, keyList, shareMessages, revealList));
    const delivery = decodeShareDelivery(deliveries.messageFor(0));
    const ask = (bent: Uint8Array) => handleShareDelivery(cohort.members[0].parts, cohort.members[0].state, bent);
    const fewer = encodeShareDelivery({ ...delivery, dealers: delivery.dealers.slice(1) });
    expect(refusal(() => ask(fewer))).toBe('secagg/left-out');
    const stranger = everyone.find((i) => !delivery.dealers.some(({ dealer }) => dealer === i))!;
    const foreign = decodeShareDelivery(deliveries.messageFor(stranger)).dealers.find(
      ({ dealer }) => dealer === stranger,
    )!;
    const dealers = [...delivery.dealers, foreign].sort((a, b) => a.dealer - b.dealer);
    expect(refusal(() => ask(encodeShareDelivery({ ...delivery, dealers })))).toBe('secagg/not-in-roster');
    const { sharers: _, ...complete } = delivery;
    expect(refusal(() => ask(encodeShareDelivery(complete)))).toBe('codec/malformed');
  });

  it('for a graph of another seed are refused', () => {
    const cohort = aLargeCohort();
    const { keyList, revealList } = showRandomness(cohort, { revealers: everyone });
    const message = apply(
      cohort.members[0],
      handleRevealList(cohort.members[0].parts, cohort.members[0].state, revealList),
    );
    const list = decodeRevealList(revealList);
    const fewer = encodeRevealList({ ...list, revealed: list.revealed.slice(0, -1) });
    expect(refusal(() => shareKeysCheck(crypto, cohort.terms, keyList, fewer)(message))).toBe(
      'secagg/key-lists-differ',
    );
    expect(refusal(() => shareKeysCheck(crypto, cohort.terms, keyList)(message))).toBe('secagg/wrong-phase');
  });
});

describe('terms with a graph', () => {
  it('that do not protect the cohort are refused', () => {
    const weak = (graph: Partial<typeof GRAPH>) => refusal(() => aLargeCohort({ graph: { ...GRAPH, ...graph } }));
    expect(weak({ neighbours: 23 })).toBe('manifest/invalid');
    expect(weak({ neighbours: LEAST })).toBe('manifest/invalid');
    expect(weak({ threshold: 23 })).toBe('manifest/invalid');
    expect(weak({ silent: 5 })).toBe('manifest/invalid');
    // A lying coordinator could cut this circle into pieces of t, far below the least number of contributors.
    expect(weak({ neighbours: 20 })).toBe('manifest/invalid');
    expect(refusal(() => aCohort({ participants: 6, threshold: 5, graph: GRAPH }))).toBe('manifest/invalid');
    expect(refusal(() => aCohort({ participants: MEMBERS, threshold: LEAST }))).toBe('roster/invalid');
  });

  it('with too few neighbours or too low a threshold for those who turned up are refused in the key list', () => {
    for (const graph of [
      { neighbours: 10, threshold: 8, silent: 1 },
      { neighbours: 22, threshold: 2, silent: 1 },
    ]) {
      const cohort = aLargeCohort({ graph, minContributors: 2 });
      expect(refusal(() => planKeyList(crypto, cohort.terms, cohort.advertised))).toBe('secagg/threshold-too-low');
      const list = encodeKeyList({ sid: cohort.terms.sid, keys: cohort.advertised.map(decodeAdvertiseKeys) });
      const member = cohort.members[0];
      expect(refusal(() => handleKeyList(member.parts, member.state, list))).toBe('secagg/threshold-too-low');
    }
  });
});

function askReveals(cohort: Cohort, member: number, list: Uint8Array): unknown {
  const { parts, state } = cohort.members[member];
  return handleRevealList(parts, state, list);
}
