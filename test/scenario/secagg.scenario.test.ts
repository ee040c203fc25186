/** Secure aggregation told as stories: what a round yields, who may vanish when, and what nobody learns. */

import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../protocol/src/bytes/secret.js';
import { nodeProvider } from '../../protocol/src/node/index.js';
import { pureProvider } from '../../protocol/src/primitives/pure.js';
import { planDeliveries, planKeyList, planSurvivorProof, planSurvivors } from '../../protocol/src/secagg/aggregator.js';
import { emptyMaskedSum, sumMaskedInto, unmask, wordsHash, wordsToBytes } from '../../protocol/src/secagg/masks.js';
import { decodeMaskedInput, decodeUnmaskShares } from '../../protocol/src/secagg/messages.js';
import {
  createMaskedInput,
  handleKeyList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  secretsIn,
} from '../../protocol/src/secagg/participant.js';
import {
  aCohort,
  answer,
  apply,
  collect,
  deal,
  noised,
  plainSum,
  prove,
  ready,
  recover,
  refusal,
  shareKeys,
  unmaskedSum,
  type Cohort,
} from './secagg-cohort.js';

describe('a round', () => {
  for (const crypto of [nodeProvider, pureProvider]) {
    it(`of three, of whom nobody drops, yields exactly the sum of their updates (${crypto.name} provider)`, () => {
      const cohort = aCohort({ participants: 3, threshold: 3, crypto });
      const collected = collect(cohort);
      const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2]));
      expect(plan.refused).toEqual([]);
      expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
    });
  }

  it('of two works, though each can subtract its own update from the sum', () => {
    const cohort = aCohort({ participants: 2, threshold: 2 });
    const collected = collect(cohort);
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1]));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
  });

  it('goes on without a participant who never advertised', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const present = [0, 1, 2, 4];
    const collected = collect(cohort, { advertisers: present });
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), present));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, present));
  });

  it('goes on without a participant who advertised and shared no keys', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const present = [0, 1, 3, 4];
    const collected = collect(cohort, { sharers: present });
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), present));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, present));
  });

  it('removes the masks of a participant who vanished after sharing keys', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const present = [0, 1, 3, 4];
    const collected = collect(cohort, { survivors: present });
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), present));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, present));
  });

  it('keeps the update of a participant who vanished after uploading it', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const present = [0, 2, 3, 4];
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected, present), present));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
  });

  it('keeps the update of a participant who vanished after signing the survivor list', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2, 4]));
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
  });

  it('of twelve loses one in every phase and yields the sum of those who uploaded', () => {
    const cohort = aCohort({ participants: 12, threshold: 8, assumedColluders: 2, length: 1000 });
    const survivors = [0, 1, 2, 4, 5, 6, 7, 9, 10, 11];
    const collected = collect(cohort, { sharers: [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11], survivors }); // 3, then 8 vanish
    const proof = prove(cohort, collected, [1, 2, 4, 5, 6, 7, 9, 10, 11]); // 0 vanishes
    const plan = recover(cohort, collected, answer(cohort, proof, [1, 2, 4, 5, 6, 7, 10, 11])); // 9 vanishes
    expect(plan.accepted).toHaveLength(8);
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort, survivors));
  });

  it('stays hidden when fewer than the threshold answer', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2]));
    expect(plan).toMatchObject({ kind: 'too-few', accepted: [0, 1, 2], needed: 4 });
  });

  it('can be unmasked in parts by different workers', () => {
    const cohort = aCohort({ participants: 4, threshold: 3, length: 101 });
    const survivors = [0, 1, 3];
    const collected = collect(cohort, { survivors });
    const { masks } = ready(recover(cohort, collected, answer(cohort, prove(cohort, collected), survivors)));
    const levels: number[] = [];
    for (const [from, to] of [
      [0, 37],
      [37, 90],
      [90, 101],
    ]) {
      const part = emptyMaskedSum(to - from);
      for (const i of survivors) sumMaskedInto(part, cohort.members[i].masked!.words.subarray(from, to));
      levels.push(...unmask(cohort.crypto, part, masks, from).levels);
    }
    expect(Int32Array.from(levels)).toEqual(plainSum(cohort, survivors));
  });
});

describe('a lost connection', () => {
  it('lets every phase be asked again with the same bytes and answered with the same bytes', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const { crypto, terms, members } = cohort;
    const member = members[0];
    const { keyList, shareMessages } = shareKeys(cohort);
    expect(handleKeyList(member.parts, member.state, keyList).message).toEqual(shareMessages[0]);

    const deliveries = ready(planDeliveries(crypto, terms, keyList, shareMessages));
    for (const each of members) {
      apply(each, handleShareDelivery(each.parts, each.state, deliveries.messageFor(each.index)));
    }
    const delivered = member.state;
    expect(handleShareDelivery(member.parts, delivered, deliveries.messageFor(0)).state).toBe(delivered);

    const receipts = members.map((each) => apply(each, createMaskedInput(each.parts, each.state, noised(each.levels))));
    const list = ready(planSurvivors(crypto, terms, [0, 1, 2], receipts));
    const signatures = members.map((each) => apply(each, handleSurvivorList(each.parts, each.state, list)));
    expect(handleSurvivorList(member.parts, member.state, list).message).toEqual(signatures[0]);

    const view = { keyList, sharers: [0, 1, 2], survivors: [0, 1, 2] };
    const proof = ready(planSurvivorProof(crypto, terms, view, signatures));
    const first = apply(member, handleSurvivorProof(member.parts, member.state, proof));
    expect(handleSurvivorProof(member.parts, member.state, proof).message).toEqual(first);
    // An earlier phase may be asked again in a later one, too.
    expect(handleKeyList(member.parts, member.state, keyList).message).toEqual(shareMessages[0]);
  });

  it('lets a coordinator that was killed plan again from the stored messages, in any order and with repeats', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const list = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
    const shuffled = [3, 1, 0, 2, 1, 3].map((i) => cohort.advertised[i]);
    const again = planKeyList(cohort.crypto, cohort.terms, shuffled);
    expect(again.refused).toEqual([]);
    expect(ready(again)).toEqual(list);
  });
});

describe('a state', () => {
  it('is not changed by the step that leaves it', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const keyList = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
    const member = cohort.members[0];
    const before = publicPart(member.state);
    handleKeyList(member.parts, member.state, keyList);
    expect(publicPart(member.state)).toEqual(before);
    expect(secretsIn(member.state).some((secret) => secret.isWiped)).toBe(false);
  });

  it('cannot be used again once what it consumed was wiped', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    deal(cohort);
    const member = cohort.members[0];
    const old = member.state;
    apply(member, createMaskedInput(member.parts, old, noised(member.levels)));
    expect(refusal(() => createMaskedInput(member.parts, old, noised(member.levels)))).toBe('secret/wiped');
  });

  it('prints no secret, and ends without any', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const collected = collect(cohort);
    const { state } = cohort.members[0];
    const held = secretsIn(state);
    expect(held.length).toBe(6);
    const printed = inspect(state, { depth: 10, maxArrayLength: null }) + JSON.stringify(state);
    expect(printed).toContain('[secret]');
    for (const secret of held) expect(printed).not.toContain([...secret.reveal().subarray(0, 8)].join(', '));
    for (const secret of held) expect(printed).not.toContain([...secret.reveal().subarray(0, 8)].join(','));
    answer(cohort, prove(cohort, collected), [0, 1, 2]);
    expect(secretsIn(cohort.members[0].state)).toEqual([]);
    expect(held.every((secret) => secret.isWiped)).toBe(true);
  });
});

describe('hiding', () => {
  /** Chi-square with 255 degrees of freedom lies outside with probability below 2e-4 (Wilson-Hilferty: 170.9 to 348.0). */
  const CHI_SQUARE_255 = { low: 170, high: 348 };

  it('makes the words of one participant look uniform, whatever its update (false alarm 1e-3, fixed seed)', () => {
    const cohort = aCohort({ participants: 3, threshold: 3, length: 50_000 });
    cohort.members[0].levels.fill(0);
    collect(cohort);
    const bytes = wordsToBytes(cohort.members[0].masked!.words);
    for (let place = 0; place < 4; place++) {
      const counts = new Array<number>(256).fill(0);
      for (let i = place; i < bytes.length; i += 4) counts[bytes[i]]++;
      const expected = bytes.length / 4 / 256;
      const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      expect(statistic).toBeGreaterThan(CHI_SQUARE_255.low);
      expect(statistic).toBeLessThan(CHI_SQUARE_255.high);
    }
  });

  it('masks the same update differently in the next round', () => {
    const [first, second] = [1, 2].map((round) => {
      const cohort = aCohort({ participants: 3, threshold: 3, round });
      collect(cohort);
      return cohort.members[0].masked!.words;
    });
    expect(first.filter((word, i) => word === second[i]).length).toBe(0);
  });

  it('keeps a single update hidden from a coordinator that knows every self mask', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const collected = collect(cohort);
    const { masks } = ready(recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2])));
    const single = emptyMaskedSum(cohort.terms.length);
    sumMaskedInto(single, cohort.members[0].masked!.words);
    for (const chosen of [[0], [1], [2], [0, 1], [0, 1, 2]]) {
      const guess = unmask(
        cohort.crypto,
        single,
        chosen.map((i) => masks[i]),
      ).levels;
      expect(guess.filter((level, i) => level === cohort.members[0].levels[i]).length).toBe(0);
    }
  });

  it('leaves no seed and no share in what the coordinator stores before unmasking', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const { crypto, terms, members } = cohort;
    const secrets = new Set(secretsOf(cohort));
    const { keyList, shareMessages } = shareKeys(cohort);
    for (const secret of secretsOf(cohort)) secrets.add(secret);
    const deliveries = ready(planDeliveries(crypto, terms, keyList, shareMessages));
    const delivered = deliveries.receivers.map((i) => deliveries.messageFor(i));
    for (const each of members) apply(each, handleShareDelivery(each.parts, each.state, delivered[each.index]));
    for (const secret of secretsOf(cohort)) secrets.add(secret);
    const receipts = members.map((each) => apply(each, createMaskedInput(each.parts, each.state, noised(each.levels))));
    const stored = [...cohort.advertised, keyList, ...shareMessages, ...delivered, ...receipts]
      .map((bytes) => Buffer.from(bytes).toString('hex'))
      .join('|');
    expect(secrets.size).toBeGreaterThan(40);
    for (const secret of secrets) expect(stored).not.toContain(secret);
  });

  it('gives the coordinator one kind of share about each participant', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort, { survivors: [0, 1, 2, 4] });
    for (const bytes of answer(cohort, prove(cohort, collected), [0, 1, 2, 4])) {
      const kinds = decodeUnmaskShares(bytes).entries.map((entry) => entry.kind);
      expect(kinds).toEqual(['self-mask', 'self-mask', 'self-mask', 'mask-key', 'self-mask']);
    }
  });
});

describe('a receipt', () => {
  it('names the hash of the words as they travel', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const { receipts } = collect(cohort);
    const receipt = decodeMaskedInput(receipts[1]);
    const masked = cohort.members[1].masked!;
    expect(receipt.wordsHash).toEqual(wordsHash(cohort.crypto, masked));
    expect(receipt.wordsHash).toEqual(cohort.crypto.sha256(wordsToBytes(masked.words)));
    expect(receipt.length).toBe(cohort.terms.length);
  });
});

/** Hex of every secret that any member holds now. */
function secretsOf(cohort: Cohort): string[] {
  return cohort.members.flatMap((member) =>
    secretsIn(member.state).map((secret) => Buffer.from(secret.reveal()).toString('hex')),
  );
}

/** A deep copy of a state, its secrets as their hex. */
function publicPart(value: unknown): unknown {
  if (value instanceof Secret) return Buffer.from(value.reveal()).toString('hex');
  if (value instanceof Uint8Array) return value.slice();
  if (Array.isArray(value)) return value.map(publicPart);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, publicPart(field)]));
  }
  return value;
}

describe('the wire', () => {
  it('has the bytes of version 1 (SPEC §6): a change here is a new version of the protocol', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const collected = collect(cohort, { survivors: [0, 1, 2] });
    const proof = prove(cohort, collected);
    const answers = answer(cohort, proof, [0, 1, 2]);
    const transcript = [
      ...cohort.advertised,
      collected.keyList,
      ...collected.shareMessages,
      ...collected.receipts,
      wordsToBytes(cohort.members[0].masked!.words),
      collected.survivorList,
      proof,
      ...answers,
    ];
    const hash = createHash('sha256');
    for (const bytes of transcript) hash.update(bytes);
    expect(hash.digest('hex')).toBe('a79ed004633d86766f0e50224651f1b57a04a40ba155a87749e3fa50b519e508');
  });
});
