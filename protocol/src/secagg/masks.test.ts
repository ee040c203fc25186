import { describe, expect, it } from 'vitest';
import { ProtocolError, type ProtocolErrorCode } from '../errors.js';
import { seededRandom } from '../node/random.js';
import { pureProvider } from '../primitives/pure.js';
import type { NoisedUpdate } from '../update/stages.js';
import {
  bytesToWords,
  decodeMaskedUpdate,
  emptyMaskedSum,
  mask,
  pairwiseMaskSeed,
  pairwiseSign,
  selfMaskKey,
  sumMaskedInto,
  unmask,
  wordsToBytes,
} from './masks.js';
import { FIRST_PREVIOUS_SID, sessionId, type SessionOrigin } from './session.js';

function refusal(act: () => unknown): ProtocolErrorCode {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  throw new Error('Nothing was refused.');
}

const random = seededRandom('masks');
const sid = random(32);

describe('pairwise masks', () => {
  it('have one seed for both sides, and another for other indices, keys, sessions', () => {
    const shared = random(32);
    const [a, b] = [
      { index: 2, maskKey: random(32) },
      { index: 5, maskKey: random(32) },
    ];
    const seed = pairwiseMaskSeed(shared, sid, a, b);
    expect(pairwiseMaskSeed(shared, sid, b, a)).toEqual(seed);
    for (const other of [
      pairwiseMaskSeed(shared, random(32), a, b),
      pairwiseMaskSeed(shared, sid, { ...a, index: 3 }, b),
      pairwiseMaskSeed(shared, sid, a, { ...b, maskKey: random(32) }),
      pairwiseMaskSeed(random(32), sid, a, b),
    ]) {
      expect(other).not.toEqual(seed);
    }
  });

  it('of a full cohort sum to zero', () => {
    const indices = [0, 1, 2, 3];
    const seeds = new Map(indices.flatMap((u) => indices.filter((v) => u < v).map((v) => [`${u}${v}`, random(32)])));
    const sum = emptyMaskedSum(50);
    for (const u of indices) {
      const masks = indices
        .filter((v) => v !== u)
        .map((v) => ({ seed: seeds.get(u < v ? `${u}${v}` : `${v}${u}`)!, sign: pairwiseSign(u, v) }));
      const zero = { levels: new Int32Array(50) } as NoisedUpdate;
      sumMaskedInto(sum, mask(pureProvider, zero, masks).words);
    }
    expect(sum.words.every((word) => word === 0)).toBe(true);
  });
});

describe('mask and unmask', () => {
  it('keep levels of both signs to the ends of the range, and leave their input as it was', () => {
    const levels = Int32Array.of(0, 1, -1, 2 ** 31 - 1, -(2 ** 31));
    const masks = [{ seed: selfMaskKey(random(32), sid, 0), sign: 1 as const }];
    const masked = mask(pureProvider, { levels } as NoisedUpdate, masks);
    expect(levels).toEqual(Int32Array.of(0, 1, -1, 2 ** 31 - 1, -(2 ** 31)));
    const sum = emptyMaskedSum(5);
    sumMaskedInto(sum, masked.words);
    expect(unmask(pureProvider, sum, masks).levels).toEqual(levels);
    expect(sum.words).toEqual(masked.words);
  });
});

describe('sumMaskedInto', () => {
  it('takes parts, and refuses to reach past the end', () => {
    const sum = emptyMaskedSum(4);
    sumMaskedInto(sum, Uint32Array.of(0xffffffff, 2), 1);
    sumMaskedInto(sum, Uint32Array.of(3, 1), 1);
    expect([...sum.words]).toEqual([0, 2, 3, 0]);
    expect(refusal(() => sumMaskedInto(sum, new Uint32Array(2), 3))).toBe('update/wrong-length');
    expect(refusal(() => sumMaskedInto(sum, new Uint32Array(1), -1))).toBe('update/wrong-length');
  });
});

describe('words on the wire', () => {
  it('are little-endian, wherever they start in their buffer', () => {
    const bytes = Uint8Array.of(9, 1, 0, 0, 2, 255, 0, 0, 0);
    const words = Uint32Array.of(0x02000001, 255);
    expect(bytesToWords(bytes.subarray(1))).toEqual(words);
    expect([...wordsToBytes(words)]).toEqual([1, 0, 0, 2, 255, 0, 0, 0]);
    expect(decodeMaskedUpdate(bytes.subarray(1), 2).words).toEqual(words);
  });

  it('of another length are refused', () => {
    expect(refusal(() => bytesToWords(new Uint8Array(5)))).toBe('codec/malformed');
    expect(refusal(() => decodeMaskedUpdate(new Uint8Array(8), 3))).toBe('update/wrong-length');
  });
});

describe('sessionId', () => {
  it('depends on every part of its origin', () => {
    const origin: SessionOrigin = {
      manifestHash: random(32),
      rosterHash: random(32),
      runId: 'run-1',
      round: 1,
      baseVersion: 'v0',
      previousSid: FIRST_PREVIOUS_SID,
    };
    const ids = [
      origin,
      { ...origin, manifestHash: random(32) },
      { ...origin, rosterHash: random(32) },
      { ...origin, runId: 'run-2' },
      { ...origin, round: 2 },
      { ...origin, baseVersion: 'v1' },
      { ...origin, previousSid: random(32) },
      { ...origin, runId: 'run-1v', baseVersion: '0' },
    ].map((each) => sessionId(each).join());
    expect(new Set(ids).size).toBe(ids.length);
    expect(sessionId(origin)).toEqual(sessionId({ ...origin }));
    expect(refusal(() => sessionId({ ...origin, previousSid: new Uint8Array(31) }))).toBe('manifest/invalid');
  });
});
