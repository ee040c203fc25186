/** Known answers of secure aggregation: derivations, shares, every message of a round, and the graph. */

import { toHex } from '../../protocol/src/bytes/hex.js';
import { utf8 } from '../../protocol/src/bytes/utf8.js';
import { Writer } from '../../protocol/src/bytes/writer.js';
import { nodeProvider as crypto, seededRandom } from '../../protocol/src/node/index.js';
import { domains } from '../../protocol/src/primitives/domains.js';
import { hashTagged, tagged } from '../../protocol/src/primitives/hash.js';
import { deriveKey } from '../../protocol/src/primitives/kdf.js';
import type { RandomSource } from '../../protocol/src/random.js';
import {
  planDeliveries,
  planKeyList,
  planSurvivorProof,
  planSurvivors,
  planUnmasking,
} from '../../protocol/src/secagg/aggregator.js';
import { graphCommitment, graphSeed, hararyGraph } from '../../protocol/src/secagg/graph.js';
import {
  pairwiseMaskSeed,
  selfMaskKey,
  unmask,
  wordsToBytes,
  emptyMaskedSum,
  sumMaskedInto,
} from '../../protocol/src/secagg/masks.js';
import {
  advertiseKeysToSign,
  decodeShareKeys,
  encodeAdvertiseKeys,
  encodeKeyList,
  encodeRevealList,
  encodeRevealRandomness,
  encodeShareDelivery,
  graphCohortHash,
  indices,
  keyListHash,
  revealRandomnessToSign,
  seedCommitment,
  shareCommitment,
  shareEntryHash,
  shareKeysToSign,
  survivorsHash,
} from '../../protocol/src/secagg/messages.js';
import {
  createAdvertise,
  createMaskedInput,
  handleKeyList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  type ParticipantParts,
  type ParticipantState,
  type SilentStep,
} from '../../protocol/src/secagg/participant.js';
import { FIRST_PREVIOUS_SID, sessionId, type SecaggTerms } from '../../protocol/src/secagg/session.js';
import { combine, FIELD_PRIME, split } from '../../protocol/src/sharing/shamir.js';
import type { MaskedUpdate, NoisedUpdate } from '../../protocol/src/update/stages.js';
import { ready } from '../scenario/secagg-cohort.js';
import { counting, inHex, type VectorFile } from './vector-file.js';

const PROGRAM = 'secagg-vectors.ts';

const origin = {
  manifestHash: counting(0x10),
  rosterHash: counting(0x30),
  runId: 'run-1',
  round: 7,
  baseVersion: 'c0ffee'.padEnd(40, '0'),
  previousSid: counting(0x50),
};
const sid = sessionId(origin);

/** An X25519 key pair whose secret counts up. */
function keyPair(first: number): { readonly secret: Uint8Array; readonly publicKey: Uint8Array } {
  const secret = counting(first);
  return { secret, publicKey: crypto.x25519.publicKey(secret) };
}

function hashing(): VectorFile {
  const parts = [[], [utf8('')], [utf8('a'), utf8('bc')], [utf8('ab'), utf8('c')], [counting(0, 300)]];
  return {
    family: 'hashing',
    description:
      'tagged(domain, parts), its SHA-256 H, and KDF(secret, domain, context) = HKDF-SHA-256 with salt sid and info tagged(domain, context). Two rows differ only in where a part ends.',
    spec: '3.1, 3.3',
    program: PROGRAM,
    content: {
      tagged: parts.map((row) =>
        inHex({
          domain: domains.keyList,
          parts: row,
          tagged: tagged(domains.keyList, ...row),
          hash: hashTagged(domains.keyList, ...row),
        }),
      ),
      derived: [[], [indices([1, 2])], [indices([2, 1])], [indices([1, 2]), counting(9)]].map((context) =>
        inHex({
          secret: counting(0x70),
          sid,
          domain: domains.sealShares,
          context,
          key: deriveKey(counting(0x70), sid, domains.sealShares, ...context),
        }),
      ),
    },
  };
}

function session(): VectorFile {
  const first = { ...origin, round: 1, previousSid: FIRST_PREVIOUS_SID };
  return {
    family: 'session',
    description: 'The session id of a round. The first row is the first round of a run.',
    spec: '4.1',
    program: PROGRAM,
    content: { rows: [first, origin].map((row) => inHex({ ...row, sid: sessionId(row) })) },
  };
}

function masks(): VectorFile {
  const [low, high] = [
    { index: 3, mask: keyPair(1), encryption: keyPair(0x41) },
    { index: 12, mask: keyPair(0x81), encryption: keyPair(0xc1) },
  ];
  const shared = crypto.x25519.sharedSecret(low.mask.secret, high.mask.publicKey);
  const sealing = crypto.x25519.sharedSecret(low.encryption.secret, high.encryption.publicKey);
  const sealKey = (from: typeof low, to: typeof low): Uint8Array =>
    deriveKey(
      sealing,
      sid,
      domains.sealShares,
      indices([from.index, to.index]),
      from.encryption.publicKey,
      to.encryption.publicKey,
    );
  const shares = { selfMask: counting(0x00, 33), maskKey: counting(0x01, 33).fill(0, 0, 1) };
  const nonce = counting(0xe0, 24);
  const plaintext = new Writer()
    .raw(sid)
    .u16(low.index)
    .u16(high.index)
    .raw(shares.selfMask)
    .raw(shares.maskKey)
    .finish();
  const pairSeed = pairwiseMaskSeed(
    shared,
    sid,
    { index: low.index, maskKey: low.mask.publicKey },
    { index: high.index, maskKey: high.mask.publicKey },
  );
  const selfSeed = counting(0x22);
  const selfKey = selfMaskKey(selfSeed, sid, low.index);
  const maskOf = (key: Uint8Array, words: number, firstWord = 0): number[] => {
    const target = new Uint32Array(words);
    crypto.addMask(target, key, 1, firstWord);
    return [...target];
  };
  return {
    family: 'masks',
    description:
      'Between participants 3 and 12: sealing keys of both directions and one sealed box (nonce and secretbox); the pairwise mask seed; the self mask of 3. Masks as their first words, and five words from word 100 on.',
    spec: '5.2, 5.3',
    program: PROGRAM,
    content: inHex({
      sid,
      low,
      high,
      sealing: {
        sharedSecret: sealing,
        keyLowToHigh: sealKey(low, high),
        keyHighToLow: sealKey(high, low),
        nonce,
        plaintext,
        box: new Writer()
          .raw(nonce)
          .raw(crypto.seal(sealKey(low, high), nonce, plaintext))
          .finish(),
      },
      pairwise: {
        sharedSecret: shared,
        seed: pairSeed,
        words: maskOf(pairSeed, 8),
        wordsFrom100: maskOf(pairSeed, 5, 100),
      },
      self: { seed: selfSeed, key: selfKey, words: maskOf(selfKey, 8) },
    }) as Record<string, unknown>,
  };
}

/** Gives prepared answers, one a call. */
function prepared(answers: readonly Uint8Array[]): RandomSource {
  let at = 0;
  return (byteLength) => {
    const answer = answers[at++];
    if (answer?.length !== byteLength) throw new Error(`A draw of ${byteLength} bytes was not prepared.`);
    return answer.slice();
  };
}

function sharing(): VectorFile {
  const rows = [
    { secret: new Uint8Array(32).fill(255), threshold: 1, xs: [1, 2], coefficients: [] },
    { secret: counting(1), threshold: 2, xs: [1, 2, 3], coefficients: [counting(0x00, 33)] },
    {
      secret: new Uint8Array(32),
      threshold: 3,
      xs: [1, 5, 128, 4096],
      // 1 followed by zeros is 2^256, over every secret and under the prime.
      coefficients: [Uint8Array.of(1, ...new Uint8Array(32)), counting(0x00, 33)],
    },
  ];
  return {
    family: 'sharing',
    description:
      'Shamir shares of secrets with given coefficients (of X, X^2, ...; 33 bytes big-endian): share i is the value at xs[i]. `recovered` is from the last `threshold` shares.',
    spec: '5.1',
    program: PROGRAM,
    content: {
      prime: FIELD_PRIME.toString(),
      rows: rows.map((row) => {
        const shares = split(row.secret, row, prepared(row.coefficients));
        const recovered = combine(shares.slice(-row.threshold), row.threshold);
        return inHex({ ...row, shares: shares.map(({ bytes }) => bytes), recovered });
      }),
    },
  };
}

function commitments(): VectorFile {
  const share = counting(0x00, 33);
  const of = { sid, dealer: 2, receiver: 258 } as const;
  return {
    family: 'commitments',
    description: 'Commitments to shares of both kinds, to a self-mask seed, and to randomness for the graph.',
    spec: '5.4, 10.2',
    program: PROGRAM,
    content: inHex({
      share: {
        ...of,
        share,
        selfMask: shareCommitment(crypto, { ...of, kind: 'self-mask' }, share),
        maskKey: shareCommitment(crypto, { ...of, kind: 'mask-key' }, share),
      },
      seed: { sid, dealer: 2, seed: counting(7), commitment: seedCommitment(sid, 2, counting(7)) },
      graph: { sid, sender: 300, randomness: counting(9), commitment: graphCommitment(sid, 300, counting(9)) },
    }) as Record<string, unknown>,
  };
}

const identitySeeds = [0, 1, 2, 3].map((i) => counting(0x11 * (i + 1)));

/** A participant of the round, with the random bytes that it drew. */
interface VectorMember {
  readonly index: number;
  readonly seed: Uint8Array;
  readonly parts: ParticipantParts;
  readonly draws: readonly string[];
  readonly levels: Int32Array;
  readonly advertised: Uint8Array;
  state: ParticipantState;
}

/** A whole round of four, of whom 3 drops out after sharing. */
function round(): VectorFile {
  const terms: SecaggTerms = {
    sid,
    threshold: 3,
    minContributors: 3,
    assumedColluders: 1,
    members: identitySeeds.map((seed, index) => ({ index, identity: crypto.ed25519.publicKey(seed) })),
    length: 6,
  };
  const members = identitySeeds.map((seed, index): VectorMember => {
    const source = seededRandom(`vectors/member/${index}`);
    const draws: string[] = [];
    const parts: ParticipantParts = {
      crypto,
      sign: (message) => crypto.ed25519.sign(seed, message),
      random: (byteLength) => {
        const bytes = source(byteLength);
        draws.push(toHex(bytes));
        return bytes;
      },
    };
    const { state, message } = createAdvertise(parts, terms, index);
    const levels = Int32Array.from(
      { length: terms.length },
      (_, i) => (index + 1) * (i % 2 === 0 ? 1000 + i : -70_000 * i),
    );
    return { index, seed, parts, draws, levels, advertised: message, state };
  });
  const step = (member: VectorMember, result: SilentStep & { readonly message?: Uint8Array }): Uint8Array => {
    member.state = result.state;
    return result.message ?? new Uint8Array(0);
  };
  const survivors = members.slice(0, 3);

  const keyList = ready(
    planKeyList(
      crypto,
      terms,
      members.map(({ advertised }) => advertised),
    ),
  );
  const shareKeys = members.map((one) => step(one, handleKeyList(one.parts, one.state, keyList)));
  const deliveries = ready(planDeliveries(crypto, terms, keyList, shareKeys));
  const delivered = members.map((one) => {
    const message = deliveries.messageFor(one.index);
    step(one, handleShareDelivery(one.parts, one.state, message));
    return message;
  });
  const masked: MaskedUpdate[] = [];
  const receipts = survivors.map((one) => {
    const result = createMaskedInput(one.parts, one.state, { levels: one.levels } as NoisedUpdate);
    masked.push(result.masked);
    return step(one, result);
  });
  const sharers = [0, 1, 2, 3];
  const survivorList = ready(planSurvivors(crypto, terms, sharers, receipts));
  const view = { keyList, sharers, survivors: [0, 1, 2] };
  const signatures = survivors.map((one) => step(one, handleSurvivorList(one.parts, one.state, survivorList)));
  const proof = ready(planSurvivorProof(crypto, terms, view, signatures));
  const answers = survivors.map((one) => step(one, handleSurvivorProof(one.parts, one.state, proof)));
  const plan = planUnmasking(crypto, terms, view, shareKeys, answers);
  const sum = emptyMaskedSum(terms.length);
  for (const { words } of masked) sumMaskedInto(sum, words);
  const hash = keyListHash(keyList);

  return {
    family: 'round',
    description:
      'A round of four (t = 3, m = 3, c = 1, d = 6); participant 3 drops out after sharing. Every message, whole. `draws` are the random bytes that a participant used, in order: encryption secret, mask secret, self-mask seed, two coefficients for its shares, two for those of the mask secret (33 bytes, of which the first keeps its lowest bit; one that is not below the prime is drawn again), and a nonce for each receiver.',
    spec: '5, 6, 7, 8',
    program: PROGRAM,
    content: inHex({
      sid,
      members: members.map(({ index, seed, draws, levels }) => ({
        index,
        identitySeed: seed,
        identity: crypto.ed25519.publicKey(seed),
        draws,
        levels: [...levels],
      })),
      messages: {
        advertiseKeys: members.map(({ advertised }) => advertised),
        keyList,
        shareKeys,
        shareDelivery: delivered,
        maskedInput: receipts,
        survivorList,
        consistencySignature: signatures,
        survivorProof: proof,
        unmaskShares: answers,
      },
      keyListHash: hash,
      entryHashesOf0: decodeShareKeys(shareKeys[0]).entries.map((entry) => shareEntryHash(crypto, sid, 0, entry)),
      survivorsHash: survivorsHash({ sid, keyListHash: hash, sharers, survivors: view.survivors }),
      words: masked.map(({ words }) => wordsToBytes(words)),
      masksLeftInTheSum: ready(plan).masks.map(({ seed, sign }) => ({ seed, sign })),
      sum: [...unmask(crypto, sum, ready(plan).masks).levels],
    }) as Record<string, unknown>,
  };
}

/** The circle, and the messages that only sessions with a graph have. Their form does not depend on how many take part. */
function graph(): VectorFile {
  const senders = [0, 2, 5, 129, 300, 301, 4095];
  const members = senders.map((sender, i) => {
    const seed = counting(0x0b * (i + 1));
    const randomness = counting(0x60 + i);
    const body = {
      sid,
      sender,
      encryptionKey: keyPair(2 * i).publicKey,
      maskKey: keyPair(2 * i + 1).publicKey,
      graphCommitment: graphCommitment(sid, sender, randomness),
    };
    const signature = crypto.ed25519.sign(seed, advertiseKeysToSign(body));
    return { sender, seed, randomness, keys: { ...body, signature } };
  });
  const keyList = encodeKeyList({ sid, keys: members.map(({ keys: { sid: _, ...keys } }) => keys) });
  const reveals = members.map(({ sender, seed, randomness }) => {
    const body = { sid, sender, keyListHash: keyListHash(keyList), randomness };
    return { ...body, signature: crypto.ed25519.sign(seed, revealRandomnessToSign(body)) };
  });
  const revealList = encodeRevealList({
    sid,
    revealed: reveals.map(({ sender, randomness, signature }) => ({ sender, randomness, signature })),
  });
  const cohortHash = graphCohortHash(keyList, revealList);
  const seed = graphSeed(sid, cohortHash);
  const circle = hararyGraph(seed, senders, 4);

  const dealer = members[3];
  const holders = circle.holdersOf(dealer.sender);
  const entries = holders.map((receiver, i) => ({
    receiver,
    sealed: counting(i, 142),
    selfMaskCommitment: counting(0x20 + i),
    maskKeyCommitment: counting(0x40 + i),
  }));
  const entryHashes = entries.map((entry) => shareEntryHash(crypto, sid, dealer.sender, entry));
  const dealt = { sid, sender: dealer.sender, keyListHash: cohortHash, seedCommitment: counting(0x99) };
  const delivery = encodeShareDelivery({
    sid,
    receiver: holders[0],
    sharers: senders,
    dealers: [
      {
        dealer: dealer.sender,
        keyListHash: cohortHash,
        seedCommitment: dealt.seedCommitment,
        entryHashes,
        entry: entries[0],
        signature: crypto.ed25519.sign(dealer.seed, shareKeysToSign(dealt, entryHashes)),
      },
    ],
  });

  return {
    family: 'graph',
    description:
      'Messages of types 10 to 14 among seven participants, and the circle of four neighbours that follows: rank of each, holders of its secrets. The delivery has one dealer and made-up boxes. No session has so few: the form is the same for all.',
    spec: '10.2, 10.3, 10.4',
    program: PROGRAM,
    content: inHex({
      sid,
      members: members.map(({ sender, seed: identitySeed, randomness }) => ({ sender, identitySeed, randomness })),
      messages: {
        advertiseKeys: members.map(({ keys }) => encodeAdvertiseKeys(keys)),
        keyList,
        revealRandomness: reveals.map(encodeRevealRandomness),
        revealList,
        shareDelivery: delivery,
      },
      keyListHash: keyListHash(keyList),
      cohortHash,
      seed,
      neighbours: 4,
      circle: senders.map((sender) => ({
        sender,
        rank: hashTagged(domains.graphPosition, seed, indices([sender])),
        holders: circle.holdersOf(sender),
      })),
    }) as Record<string, unknown>,
  };
}

export function secaggVectors(): readonly VectorFile[] {
  return [hashing(), session(), masks(), sharing(), commitments(), round(), graph()];
}
