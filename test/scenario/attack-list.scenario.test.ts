/**
 * The attack list of DESIGN.md section 4, row by row. Each test is named after its row and shows three things: the honest members
 * stop with a code that names the reason; nothing that the coordinator stored or received reveals anything; the next honest round
 * works. README.md in this folder says which tests besides these belong to a row, and which rows are tested in the client.
 */

import { beforeAll, describe, expect, it } from 'vitest';
import type { ProtocolErrorCode } from '../../protocol/src/errors.js';
import { checkNoWrap, quantize } from '../../protocol/src/encoding/quantize.js';
import { seededRandom } from '../../protocol/src/node/index.js';
import { clipToL2Norm } from '../../protocol/src/privacy/clip.js';
import { planDeliveries, planKeyList, planReveals } from '../../protocol/src/secagg/aggregator.js';
import { readCohort } from '../../protocol/src/secagg/cohort.js';
import {
  advertiseKeysToSign,
  decodeAdvertiseKeys,
  decodeConsistencySignature,
  decodeKeyList,
  decodeRevealList,
  decodeShareDelivery,
  decodeShareKeys,
  decodeSurvivorProof,
  decodeUnmaskShares,
  encodeAdvertiseKeys,
  encodeKeyList,
  encodeRevealList,
  encodeShareDelivery,
  encodeSurvivorList,
  encodeSurvivorProof,
  encodeUnmaskShares,
  shareEntryHash,
  unmaskSharesToSign,
  type AdvertisedKeys,
  type DeliveredShares,
  type ShareEntry,
} from '../../protocol/src/secagg/messages.js';
import {
  createMaskedInput,
  handleKeyList,
  handleRevealList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  type ParticipantState,
} from '../../protocol/src/secagg/participant.js';
import { toRawUpdate } from '../../protocol/src/update/raw.js';
import type { ClippedUpdate } from '../../protocol/src/update/stages.js';
import { fewMembers, HostileCoordinator, manyMembers, nextRoundWorks } from './hostile-coordinator.js';
import {
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
  type Collected,
  type Dealt,
  type Member,
} from './secagg-cohort.js';

const LOW_ORDER = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0));

/** The codes with which members refuse a message, each of them once. */
function codes(
  coordinator: HostileCoordinator,
  members: readonly Member[],
  ask: (member: Member) => unknown,
): ProtocolErrorCode[] {
  return [...new Set(members.map((member) => coordinator.stops(member, () => ask(member))))];
}

const askKeys = (list: Uint8Array) => (member: Member) => handleKeyList(member.parts, member.state, list);
const askShares = (delivery: Uint8Array) => (member: Member) =>
  handleShareDelivery(member.parts, member.state, delivery);
const askSurvivors = (list: Uint8Array) => (member: Member) => handleSurvivorList(member.parts, member.state, list);
const askProof = (proof: Uint8Array) => (member: Member) => handleSurvivorProof(member.parts, member.state, proof);

/** The key list of a cohort, bent. */
function keysWith(cohort: Cohort, bend: (keys: AdvertisedKeys) => AdvertisedKeys): Uint8Array {
  return encodeKeyList({ sid: cohort.terms.sid, keys: cohort.advertised.map(decodeAdvertiseKeys).map(bend) });
}

/** Keys of which one is of small order, signed by their hostile owner. */
function lowOrderKeys(cohort: Cohort, owner: number, field: 'encryptionKey' | 'maskKey'): AdvertisedKeys {
  const body = { ...decodeAdvertiseKeys(cohort.advertised[owner]), [field]: LOW_ORDER };
  return { ...body, signature: cohort.members[owner].parts.sign(advertiseKeysToSign(body)) };
}

/** A signed survivor proof made of signatures that members gave over whatever list they saw. */
function proofOf(cohort: Cohort, signatures: readonly Uint8Array[]): Uint8Array {
  return encodeSurvivorProof({
    sid: cohort.terms.sid,
    signatures: signatures
      .map(decodeConsistencySignature)
      .map(({ sender, signature }) => ({ signer: sender, signature })),
  });
}

/** A delivery whose part of one dealer has another entry, hashed anew where the coordinator lies about that, too. */
function deliveryWith(
  cohort: Cohort,
  bytes: Uint8Array,
  dealer: number,
  entry: ShareEntry,
  place: number,
): Uint8Array[] {
  const delivery = decodeShareDelivery(bytes);
  const bent = (bend: (delivered: DeliveredShares) => DeliveredShares): Uint8Array =>
    encodeShareDelivery({
      ...delivery,
      dealers: delivery.dealers.map((one) => (one.dealer === dealer ? bend(one) : one)),
    });
  const hash = shareEntryHash(cohort.crypto, cohort.terms.sid, dealer, entry);
  return [
    bent((delivered) => ({ ...delivered, entry })),
    bent((delivered) => ({
      ...delivered,
      entry,
      entryHashes: delivered.entryHashes.map((one, i) => (i === place ? hash : one)),
    })),
  ];
}

/** The answer of a hostile member with its share about one other replaced. */
function answerWithWrongShare(member: Member, bytes: Uint8Array, about: number): Uint8Array {
  const own = decodeUnmaskShares(bytes);
  const entries = own.entries.map((entry) =>
    entry.kind !== 'unusable' && entry.about === about ? { ...entry, share: new Uint8Array(33) } : entry,
  );
  return encodeUnmaskShares({ ...own, entries, signature: member.parts.sign(unmaskSharesToSign({ ...own, entries })) });
}

describe('attack', () => {
  it('key substitution', () => {
    for (const field of ['encryptionKey', 'maskKey'] as const) {
      const coordinator = new HostileCoordinator(fewMembers());
      const { cohort } = coordinator;
      const owned = cohort.crypto.x25519.publicKey(seededRandom('server')(32));
      const list = keysWith(cohort, (keys) => (keys.sender === 4 ? { ...keys, [field]: owned } : keys));
      expect(codes(coordinator, cohort.members.slice(0, 4), askKeys(list))).toEqual(['crypto/bad-signature']);
      expect(codes(coordinator, cohort.members.slice(4), askKeys(list))).toEqual(['secagg/wrong-session']);
      coordinator.nothingRevealed('nothing');
      nextRoundWorks(cohort);
    }
  });

  it('an added member', () => {
    const coordinator = new HostileCoordinator(fewMembers());
    const { cohort } = coordinator;
    const stranger = {
      sid: cohort.terms.sid,
      sender: 5,
      encryptionKey: cohort.crypto.x25519.publicKey(seededRandom('e')(32)),
      maskKey: cohort.crypto.x25519.publicKey(seededRandom('m')(32)),
    };
    const signature = cohort.crypto.ed25519.sign(seededRandom('stranger')(32), advertiseKeysToSign(stranger));
    const keys = [...cohort.advertised.map(decodeAdvertiseKeys), { ...stranger, signature }];
    const list = encodeKeyList({ sid: cohort.terms.sid, keys });
    // Six advertise now: the threshold of four still binds one colluder, so that it is the stranger who is refused.
    expect(codes(coordinator, cohort.members, askKeys(list))).toEqual(['secagg/not-in-roster']);
    const impostor = encodeKeyList({
      sid: cohort.terms.sid,
      keys: keys.slice(0, 4).concat({ ...stranger, sender: 4, signature }),
    });
    const again = new HostileCoordinator(fewMembers());
    expect(codes(again, again.cohort.members.slice(0, 4), askKeys(impostor))).toEqual(['crypto/bad-signature']);
    coordinator.nothingRevealed('nothing');
    again.nothingRevealed('nothing');
    nextRoundWorks(cohort);
  });

  it('low-order point', () => {
    for (const field of ['encryptionKey', 'maskKey'] as const) {
      const coordinator = new HostileCoordinator(fewMembers());
      const { cohort } = coordinator;
      const bent = lowOrderKeys(cohort, 4, field);
      const list = keysWith(cohort, (keys) => (keys.sender === 4 ? bent : keys));
      expect(codes(coordinator, cohort.members.slice(0, 4), askKeys(list))).toEqual(['crypto/low-order-point']);
      const honest = [...cohort.advertised.slice(0, 4), encodeAdvertiseKeys({ ...bent, sid: cohort.terms.sid })];
      expect(planKeyList(cohort.crypto, cohort.terms, honest).refused).toEqual([
        { sender: 4, code: 'crypto/low-order-point' },
      ]);
      coordinator.nothingRevealed('nothing');
      nextRoundWorks(cohort);
    }
  });

  it('the server asking for both kinds of share', () => {
    const { coordinator, collected } = afterUpload();
    const { cohort } = coordinator;
    const proof = prove(cohort, collected);
    coordinator.hearAnswers(...answer(cohort, proof, [0, 1, 2, 3, 4]));
    // It has the self mask of member 4. Now it says that 4 dropped, to get the key of its pairwise masks as well.
    const without = encodeSurvivorList({ sid: cohort.terms.sid, survivors: [0, 1, 2, 3] });
    const { sid, signatures } = decodeSurvivorProof(proof);
    const fewer = encodeSurvivorProof({ sid, signatures: signatures.slice(0, 4) });
    expect(codes(coordinator, cohort.members, askSurvivors(without))).toEqual(['secagg/wrong-phase']);
    expect(codes(coordinator, cohort.members, askProof(fewer))).toEqual(['secagg/wrong-phase']);
    coordinator.nothingRevealed('the sum');
    nextRoundWorks(cohort);
  });

  it('the server asking twice', () => {
    const { coordinator, collected } = afterUpload();
    const { cohort } = coordinator;
    const proof = prove(cohort, collected);
    const first = answer(cohort, proof, [0, 1, 2, 3, 4]);
    coordinator.hearAnswers(...first, ...answer(cohort, proof, [0, 1, 2, 3, 4]));
    expect(answer(cohort, proof, [0, 1, 2, 3, 4])).toEqual(first);
    const { sid, signatures } = decodeSurvivorProof(proof);
    const other = encodeSurvivorProof({ sid, signatures: signatures.slice(1) });
    expect(codes(coordinator, cohort.members, askProof(other))).toEqual(['secagg/wrong-phase']);
    coordinator.nothingRevealed('the sum');
    nextRoundWorks(cohort);
  });

  it('the server asking after a restart', () => {
    const { coordinator, collected } = afterUpload();
    const { cohort } = coordinator;
    const proof = prove(cohort, collected);
    // A restarted member has forgotten its secrets; that it starts no session twice is on its disk, and tested in the client.
    const restarted = fewMembers({ attempt: 2 });
    for (const ask of [askSurvivors(collected.survivorList), askProof(proof)]) {
      expect([...new Set(restarted.members.map((member) => refusal(() => ask(member))))]).toEqual([
        'secagg/wrong-phase',
      ]);
    }
    expect([...new Set(restarted.members.map((member) => refusal(() => askKeys(collected.keyList)(member))))]).toEqual([
      'secagg/wrong-session',
    ]);
    coordinator.nothingRevealed('nothing');
    nextRoundWorks(cohort);
  });

  it('two survivor lists', () => {
    const { coordinator, collected } = afterUpload();
    const { cohort } = coordinator;
    const without = encodeSurvivorList({ sid: cohort.terms.sid, survivors: [0, 1, 2, 3] });
    const signatures = cohort.members.slice(0, 4).map((member) => {
      const list = member.index < 2 ? collected.survivorList : without;
      return apply(member, handleSurvivorList(member.parts, member.state, list));
    });
    coordinator.hear(...signatures);
    const proof = proofOf(cohort, signatures);
    expect(codes(coordinator, cohort.members.slice(0, 4), askProof(proof))).toEqual(['secagg/survivors-differ']);
    coordinator.nothingRevealed('nothing');
    nextRoundWorks(cohort);
  });

  it('two base adapters in one round', () => {
    const coordinator = new HostileCoordinator(fewMembers());
    const { cohort } = coordinator;
    const victim = new HostileCoordinator(fewMembers({ baseVersion: 'adapter-evil' }));
    const foreign = decodeAdvertiseKeys(victim.cohort.advertised[0]);
    const list = keysWith(cohort, (keys) => (keys.sender === 0 ? { ...foreign } : keys));
    expect(codes(coordinator, cohort.members.slice(1), askKeys(list))).toEqual(['crypto/bad-signature']);
    expect(codes(victim, victim.cohort.members.slice(0, 1), askKeys(list))).toEqual(['secagg/wrong-session']);
    coordinator.nothingRevealed('nothing');
    victim.nothingRevealed('nothing');
    nextRoundWorks(cohort);
  });

  it('tiny cohort', () => {
    const coordinator = new HostileCoordinator(fewMembers());
    const { cohort } = coordinator;
    const { sid } = cohort.terms;
    const keys = cohort.advertised.map(decodeAdvertiseKeys).slice(0, 3);
    expect(codes(coordinator, cohort.members.slice(0, 3), askKeys(encodeKeyList({ sid, keys })))).toEqual([
      'secagg/cohort-too-small',
    ]);
    coordinator.nothingRevealed('nothing');

    const later = new HostileCoordinator(fewMembers());
    const shared = shareKeys(later.cohort);
    later.hear(...shared.shareMessages);
    const deliveries = ready(planDeliveries(cohort.crypto, cohort.terms, shared.keyList, shared.shareMessages));
    const few = (member: Member): unknown => {
      const delivery = decodeShareDelivery(deliveries.messageFor(member.index));
      return askShares(encodeShareDelivery({ ...delivery, dealers: delivery.dealers.slice(0, 3) }))(member);
    };
    expect(codes(later, later.cohort.members.slice(0, 3), few)).toEqual(['secagg/cohort-too-small']);
    later.nothingRevealed('nothing');

    const { coordinator: last } = afterUpload();
    const survivors = encodeSurvivorList({ sid, survivors: [0, 1, 2] });
    expect(codes(last, last.cohort.members.slice(0, 3), askSurvivors(survivors))).toEqual(['secagg/cohort-too-small']);
    last.nothingRevealed('nothing');
    nextRoundWorks(cohort);
  });

  it('reused seeds', () => {
    // Keys of an earlier round, shown again so that masks repeat: they are signed for another session.
    const before = afterUpload();
    const coordinator = new HostileCoordinator(fewMembers({ round: 3 }));
    const { cohort } = coordinator;
    const old = decodeKeyList(before.collected.keyList).keys;
    for (const member of cohort.members) {
      const list = keysWith(cohort, (keys) => (keys.sender === member.index ? keys : old[keys.sender]));
      expect(codes(coordinator, [member], askKeys(list))).toEqual(['crypto/bad-signature']);
    }
    // A second vector under the masks of the first: they were wiped with it.
    const again = fewMembers({ round: 3 });
    deal(again);
    for (const member of again.members) {
      const { state } = member;
      apply(member, createMaskedInput(member.parts, state, noised(member.levels)));
      expect(refusal(() => createMaskedInput(member.parts, member.state, noised(member.levels)))).toBe(
        'secagg/wrong-phase',
      );
      expect(refusal(() => createMaskedInput(member.parts, state, noised(member.levels)))).toBe('secret/wiped');
    }
    coordinator.nothingRevealed('nothing');
    before.coordinator.nothingRevealed('nothing');
    nextRoundWorks(cohort);
  });

  it('reflected, misrouted or replayed shares', () => {
    const earlier = shareKeys(fewMembers({ attempt: 2 }));
    for (const attack of ['reflected', 'misrouted', 'replayed'] as const) {
      const coordinator = new HostileCoordinator(fewMembers());
      const { cohort } = coordinator;
      const { keyList, shareMessages } = shareKeys(cohort);
      coordinator.hear(...shareMessages);
      const deliveries = ready(planDeliveries(cohort.crypto, cohort.terms, keyList, shareMessages));
      const entryFor = ({ index }: Member, dealer: number): ShareEntry => {
        const own = decodeShareKeys(shareMessages[index]).entries[dealer];
        const other = decodeShareKeys(shareMessages[dealer]).entries[(index + 1) % 5];
        const old = decodeShareKeys(earlier.shareMessages[dealer]).entries[index];
        return { ...{ reflected: own, misrouted: other, replayed: old }[attack], receiver: index };
      };
      const found = codes(coordinator, cohort.members, (member) => {
        const dealer = (member.index + 2) % 5;
        const delivery = deliveries.messageFor(member.index);
        const [plain, rehashed] = deliveryWith(cohort, delivery, dealer, entryFor(member, dealer), member.index);
        expect(refusal(() => askShares(rehashed)(member))).toBe('crypto/bad-signature');
        return askShares(plain)(member);
      });
      expect(found).toEqual(['crypto/bad-signature']);
      coordinator.nothingRevealed('nothing');
      nextRoundWorks(cohort);
    }
  });

  it('a wrong share: its sender is named and the round still finishes while t good ones remain', () => {
    const { coordinator, collected } = afterUpload();
    const { cohort } = coordinator;
    const answers = answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]);
    answers[1] = answerWithWrongShare(cohort.members[1], answers[1], 3);
    coordinator.hearAnswers(...answers);
    const plan = recover(cohort, collected, answers);
    expect(plan.refused).toEqual([{ sender: 1, code: 'secagg/wrong-share' }]);
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
    coordinator.nothingRevealed('the sum');

    // With fewer than t good ones the sum stays hidden.
    answers[2] = answerWithWrongShare(cohort.members[2], answers[2], 3);
    expect(recover(cohort, collected, answers)).toMatchObject({
      kind: 'too-few',
      refused: [
        { sender: 1, code: 'secagg/wrong-share' },
        { sender: 2, code: 'secagg/wrong-share' },
      ],
    });
    nextRoundWorks(cohort);
  });

  it('overflow by extreme vectors', () => {
    // Terms under which honest sums could wrap are refused by everyone; an extreme vector of our own is clipped or refused.
    const terms = { maximumUnits: 5, l2SensitivityPerUnit: 1, totalStddevInSteps: 1000 };
    expect(() => checkNoWrap({ ...terms, stepsPerUnit: 2 ** 28 })).not.toThrow();
    expect(refusal(() => checkNoWrap({ ...terms, stepsPerUnit: 2 ** 29 }))).toBe('manifest/invalid');
    const extreme = clipToL2Norm(toRawUpdate(Float64Array.of(1e300, -1e300, 5e-324)), 1);
    expect(Math.hypot(...extreme.values)).toBeLessThanOrEqual(1);
    expect(refusal(() => clipToL2Norm(toRawUpdate(Float64Array.of(Infinity)), 1))).toBe('update/not-finite');
    const unclipped = { values: Float64Array.of(2 ** 31), l2Sensitivity: 2 ** 31, contributors: 1 } as ClippedUpdate;
    expect(refusal(() => quantize(unclipped, 1))).toBe('update/over-bound');

    // A hostile member that sends the largest levels moves the sum by them, and learns and shows nothing of the others.
    const coordinator = new HostileCoordinator(fewMembers());
    const { cohort } = coordinator;
    cohort.members[4].levels.forEach((_, i, levels) => {
      levels[i] = i % 2 === 0 ? 2 ** 31 - 1 : -(2 ** 31);
    });
    const collected = collect(cohort);
    coordinator.hear(...collected.shareMessages, ...collected.receipts);
    coordinator.hearWords(cohort.members);
    const answers = answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]);
    coordinator.hearAnswers(...answers);
    const sum = unmaskedSum(cohort, collected, recover(cohort, collected, answers));
    const rest = sum.map((level, i) => level - cohort.members[4].levels[i]); // Int32Array stores modulo 2^32
    expect(rest).toEqual(plainSum(cohort, [0, 1, 2, 3]));
    coordinator.nothingRevealed('the sum');
    nextRoundWorks(cohort);
  });

  it('the watching itself: a coordinator that did get too much is found out', () => {
    const { coordinator, collected } = afterUpload();
    const { cohort } = coordinator;
    const answers = answer(cohort, prove(cohort, collected), [0, 1, 2, 3, 4]);
    coordinator.hearAnswers(...answers);
    coordinator.nothingRevealed('the sum');
    expect(() => coordinator.nothingRevealed('nothing')).toThrow();
    const bothKinds = answers.map((bytes) => {
      const own = decodeUnmaskShares(bytes);
      return encodeUnmaskShares({
        ...own,
        entries: own.entries.map((entry) =>
          entry.kind === 'unusable' ? entry : { ...entry, kind: 'mask-key' as const },
        ),
      });
    });
    coordinator.hearAnswers(...bothKinds);
    expect(() => coordinator.nothingRevealed('the sum')).toThrow();
    const leaky = new HostileCoordinator(fewMembers());
    const { state } = leaky.cohort.members[0];
    if (state.phase === 'advertised') leaky.hear(new Uint8Array([1, ...state.maskSecret.reveal(), 2]));
    expect(() => leaky.nothingRevealed('nothing')).toThrow();
    const open = new HostileCoordinator(fewMembers());
    open.hear(new Uint8Array(open.cohort.members[2].levels.slice().buffer));
    expect(() => open.nothingRevealed('nothing')).toThrow();
  });
});

/** A round on the complete graph whose members have uploaded to a coordinator that keeps everything. */
function afterUpload(): { readonly coordinator: HostileCoordinator; readonly collected: Collected } {
  const coordinator = new HostileCoordinator(fewMembers());
  const { cohort } = coordinator;
  const { keyList, shareMessages } = shareKeys(cohort);
  coordinator.hear(...shareMessages);
  const dealt = deliver(cohort, keyList, shareMessages);
  coordinator.hear();
  const collected = upload(cohort, dealt);
  coordinator.hear(...collected.receipts);
  coordinator.hearWords(cohort.members);
  return { coordinator, collected };
}

/**
 * The rows that a graph changes: lists and shares are bound to two lists, and only neighbours hold shares. One round of 140 gives
 * the states that each attack starts from; a step does not change the state that it is given.
 */
describe('attack over a graph', () => {
  let cohort: Cohort;
  let coordinator: HostileCoordinator;
  let dealt: Dealt;
  let collected: Collected;
  /** Every member's state in a phase. */
  const states = new Map<ParticipantState['phase'], ParticipantState[]>();
  const keep = (): void => {
    states.set(
      cohort.members[0].state.phase,
      cohort.members.map(({ state }) => state),
    );
  };
  const at = (phase: ParticipantState['phase'], index: number): [Member['parts'], ParticipantState] => [
    cohort.members[index].parts,
    states.get(phase)![index],
  ];

  beforeAll(() => {
    cohort = manyMembers();
    coordinator = new HostileCoordinator(cohort);
    keep();
    // Nothing is wiped, so that each attack may start from any phase.
    const step = (member: Member, next: { state: ParticipantState; message?: Uint8Array }): Uint8Array => {
      member.state = next.state;
      return next.message ?? new Uint8Array(0);
    };
    const keyList = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
    const reveals = cohort.members.map((member) => step(member, handleKeyList(member.parts, member.state, keyList)));
    const revealList = ready(planReveals(cohort.crypto, cohort.terms, keyList, reveals));
    keep();
    coordinator.hear(...reveals);
    const shareMessages = cohort.members.map((member) =>
      step(member, handleRevealList(member.parts, member.state, revealList)),
    );
    keep();
    coordinator.hear(...shareMessages);
    const plan = planDeliveries(cohort.crypto, cohort.terms, keyList, shareMessages, revealList);
    for (const member of cohort.members) {
      step(member, handleShareDelivery(member.parts, member.state, ready(plan).messageFor(member.index)));
    }
    keep();
    coordinator.hear();
    dealt = { keyList, revealList, shareMessages, sharers: plan.accepted };
    const receipts: Uint8Array[] = [];
    for (const member of cohort.members) {
      const masked = createMaskedInput(member.parts, member.state, noised(member.levels));
      member.masked = masked.masked;
      receipts.push(step(member, masked));
    }
    coordinator.hear(...receipts);
    keep();
    coordinator.hearWords(cohort.members);
    const survivors = cohort.members.map(({ index }) => index);
    const survivorList = encodeSurvivorList({ sid: cohort.terms.sid, survivors });
    collected = {
      ...dealt,
      receipts,
      survivorList,
      view: { keyList, revealList, sharers: dealt.sharers, survivors },
    };
  });

  const failsClosed = (recovers: 'nothing' | 'the sum' = 'nothing'): void => {
    coordinator.nothingRevealed(recovers);
    nextRoundWorks(cohort);
  };

  it('an added member', () => {
    const list = decodeRevealList(dealt.revealList!);
    const strange = [...list.revealed.slice(0, 139), { ...list.revealed[139], sender: 140 }];
    const bent = encodeRevealList({ ...list, revealed: strange });
    for (const i of [0, 70, 138])
      expect(refusal(() => handleRevealList(...at('revealed', i), bent))).toBe('secagg/not-in-roster');
    failsClosed();
  });

  it('low-order point: whoever would share a mask with it refuses', () => {
    const bent = lowOrderKeys(cohort, 139, 'maskKey');
    const list = keysWith(cohort, (keys) => (keys.sender === 139 ? bent : keys));
    const reveals = cohort.members.map(({ index }) => {
      if (index < 139) return handleKeyList(...at('advertised', index), list);
      return undefined;
    });
    const shown = reveals.flatMap((step) => (step === undefined ? [] : [step.message]));
    const revealList = ready(planReveals(cohort.crypto, cohort.terms, list, shown));
    // Its owner shows nothing and is left out by the terms' `silent`: nobody meets the key.
    expect(() => handleRevealList(cohort.members[0].parts, reveals[0]!.state, revealList)).not.toThrow();
    // The hostile owner shows what it committed to, for this list.
    const own = handleKeyList(
      cohort.members[139].parts,
      // Its state with the keys that it advertised.
      { ...(at('advertised', 139)[1] as object), own: bent } as ParticipantState,
      list,
    );
    const whole = ready(planReveals(cohort.crypto, cohort.terms, list, [...shown, own.message]));
    const { graph } = readCohort(cohort.terms, list, whole);
    const neighbours = graph.holdersOf(139).filter((index) => index !== 139);
    expect(neighbours).toHaveLength(40);
    for (const i of neighbours.slice(0, 8)) {
      expect(refusal(() => handleRevealList(cohort.members[i].parts, reveals[i]!.state, whole))).toBe(
        'crypto/low-order-point',
      );
    }
    failsClosed();
  });

  it('tiny cohort: more silent members than the terms allow, or fewer survivors than the threshold', () => {
    const list = decodeRevealList(dealt.revealList!);
    const few = encodeRevealList({ ...list, revealed: list.revealed.slice(0, 138) });
    const survivors = encodeSurvivorList({
      sid: cohort.terms.sid,
      survivors: list.revealed.slice(0, 99).map(({ sender }) => sender),
    });
    for (const i of [0, 50, 98]) {
      expect(refusal(() => handleRevealList(...at('revealed', i), few))).toBe('secagg/cohort-too-small');
      expect(refusal(() => handleSurvivorList(...at('masked', i), survivors))).toBe('secagg/cohort-too-small');
    }
    failsClosed();
  });

  it('reused seeds: randomness is shown for one key list, and lists of an earlier start are refused', () => {
    const before = manyMembers({ attempt: 2 });
    const old = ready(planKeyList(before.crypto, before.terms, before.advertised));
    const fewer = encodeKeyList({
      sid: cohort.terms.sid,
      keys: cohort.advertised.slice(0, 139).map(decodeAdvertiseKeys),
    });
    for (const i of [0, 80]) {
      expect(refusal(() => handleKeyList(...at('advertised', i), old))).toBe('secagg/wrong-session');
      expect(refusal(() => handleKeyList(...at('revealed', i), fewer))).toBe('secagg/wrong-phase');
    }
    failsClosed();
  });

  it('reflected, misrouted or replayed shares', () => {
    const { graph } = readCohort(cohort.terms, dealt.keyList, dealt.revealList);
    const plan = ready(
      planDeliveries(cohort.crypto, cohort.terms, dealt.keyList, dealt.shareMessages, dealt.revealList),
    );
    for (const i of [0, 99]) {
      const dealer = graph.holdersOf(i).find((holder) => holder !== i)!;
      const place = graph.holdersOf(dealer).indexOf(i);
      const other = decodeShareKeys(dealt.shareMessages[dealer]).entries.find(({ receiver }) => receiver !== i)!;
      const own = decodeShareKeys(dealt.shareMessages[i]).entries.find(({ receiver }) => receiver === dealer)!;
      for (const entry of [other, own]) {
        const bent = deliveryWith(cohort, plan.messageFor(i), dealer, { ...entry, receiver: i }, place);
        for (const delivery of bent) {
          expect(refusal(() => handleShareDelivery(...at('shared', i), delivery))).toBe('crypto/bad-signature');
        }
      }
    }
    failsClosed();
  });

  it('two survivor lists', () => {
    const { survivors } = collected.view;
    const fewer = encodeSurvivorList({ sid: cohort.terms.sid, survivors: survivors.slice(0, 139) });
    const signatures = survivors.slice(0, 139).map((i) => {
      const { message } = handleSurvivorList(...at('masked', i), i % 2 === 0 ? collected.survivorList : fewer);
      coordinator.hear(message);
      return message;
    });
    const proof = proofOf(cohort, signatures);
    for (const i of [0, 1, 77]) {
      const signed = handleSurvivorList(...at('masked', i), i % 2 === 0 ? collected.survivorList : fewer).state;
      expect(refusal(() => handleSurvivorProof(cohort.members[i].parts, signed, proof))).toBe(
        'secagg/survivors-differ',
      );
      const other = i % 2 === 0 ? fewer : collected.survivorList;
      expect(refusal(() => handleSurvivorList(cohort.members[i].parts, signed, other))).toBe('secagg/wrong-phase');
    }
    failsClosed();
  });

  it('the server asking for both kinds of share, and twice; a wrong share', () => {
    const { survivors } = collected.view;
    for (const member of cohort.members) member.state = at('masked', member.index)[1];
    const proof = prove(cohort, collected);
    const answers = answer(cohort, proof, survivors);
    answers[1] = answerWithWrongShare(cohort.members[1], answers[1], decodeUnmaskShares(answers[1]).entries[0].about);
    coordinator.hearAnswers(...answers);
    const plan = recover(cohort, collected, answers);
    expect(plan.refused).toEqual([{ sender: 1, code: 'secagg/wrong-share' }]);
    expect(unmaskedSum(cohort, collected, plan)).toEqual(plainSum(cohort));
    const without = encodeSurvivorList({ sid: cohort.terms.sid, survivors: survivors.slice(0, 139) });
    const { sid, signatures } = decodeSurvivorProof(proof);
    const other = encodeSurvivorProof({ sid, signatures: signatures.slice(0, 120) });
    for (const { parts, state } of cohort.members.slice(0, 139)) {
      expect(refusal(() => handleSurvivorList(parts, state, without))).toBe('secagg/wrong-phase');
      expect(refusal(() => handleSurvivorProof(parts, state, other))).toBe('secagg/wrong-phase');
    }
    failsClosed('the sum');
  });
});
