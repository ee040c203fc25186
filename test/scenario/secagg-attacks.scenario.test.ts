/**
 * Every attack on secure aggregation that DESIGN.md section 4 lists for this layer, each of which must fail closed.
 *
 * The coordinator of these stories is hostile: it bends messages with the codecs. So may members be: they sign what they like.
 */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../protocol/src/node/index.js';
import {
  planDeliveries,
  planKeyList,
  planSurvivorProof,
  planSurvivors,
  unmaskSharesCheck,
} from '../../protocol/src/secagg/aggregator.js';
import {
  advertiseKeysToSign,
  decodeAdvertiseKeys,
  decodeKeyList,
  decodeShareDelivery,
  decodeShareKeys,
  decodeSurvivorProof,
  decodeUnmaskShares,
  encodeAdvertiseKeys,
  encodeKeyList,
  encodeShareDelivery,
  encodeShareKeys,
  encodeSurvivorList,
  encodeSurvivorProof,
  encodeUnmaskShares,
  shareEntryHash,
  shareKeysToSign,
  unmaskSharesToSign,
  type AdvertisedKeys,
  type DeliveredShares,
  type ShareEntry,
  type ShareKeys,
  type UnmaskEntry,
} from '../../protocol/src/secagg/messages.js';
import {
  createAdvertise,
  createMaskedInput,
  handleKeyList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
} from '../../protocol/src/secagg/participant.js';
import type { SecaggTerms } from '../../protocol/src/secagg/session.js';
import {
  aCohort,
  answer,
  apply,
  collect,
  deal,
  deliver,
  noised,
  plainSum,
  prove,
  ready,
  recover,
  refusal,
  shareKeys,
  unmaskedSum,
  upload,
  type Cohort,
  type Member,
} from './secagg-cohort.js';

const LOW_ORDER = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0));

describe('keys', () => {
  it('substituted by the coordinator are refused: it has no signature over them', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const ownedByServer = cohort.crypto.x25519.publicKey(seededRandom('server')(32));
    for (const field of ['encryptionKey', 'maskKey'] as const) {
      const list = keyListWith(cohort, (keys) => (keys.sender === 2 ? { ...keys, [field]: ownedByServer } : keys));
      expect(refusal(() => askKeyList(cohort.members[0], list))).toBe('crypto/bad-signature');
    }
  });

  it('of an added member are refused: the roster does not name it', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const seed = seededRandom('stranger')(32);
    const stranger = {
      sid: cohort.terms.sid,
      sender: 4,
      encryptionKey: cohort.crypto.x25519.publicKey(seededRandom('e')(32)),
      maskKey: cohort.crypto.x25519.publicKey(seededRandom('m')(32)),
    };
    const signature = cohort.crypto.ed25519.sign(seed, advertiseKeysToSign(stranger));
    const { keys } = decodeKeyList(ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised.slice(0, 3))));
    const list = encodeKeyList({ sid: cohort.terms.sid, keys: [...keys, { ...stranger, signature }] });
    expect(refusal(() => askKeyList(cohort.members[0], list))).toBe('secagg/not-in-roster');
    const message = encodeAdvertiseKeys({ ...stranger, signature });
    expect(planKeyList(cohort.crypto, cohort.terms, [...cohort.advertised, message]).refused).toEqual([
      { sender: 4, code: 'secagg/not-in-roster' },
    ]);
  });

  it('of small order, signed by a hostile member, are refused by the coordinator and by everyone', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    for (const field of ['encryptionKey', 'maskKey'] as const) {
      const bent = { ...decodeAdvertiseKeys(cohort.advertised[3]), [field]: LOW_ORDER };
      const signature = cohort.members[3].parts.sign(advertiseKeysToSign(bent));
      const message = encodeAdvertiseKeys({ ...bent, signature });
      expect(planKeyList(cohort.crypto, cohort.terms, [...cohort.advertised.slice(0, 3), message]).refused).toEqual([
        { sender: 3, code: 'crypto/low-order-point' },
      ]);
      const list = keyListWith(cohort, (keys) => (keys.sender === 3 ? { ...bent, signature } : keys));
      expect(refusal(() => askKeyList(cohort.members[0], list))).toBe('crypto/low-order-point');
    }
  });

  it('advertised by two members are refused', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const copied = {
      ...decodeAdvertiseKeys(cohort.advertised[3]),
      maskKey: decodeAdvertiseKeys(cohort.advertised[0]).maskKey,
    };
    const signature = cohort.members[3].parts.sign(advertiseKeysToSign(copied));
    const message = encodeAdvertiseKeys({ ...copied, signature });
    expect(planKeyList(cohort.crypto, cohort.terms, [...cohort.advertised.slice(0, 3), message]).refused).toEqual([
      { sender: 3, code: 'secagg/duplicate' },
    ]);
    const list = keyListWith(cohort, (keys) => (keys.sender === 3 ? { ...copied, signature } : keys));
    expect(refusal(() => askKeyList(cohort.members[1], list))).toBe('secagg/duplicate');
  });

  it('advertised twice by one member count once, the first time', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const again = aCohort({ participants: 4, threshold: 3, attempt: 2 });
    const plan = planKeyList(cohort.crypto, cohort.terms, [...cohort.advertised, again.advertised[1]]);
    expect(plan.refused).toEqual([{ sender: 1, code: 'secagg/duplicate' }]);
    expect(ready(plan)).toEqual(ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised)));
  });

  it('of an earlier start of the same session, replayed, are noticed by their owner', () => {
    const before = aCohort({ participants: 3, threshold: 3 });
    const restarted = aCohort({ participants: 3, threshold: 3, attempt: 2 });
    const list = ready(planKeyList(before.crypto, before.terms, before.advertised));
    expect(refusal(() => askKeyList(restarted.members[0], list))).toBe('secagg/wrong-session');
  });
});

describe('a tiny cohort', () => {
  it('is refused in every phase by every participant', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const few = encodeKeyList({
      sid: cohort.terms.sid,
      keys: cohort.advertised.slice(0, 2).map(decodeAdvertiseKeys),
    });
    expect(refusal(() => askKeyList(cohort.members[0], few))).toBe('secagg/cohort-too-small');

    const { keyList, shareMessages } = shareKeys(cohort);
    const deliveries = ready(planDeliveries(cohort.crypto, cohort.terms, keyList, shareMessages));
    const delivery = decodeShareDelivery(deliveries.messageFor(0));
    const bent = encodeShareDelivery({ ...delivery, dealers: delivery.dealers.slice(0, 3) });
    expect(refusal(() => askDelivery(cohort.members[0], bent))).toBe('secagg/cohort-too-small');

    const dealt = deliver(cohort, keyList, shareMessages);
    upload(cohort, dealt);
    const list = encodeSurvivorList({ sid: cohort.terms.sid, survivors: [0, 1, 2] });
    expect(refusal(() => askSurvivors(cohort.members[0], list))).toBe('secagg/cohort-too-small');
  });

  it('over the threshold but under the least number of contributors is refused', () => {
    const cohort = aCohort({ participants: 6, threshold: 4, minContributors: 6 });
    const list = encodeKeyList({ sid: cohort.terms.sid, keys: cohort.advertised.slice(0, 5).map(decodeAdvertiseKeys) });
    expect(refusal(() => askKeyList(cohort.members[0], list))).toBe('secagg/cohort-too-small');
    expect(planKeyList(cohort.crypto, cohort.terms, cohort.advertised.slice(0, 5))).toMatchObject({
      kind: 'too-few',
      needed: 6,
    });
  });

  it('without me is refused', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const list = encodeKeyList({ sid: cohort.terms.sid, keys: cohort.advertised.slice(1).map(decodeAdvertiseKeys) });
    expect(refusal(() => askKeyList(cohort.members[0], list))).toBe('secagg/left-out');
  });
});

describe('a threshold at or below (n + c) / 2', () => {
  it('is refused by everyone', () => {
    const cohort = aCohort({ participants: 5, threshold: 3 });
    const keys = cohort.advertised.map(decodeAdvertiseKeys);
    expect(refusal(() => askKeyList(cohort.members[0], encodeKeyList({ sid: cohort.terms.sid, keys })))).toBe(
      'secagg/threshold-too-low',
    );
    expect(refusal(() => planKeyList(cohort.crypto, cohort.terms, cohort.advertised))).toBe('secagg/threshold-too-low');
  });

  it('is refused sooner when more may collude', () => {
    const one = aCohort({ participants: 6, threshold: 4, assumedColluders: 1 });
    const two = aCohort({ participants: 6, threshold: 4, assumedColluders: 2 });
    const list = (cohort: Cohort) =>
      encodeKeyList({ sid: cohort.terms.sid, keys: cohort.advertised.map(decodeAdvertiseKeys) });
    expect(askKeyList(one.members[0], list(one)).length).toBeGreaterThan(0);
    expect(refusal(() => askKeyList(two.members[0], list(two)))).toBe('secagg/threshold-too-low');
  });

  it('and other impossible terms are refused before any key is made', () => {
    const { terms, members } = aCohort({ participants: 3, threshold: 3 });
    const create = (bent: Partial<SecaggTerms>, me = 0) =>
      refusal(() => createAdvertise(members[0].parts, { ...terms, ...bent }, me));
    expect(create({ threshold: 1 })).toBe('manifest/invalid');
    expect(create({ threshold: 4 })).toBe('manifest/invalid');
    expect(create({ minContributors: 1 })).toBe('manifest/invalid');
    expect(create({ assumedColluders: -1 })).toBe('manifest/invalid');
    expect(create({ length: 0 })).toBe('manifest/invalid');
    expect(create({ length: 2 ** 31 })).toBe('manifest/invalid');
    expect(create({ sid: new Uint8Array(31) })).toBe('manifest/invalid');
    expect(create({ members: terms.members.slice(0, 1) })).toBe('roster/invalid');
    expect(create({ members: [terms.members[0], terms.members[2], terms.members[1]] })).toBe('roster/invalid');
    expect(create({ members: [terms.members[0], { index: 1, identity: terms.members[0].identity }] })).toBe(
      'roster/invalid',
    );
    expect(create({}, 3)).toBe('secagg/not-in-roster');
  });
});

describe('two base adapters in one round', () => {
  it('give two sessions, whose messages refuse each other', () => {
    const cohort = aCohort({ participants: 3, threshold: 3, baseVersion: 'adapter-0' });
    const other = aCohort({ participants: 3, threshold: 3, baseVersion: 'adapter-evil' });
    expect(cohort.terms.sid).not.toEqual(other.terms.sid);
    const { keyList } = shareKeys(other);
    expect(refusal(() => askKeyList(cohort.members[0], keyList))).toBe('secagg/wrong-session');
    // Relabelled for the other session, the signatures no longer fit.
    const relabelled = encodeKeyList({ ...decodeKeyList(keyList), sid: cohort.terms.sid });
    const mine = decodeAdvertiseKeys(cohort.advertised[0]);
    const mixed = encodeKeyList({
      sid: cohort.terms.sid,
      keys: decodeKeyList(relabelled).keys.map((keys) => (keys.sender === 0 ? mine : keys)),
    });
    expect(refusal(() => askKeyList(cohort.members[0], mixed))).toBe('crypto/bad-signature');
    const plan = planKeyList(cohort.crypto, cohort.terms, [...cohort.advertised.slice(0, 2), other.advertised[2]]);
    expect(plan.refused).toEqual([{ sender: 2, code: 'secagg/wrong-session' }]);
  });
});

describe('shares', () => {
  it('reflected, misrouted or replayed by the coordinator are refused: their dealer did not sign them so', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const earlier = aCohort({ participants: 4, threshold: 3, attempt: 2 });
    const { keyList, shareMessages } = shareKeys(cohort);
    const old = decodeShareKeys(shareKeys(earlier).shareMessages[1]);
    const deliveries = ready(planDeliveries(cohort.crypto, cohort.terms, keyList, shareMessages));
    const mine = decodeShareKeys(shareMessages[0]);
    const theirs = decodeShareKeys(shareMessages[1]);
    const entries: Record<string, ShareEntry> = {
      reflected: { ...mine.entries[1], receiver: 0 },
      misrouted: { ...theirs.entries[2], receiver: 0 },
      replayed: old.entries[0],
    };
    for (const entry of Object.values(entries)) {
      const bent = deliveryWith(deliveries.messageFor(0), 1, (delivered) => ({ ...delivered, entry }));
      expect(refusal(() => askDelivery(cohort.members[0], bent))).toBe('crypto/bad-signature');
    }
    expect(refusal(() => askDelivery(cohort.members[0], deliveries.messageFor(1)))).toBe('secagg/wrong-session');
    const lying = deliveryWith(deliveries.messageFor(0), 1, (delivered) => ({
      ...delivered,
      entry: entries.misrouted,
      entryHashes: [
        shareEntryHash(cohort.crypto, cohort.terms.sid, 1, entries.misrouted),
        ...delivered.entryHashes.slice(1),
      ],
    }));
    expect(refusal(() => askDelivery(cohort.members[0], lying))).toBe('crypto/bad-signature');
  });

  it('reflected or misrouted by a hostile dealer do not open, and the round goes on without them', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const { keyList, shareMessages } = shareKeys(cohort);
    const victim = decodeShareKeys(shareMessages[0]);
    // Member 4 signs, as its own box for member 0, the box that 0 sealed for 4; and for member 1 the one meant for 2.
    shareMessages[4] = sharesBentBy(cohort.members[4], shareMessages[4], (entry, own) => {
      if (entry.receiver === 0) return { ...entry, sealed: victim.entries[4].sealed };
      if (entry.receiver === 1) return { ...entry, sealed: own.entries[2].sealed };
      return entry;
    });
    const dealt = deliver(cohort, keyList, shareMessages);
    for (const i of [0, 1]) {
      expect(cohort.members[i].state).toMatchObject({ faulty: [{ participant: 4, code: 'crypto/cannot-open' }] });
    }
    expect(cohort.members[2].state).toMatchObject({ faulty: [] });
    const collected = upload(cohort, dealt);
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]));
    // Two of five lack a share about member 4: three are too few of four, and both complaints name the dealer.
    expect(plan.kind).toBe('too-few');
    expect(plan.complaints).toEqual([
      { by: 0, about: 4 },
      { by: 1, about: 4 },
    ]);
  });

  it('that do not match their dealer’s own commitment name the dealer, and the round still finishes', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const { keyList, shareMessages } = shareKeys(cohort);
    shareMessages[3] = sharesBentBy(cohort.members[3], shareMessages[3], (entry) =>
      entry.receiver === 1 ? { ...entry, selfMaskCommitment: new Uint8Array(32) } : entry,
    );
    const dealt = deliver(cohort, keyList, shareMessages);
    expect(cohort.members[1].state).toMatchObject({ faulty: [{ participant: 3, code: 'secagg/wrong-share' }] });
    const collected = upload(cohort, dealt);
    const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]));
    expect(plan.complaints).toEqual([{ by: 1, about: 3 }]);
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
  });

  it('of nothing, each matching its commitment, name their dealer at the end', () => {
    for (const bent of ['self-mask', 'mask-key'] as const) {
      const cohort = aCohort({ participants: 5, threshold: 4 });
      const { keyList, shareMessages } = shareKeys(cohort);
      // Member 2 runs the protocol twice with other randomness and deals shares of two different polynomials.
      const other = aCohort({ participants: 5, threshold: 4, attempt: 1 }).members[2];
      const random = seededRandom('another polynomial');
      const state = { ...other.state };
      const second = decodeShareKeys(handleKeyList({ ...other.parts, random }, state, keyList).message);
      shareMessages[2] = sharesBentBy(cohort.members[2], shareMessages[2], (entry) =>
        entry.receiver === 0 ? second.entries[0] : entry,
      );
      const present = bent === 'self-mask' ? [0, 1, 2, 3] : [0, 1, 3, 4];
      const collected = upload(cohort, deliver(cohort, keyList, shareMessages), present);
      const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), present));
      expect(plan).toMatchObject({ kind: 'too-few', refused: [{ sender: 2, code: 'secagg/wrong-share' }] });
    }
  });

  it('for another key list are refused: the coordinator showed two', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const all = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
    const fewer = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised.slice(0, 4)));
    const messages = cohort.members
      .slice(0, 4)
      .map((member) => apply(member, handleKeyList(member.parts, member.state, member.index === 3 ? fewer : all)));
    expect(planDeliveries(cohort.crypto, cohort.terms, all, messages).refused).toEqual([
      { sender: 3, code: 'secagg/key-lists-differ' },
    ]);
    // A coordinator that delivers them all the same is found out by the receiver.
    const dealers = messages.map((bytes): DeliveredShares => {
      const message = decodeShareKeys(bytes);
      return {
        dealer: message.sender,
        keyListHash: message.keyListHash,
        seedCommitment: message.seedCommitment,
        entryHashes: message.entries.map((entry) =>
          shareEntryHash(cohort.crypto, cohort.terms.sid, message.sender, entry),
        ),
        entry: message.entries[0],
        signature: message.signature,
      };
    });
    const delivery = encodeShareDelivery({ sid: cohort.terms.sid, receiver: 0, dealers });
    expect(refusal(() => askDelivery(cohort.members[0], delivery))).toBe('secagg/key-lists-differ');
  });

  it('from somebody who is not in the key list are refused', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const { keyList, shareMessages } = shareKeys(cohort, { advertisers: [0, 1, 2, 3] });
    const stranger = sharesBentBy(cohort.members[4], shareMessages[0], (entry) => entry, 4);
    expect(planDeliveries(cohort.crypto, cohort.terms, keyList, [...shareMessages, stranger]).refused).toEqual([
      { sender: 4, code: 'secagg/not-in-roster' },
    ]);
  });

  it('for some of the participants only are refused', () => {
    const cohort = aCohort({ participants: 4, threshold: 3 });
    const { keyList, shareMessages } = shareKeys(cohort);
    const own = decodeShareKeys(shareMessages[3]);
    const entries = own.entries.slice(0, 3);
    const hashes = entries.map((entry) => shareEntryHash(cohort.crypto, own.sid, 3, entry));
    const signature = cohort.members[3].parts.sign(shareKeysToSign(own, hashes));
    const partial = encodeShareKeys({ ...own, entries, signature });
    const plan = planDeliveries(cohort.crypto, cohort.terms, keyList, [...shareMessages.slice(0, 3), partial]);
    expect(plan.refused).toEqual([{ sender: 3, code: 'codec/malformed' }]);
  });
});

describe('a masked input', () => {
  it('is made once: a second vector under the same masks is refused', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    collect(cohort);
    const member = cohort.members[0];
    expect(refusal(() => createMaskedInput(member.parts, member.state, noised(member.levels)))).toBe(
      'secagg/wrong-phase',
    );
  });

  it('of another length is refused before it is masked', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    deal(cohort);
    const member = cohort.members[0];
    expect(refusal(() => createMaskedInput(member.parts, member.state, noised(new Int32Array(63))))).toBe(
      'update/wrong-length',
    );
  });

  it('is not counted without its sender’s signature, or from outside the sharers', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const { receipts } = collect(cohort);
    const forged = receipts[2].slice();
    forged[40] ^= 1; // in the hash of the words
    const { crypto, terms } = cohort;
    expect(planSurvivors(crypto, terms, [0, 1, 2, 3, 4], [...receipts.slice(0, 2), forged]).refused).toEqual([
      { sender: 2, code: 'crypto/bad-signature' },
    ]);
    expect(planSurvivors(crypto, terms, [0, 1, 2, 3], receipts).refused).toEqual([
      { sender: 4, code: 'secagg/not-in-roster' },
    ]);
    expect(planSurvivors(crypto, { ...terms, length: 65 }, [0, 1, 2, 3, 4], receipts).refused[0].code).toBe(
      'update/wrong-length',
    );
  });
});

describe('survivor lists', () => {
  it('shown twice to one participant: it signs the first and refuses the second', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const member = cohort.members[0];
    apply(member, handleSurvivorList(member.parts, member.state, collected.survivorList));
    const second = encodeSurvivorList({ sid: cohort.terms.sid, survivors: [0, 1, 2, 3] });
    expect(refusal(() => askSurvivors(member, second))).toBe('secagg/wrong-phase');
  });

  it('shown differently to different participants: none gives a share', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const fewer = encodeSurvivorList({ sid: cohort.terms.sid, survivors: [0, 1, 2, 3] });
    const signatures = cohort.members.slice(0, 4).map((member) => {
      const list = member.index < 2 ? collected.survivorList : fewer;
      return apply(member, handleSurvivorList(member.parts, member.state, list));
    });
    const plan = planSurvivorProof(cohort.crypto, cohort.terms, collected.view, signatures);
    expect(plan.refused.map((refused) => refused.code)).toEqual(['secagg/survivors-differ', 'secagg/survivors-differ']);
    const proof = encodeSurvivorProof({
      sid: cohort.terms.sid,
      signatures: signatures.map((bytes, signer) => ({ signer, signature: bytes.subarray(-64) })),
    });
    for (const i of [0, 1, 2, 3]) {
      expect(refusal(() => askProof(cohort.members[i], proof))).toBe('secagg/survivors-differ');
    }
  });

  it('that leave me out, or name somebody who shared no keys, are refused', () => {
    const cohort = aCohort({ participants: 6, threshold: 4 });
    collect(cohort, { sharers: [0, 1, 2, 3, 4] });
    const list = (survivors: number[]) => encodeSurvivorList({ sid: cohort.terms.sid, survivors });
    expect(refusal(() => askSurvivors(cohort.members[0], list([1, 2, 3, 4])))).toBe('secagg/left-out');
    expect(refusal(() => askSurvivors(cohort.members[0], list([0, 1, 2, 5])))).toBe('secagg/not-in-roster');
  });

  it('are signed together with the sharers: a coordinator that delivered different dealers is found out', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const { keyList, shareMessages } = shareKeys(cohort);
    const { crypto, terms } = cohort;
    const five = ready(planDeliveries(crypto, terms, keyList, shareMessages));
    const four = ready(planDeliveries(crypto, terms, keyList, shareMessages.slice(0, 4)));
    for (const member of cohort.members.slice(0, 4)) {
      const deliveries = member.index === 0 ? four : five;
      apply(member, handleShareDelivery(member.parts, member.state, deliveries.messageFor(member.index)));
    }
    const dealt = { keyList, shareMessages, sharers: [0, 1, 2, 3, 4] };
    const collected = upload(cohort, dealt, [0, 1, 2, 3]);
    const signatures = cohort.members
      .slice(0, 4)
      .map((member) => apply(member, handleSurvivorList(member.parts, member.state, collected.survivorList)));
    expect(planSurvivorProof(crypto, terms, collected.view, signatures).refused).toEqual([
      { sender: 0, code: 'secagg/survivors-differ' },
    ]);
  });
});

describe('unmasking', () => {
  it('asked for without t signatures, with forged ones or with a stranger’s is refused', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort, { survivors: [0, 1, 2, 3] });
    const proof = decodeSurvivorProof(prove(cohort, collected));
    const member = cohort.members[0];
    const few = encodeSurvivorProof({ ...proof, signatures: proof.signatures.slice(0, 3) });
    expect(refusal(() => askProof(member, few))).toBe('secagg/cohort-too-small');
    const forged = proof.signatures.map((entry) =>
      entry.signer === 3 ? { ...entry, signature: proof.signatures[2].signature } : entry,
    );
    expect(refusal(() => askProof(member, encodeSurvivorProof({ ...proof, signatures: forged })))).toBe(
      'secagg/survivors-differ',
    );
    const strange = [...proof.signatures.slice(0, 3), { signer: 4, signature: proof.signatures[3].signature }];
    expect(refusal(() => askProof(member, encodeSurvivorProof({ ...proof, signatures: strange })))).toBe(
      'secagg/not-in-roster',
    );
  });

  it('asked for before a survivor list was signed is refused', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const collected = collect(cohort);
    const late = cohort.members[2];
    const before = late.state;
    const proof = prove(cohort, collected);
    expect(refusal(() => handleSurvivorProof(late.parts, before, proof))).toBe('secagg/wrong-phase');
  });

  it('asked for twice with different proofs is answered once', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const proof = prove(cohort, collected);
    const first = answer(cohort, proof, [0])[0];
    const decoded = decodeSurvivorProof(proof);
    const other = encodeSurvivorProof({ ...decoded, signatures: decoded.signatures.slice(0, 4) });
    expect(refusal(() => askProof(cohort.members[0], other))).toBe('secagg/wrong-phase');
    expect(answer(cohort, proof, [0])[0]).toEqual(first);
  });

  it('asked for after a restart is refused: the shares are gone', () => {
    const cohort = aCohort({ participants: 3, threshold: 3 });
    const collected = collect(cohort);
    const proof = prove(cohort, collected);
    const restarted = aCohort({ participants: 3, threshold: 3, attempt: 2 }).members[0];
    expect(refusal(() => askProof(restarted, proof))).toBe('secagg/wrong-phase');
    expect(refusal(() => askSurvivors(restarted, collected.survivorList))).toBe('secagg/wrong-phase');
  });

  it('gives no second kind of share: the coordinator does not even read one', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort, { survivors: [0, 1, 2, 3] });
    const [honest] = answer(cohort, prove(cohort, collected), [0]);
    const message = decodeUnmaskShares(honest);
    const swapped = message.entries.map((entry): UnmaskEntry => {
      if (entry.kind === 'unusable' || entry.about !== 1) return entry;
      return { ...entry, kind: 'mask-key' };
    });
    const bent = answerBentBy(cohort.members[0], honest, () => swapped);
    const { crypto, terms } = cohort;
    expect(refusal(() => unmaskSharesCheck(crypto, terms, collected.view)(bent))).toBe('codec/malformed');
    const both = answerBentBy(cohort.members[0], honest, (entries) => [entries[0], entries[0], ...entries.slice(1)]);
    expect(refusal(() => unmaskSharesCheck(crypto, terms, collected.view)(both))).toBe('codec/malformed');
  });

  it('with a wrong share names the culprit and still finishes when t good ones remain', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const answers = answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]);
    answers[1] = answerBentBy(cohort.members[1], answers[1], (entries) =>
      entries.map((entry) =>
        entry.kind !== 'unusable' && entry.about === 3 ? { ...entry, share: new Uint8Array(33) } : entry,
      ),
    );
    const plan = recover(cohort, collected, answers);
    expect(plan.refused).toEqual([{ sender: 1, code: 'secagg/wrong-share' }]);
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
  });

  it('with wrong shares from too many says so and yields nothing', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const answers = answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]);
    for (const i of [1, 2]) {
      answers[i] = answerBentBy(cohort.members[i], answers[i], (entries) =>
        entries.map((entry) => (entry.kind === 'unusable' ? entry : { ...entry, share: new Uint8Array(33).fill(255) })),
      );
    }
    expect(recover(cohort, collected, answers)).toMatchObject({
      kind: 'too-few',
      refused: [
        { sender: 1, code: 'secagg/wrong-share' },
        { sender: 2, code: 'secagg/wrong-share' },
      ],
    });
  });

  it('counts no answer twice and none without its sender’s signature', () => {
    const cohort = aCohort({ participants: 5, threshold: 4 });
    const collected = collect(cohort);
    const answers = answer(cohort, prove(cohort, collected), [0, 1, 2]);
    const forged = answers[2].slice();
    forged[37] = 3; // claims to come from member 3
    const plan = recover(cohort, collected, [...answers, answers[0], forged]);
    expect(plan).toMatchObject({
      kind: 'too-few',
      accepted: [0, 1, 2],
      refused: [{ sender: 3, code: 'crypto/bad-signature' }],
    });
  });
});

function askKeyList(member: Member, list: Uint8Array): Uint8Array {
  return handleKeyList(member.parts, member.state, list).message;
}

function askDelivery(member: Member, delivery: Uint8Array): unknown {
  return handleShareDelivery(member.parts, member.state, delivery);
}

function askSurvivors(member: Member, list: Uint8Array): unknown {
  return handleSurvivorList(member.parts, member.state, list);
}

function askProof(member: Member, proof: Uint8Array): unknown {
  return handleSurvivorProof(member.parts, member.state, proof);
}

/** The honest key list, bent. */
function keyListWith(cohort: Cohort, bend: (keys: AdvertisedKeys) => AdvertisedKeys): Uint8Array {
  return encodeKeyList({ sid: cohort.terms.sid, keys: cohort.advertised.map(decodeAdvertiseKeys).map(bend) });
}

/** A delivery whose part of one dealer is bent. */
function deliveryWith(
  bytes: Uint8Array,
  dealer: number,
  bend: (delivered: DeliveredShares) => DeliveredShares,
): Uint8Array {
  const delivery = decodeShareDelivery(bytes);
  const dealers = delivery.dealers.map((delivered) => (delivered.dealer === dealer ? bend(delivered) : delivered));
  return encodeShareDelivery({ ...delivery, dealers });
}

/** Shares that a hostile member bends and signs again. */
function sharesBentBy(
  member: Member,
  bytes: Uint8Array,
  bend: (entry: ShareEntry, own: ShareKeys) => ShareEntry,
  sender = member.index,
): Uint8Array {
  const own = { ...decodeShareKeys(bytes), sender };
  const entries = own.entries.map((entry) => bend(entry, own));
  const hashes = entries.map((entry) => shareEntryHash(member.parts.crypto, own.sid, sender, entry));
  return encodeShareKeys({ ...own, entries, signature: member.parts.sign(shareKeysToSign(own, hashes)) });
}

/** An answer that a hostile member bends and signs again. */
function answerBentBy(
  member: Member,
  bytes: Uint8Array,
  bend: (entries: readonly UnmaskEntry[]) => readonly UnmaskEntry[],
): Uint8Array {
  const own = decodeUnmaskShares(bytes);
  const bent = { ...own, entries: bend(own.entries) };
  return encodeUnmaskShares({ ...bent, signature: member.parts.sign(unmaskSharesToSign(bent)) });
}
