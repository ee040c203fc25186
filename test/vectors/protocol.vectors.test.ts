/**
 * `protocol/vectors` is what the programs of this folder make; `npm run vectors` writes it anew.
 *
 * So that the answers do not only repeat our own code, a part is computed a second time here, with node:crypto, tweetnacl and whole
 * numbers.
 */

import {
  createCipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign,
  verify,
} from 'node:crypto';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import nacl from 'tweetnacl';
import { describe, expect, it } from 'vitest';
import { secaggVectors } from './secagg-vectors.js';
import { termsVectors } from './terms-vectors.js';
import { updateVectors } from './update-vectors.js';
import { textOf } from './vector-file.js';

const FOLDER = resolve(import.meta.dirname, '../../protocol/vectors');
/** Of another implementation: recorded, not made here. */
const RECORDED = ['graph-parameters.json'];

const files = [...secaggVectors(), ...(await termsVectors()), ...(await updateVectors())];

describe('the files of known answers', () => {
  it.each(files)('$family.json is what its program makes', async (file) => {
    await expect(textOf(file)).toMatchFileSnapshot(resolve(FOLDER, `${file.family}.json`));
  });

  it('are all made by these programs, but for those that another implementation made', () => {
    // A missing file is written when all tests are over, and noticed here before.
    expect(readdirSync(FOLDER).sort()).toEqual([...RECORDED, ...files.map(({ family }) => `${family}.json`)].sort());
  });
});

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- JSON of many shapes, each used in one place below
const read = (family: string): any => JSON.parse(textOf(files.find((file) => file.family === family)!));

// From here on nothing of the product is used.

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const u16 = (...values: number[]): Buffer => Buffer.concat(values.map((value) => Buffer.of(value >> 8, value & 255)));
const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

function tagged(domain: string, ...parts: Uint8Array[]): Buffer {
  return Buffer.concat(
    [Buffer.from(domain), ...parts].flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
}

function derive(secret: Uint8Array, sid: Uint8Array, domain: string, ...context: Uint8Array[]): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, sid, tagged(`fedlora/v1/secagg/${domain}`, ...context), 32));
}

function x25519(secret: Uint8Array, publicKey: Uint8Array): Buffer {
  const pkcs8 = Buffer.concat([hex('302e020100300506032b656e04220420'), secret]);
  const spki = Buffer.concat([hex('302a300506032b656e032100'), publicKey]);
  return diffieHellman({
    privateKey: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }),
    publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
  });
}

function isSigned(message: Uint8Array, signature: Uint8Array, identity: string): boolean {
  const spki = Buffer.concat([hex('302a300506032b6570032100'), hex(identity)]);
  return verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
}

function signedBy(seed: string, message: Uint8Array): string {
  const pkcs8 = Buffer.concat([hex('302e020100300506032b657004220420'), hex(seed)]);
  return sign(null, message, createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })).toString('hex');
}

/** AES-256-CTR keystream from a counter of zero, as words. */
function words(key: Uint8Array, count: number): number[] {
  const bytes = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(4 * count));
  return Array.from({ length: count }, (_, i) => bytes.readUInt32LE(4 * i));
}

/** RFC 8785 for values without numbers that need care: members sorted, nothing between. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`;
}

describe('computed a second time, with other libraries', () => {
  it('tagged hashes and derived keys', () => {
    const { tagged: hashes, derived } = read('hashing');
    for (const row of hashes) {
      const framed = tagged(row.domain, ...row.parts.map(hex));
      expect(framed.toString('hex')).toBe(row.tagged);
      expect(sha256(framed).toString('hex')).toBe(row.hash);
    }
    for (const row of derived) {
      expect(derive(hex(row.secret), hex(row.sid), 'seal-shares', ...row.context.map(hex)).toString('hex')).toBe(
        row.key,
      );
    }
    expect(new Set(hashes.map((row: { hash: string }) => row.hash)).size).toBe(hashes.length);
  });

  it('session ids', () => {
    for (const row of read('session').rows) {
      const round = Buffer.alloc(4);
      round.writeUInt32BE(row.round);
      const parts = [
        hex(row.manifestHash),
        hex(row.rosterHash),
        Buffer.from(row.runId),
        round,
        Buffer.from(row.baseVersion),
      ];
      expect(sha256(tagged('fedlora/v1/secagg/session', ...parts, hex(row.previousSid))).toString('hex')).toBe(row.sid);
    }
  });

  it('sealing keys, boxes and masks', () => {
    const { sid, low, high, sealing, pairwise, self } = read('masks');
    const shared = x25519(hex(high.encryption.secret), hex(low.encryption.publicKey));
    expect(shared.toString('hex')).toBe(sealing.sharedSecret);
    const [a, b] = [hex(low.encryption.publicKey), hex(high.encryption.publicKey)];
    const key = derive(shared, hex(sid), 'seal-shares', u16(low.index, high.index), a, b);
    expect(key.toString('hex')).toBe(sealing.keyLowToHigh);
    expect(derive(shared, hex(sid), 'seal-shares', u16(high.index, low.index), b, a).toString('hex')).toBe(
      sealing.keyHighToLow,
    );
    const box = new Uint8Array(hex(sealing.box));
    const opened = nacl.secretbox.open(box.subarray(24), box.subarray(0, 24), new Uint8Array(key));
    expect(Buffer.from(opened!).toString('hex')).toBe(sealing.plaintext);

    const agreed = x25519(hex(high.mask.secret), hex(low.mask.publicKey));
    const context = [u16(low.index, high.index), hex(low.mask.publicKey), hex(high.mask.publicKey)];
    const seed = derive(agreed, hex(sid), 'pairwise-mask', ...context);
    expect(seed.toString('hex')).toBe(pairwise.seed);
    expect(words(seed, 105).slice(0, 8)).toEqual(pairwise.words);
    expect(words(seed, 105).slice(100)).toEqual(pairwise.wordsFrom100);
    expect(words(derive(hex(self.seed), hex(sid), 'self-mask', u16(low.index)), 8)).toEqual(self.words);
  });

  it('Shamir shares', () => {
    const { prime, rows } = read('sharing');
    const p = BigInt(prime);
    expect(p).toBe(2n ** 256n + 297n);
    const number = (text: string): bigint => BigInt(`0x${text}`);
    for (const { secret, xs, coefficients, shares, recovered } of rows) {
      xs.forEach((x: number, i: number) => {
        const value = [secret, ...coefficients].reduce(
          (sum, c, power) => sum + number(c) * BigInt(x) ** BigInt(power),
          0n,
        );
        expect(number(shares[i])).toBe(value % p);
        expect(shares[i]).toHaveLength(66);
      });
      expect(recovered).toBe(secret);
    }
  });

  it('commitments', () => {
    const { share, seed, graph } = read('commitments');
    const of = (domain: string, ...parts: Uint8Array[]): string =>
      sha256(tagged(`fedlora/v1/secagg/${domain}`, ...parts)).toString('hex');
    const direction = u16(share.dealer, share.receiver);
    for (const [kind, commitment] of [
      [1, share.selfMask],
      [2, share.maskKey],
    ]) {
      expect(of('share-commitment', hex(share.sid), direction, Buffer.of(kind), hex(share.share))).toBe(commitment);
    }
    expect(of('seed-commitment', hex(seed.sid), u16(seed.dealer), hex(seed.seed))).toBe(seed.commitment);
    expect(of('graph-commitment', hex(graph.sid), u16(graph.sender), hex(graph.randomness))).toBe(graph.commitment);
  });

  it('the signatures of a round, and every bit of its messages that they cover', () => {
    const { members, messages, sid, survivorsHash, keyListHash, entryHashesOf0 } = read('round');
    const tags = {
      advertiseKeys: 'advertise-keys',
      maskedInput: 'masked-input',
      consistencySignature: 'consistency',
      unmaskShares: 'unmask-shares',
    };
    for (const [name, tag] of Object.entries(tags)) {
      for (const text of messages[name]) {
        const message = hex(text);
        const sender = message.readUInt16BE(36);
        const [body, signature] = [message.subarray(0, -64), message.subarray(-64)];
        expect(isSigned(tagged(`fedlora/v1/secagg/${tag}`, body), signature, members[sender].identity)).toBe(true);
        expect(message.subarray(4, 36).toString('hex')).toBe(sid);
      }
    }
    expect(sha256(tagged('fedlora/v1/secagg/key-list', hex(messages.keyList))).toString('hex')).toBe(keyListHash);
    const share = hex(messages.shareKeys[0]);
    // 36 header, 2 sender, 2 * 32 hashes, 2 count; then entries of 2 + 142 + 2 * 32.
    const entryHashes = [0, 1, 2, 3].map((i) => {
      const entry = share.subarray(104 + 208 * i, 104 + 208 * (i + 1));
      const parts = [entry.subarray(2, 144), entry.subarray(144, 176), entry.subarray(176, 208)];
      return sha256(tagged('fedlora/v1/secagg/share-entry', hex(sid), u16(0, i), ...parts));
    });
    expect(entryHashes.map((hash) => hash.toString('hex'))).toEqual(entryHashesOf0);
    const statement = tagged(
      'fedlora/v1/secagg/share-keys',
      hex(sid),
      u16(0),
      share.subarray(38, 70),
      share.subarray(70, 102),
      Buffer.concat(entryHashes),
    );
    expect(isSigned(statement, share.subarray(-64), members[0].identity)).toBe(true);
    const lists = [hex(sid), hex(keyListHash), u16(0, 1, 2, 3), u16(0, 1, 2)];
    expect(sha256(tagged('fedlora/v1/secagg/survivors', ...lists)).toString('hex')).toBe(survivorsHash);
  });

  it('the masked words of a round from its participants’ secrets, and the sum', () => {
    const { members, words: masked, sid, sum, messages } = read('round');
    const publicKeyOf = (index: number): Buffer => hex(messages.advertiseKeys[index]).subarray(70, 102);
    const length = members[0].levels.length;
    masked.forEach((text: string, u: number) => {
      const [, maskSecret, selfSeed] = members[u].draws.map(hex);
      const total = members[u].levels.map((level: number) => level >>> 0);
      const add = (key: Buffer, sign: 1 | -1): void =>
        words(key, length).forEach((word, i) => (total[i] = (total[i] + sign * word) >>> 0));
      add(derive(selfSeed, hex(sid), 'self-mask', u16(u)), 1);
      for (const { index: v } of members) {
        if (v === u) continue;
        const [low, high] = [Math.min(u, v), Math.max(u, v)];
        const agreed = x25519(maskSecret, publicKeyOf(v));
        add(
          derive(agreed, hex(sid), 'pairwise-mask', u16(low, high), publicKeyOf(low), publicKeyOf(high)),
          u < v ? 1 : -1,
        );
      }
      const received = Array.from({ length }, (_, i) => hex(text).readUInt32LE(4 * i));
      expect(received).toEqual(total);
    });
    const plain = Array.from({ length }, (_, i) => [0, 1, 2].reduce((all, u) => all + members[u].levels[i], 0));
    expect(sum).toEqual(plain);
  });

  it('the circle of a graph', () => {
    const { sid, cohortHash, seed, circle, neighbours, messages, members } = read('graph');
    const lists = [hex(messages.keyList), hex(messages.revealList)];
    expect(sha256(tagged('fedlora/v1/secagg/graph-cohort', ...lists)).toString('hex')).toBe(cohortHash);
    expect(sha256(tagged('fedlora/v1/secagg/graph-seed', hex(sid), hex(cohortHash))).toString('hex')).toBe(seed);
    const order = circle
      .map(({ sender }: { sender: number }) => ({
        sender,
        rank: sha256(tagged('fedlora/v1/secagg/graph-position', hex(seed), u16(sender))),
      }))
      .sort((a: { rank: Buffer }, b: { rank: Buffer }) => Buffer.compare(a.rank, b.rank))
      .map(({ sender }: { sender: number }) => sender);
    for (const { sender, holders } of circle) {
      const place = order.indexOf(sender);
      const near = Array.from(
        { length: neighbours + 1 },
        (_, i) => order[(place + i - neighbours / 2 + order.length) % order.length],
      );
      expect(holders).toEqual(near.sort((a, b) => a - b));
    }
    messages.revealRandomness.forEach((text: string, i: number) => {
      const message = hex(text);
      expect(message[3]).toBe(12);
      const statement = tagged('fedlora/v1/secagg/reveal-randomness', message.subarray(0, -64));
      expect(message.subarray(-64).toString('hex')).toBe(signedBy(members[i].identitySeed, statement));
    });
  });

  it('canonical JSON, as RFC 8785 orders and prints it', () => {
    const [members, numbers] = read('canonical-json').rows;
    // U+1F600 begins with the code unit D83D, below FFFF.
    expect(members.canonical).toBe('{"a":[true,null,"x"],"b":1,"\u00e9":"\u20ac","\ud83d\ude00":2,"\uffff":3}');
    expect(numbers.canonical).toBe('[0,1e+21,1e-7,0.1,-5,9007199254740992]');
  });

  it('manifests, rosters and revocation lists', () => {
    const { coordinatorKey, rows } = read('manifest');
    for (const { manifest, signed, hash, signature } of rows) {
      expect(canonical({ domain: 'fedlora/v1/manifest', manifest })).toBe(signed);
      expect(sha256(Buffer.from(signed)).toString('hex')).toBe(hash);
      expect(isSigned(Buffer.from(signed), hex(signature), coordinatorKey)).toBe(true);
    }
    const { federationKey, roster, rosterHash, revocations, fingerprints } = read('roster');
    for (const { name, identity, certificate } of roster.members) {
      const statement = Buffer.from(canonical({ domain: 'fedlora/v1/member-certificate', name, identity }));
      expect(isSigned(statement, hex(certificate), federationKey)).toBe(true);
    }
    expect(sha256(Buffer.from(canonical({ domain: 'fedlora/v1/roster', roster }))).toString('hex')).toBe(rosterHash);
    expect(rows[0].manifest.rosterHash).toBe(rosterHash);
    roster.members.forEach(({ identity }: { identity: string }, i: number) => {
      const digest = sha256(Buffer.from(`fedlora/v1/fingerprint:${identity}`)).toString('hex');
      expect(fingerprints[i].replaceAll(' ', '')).toBe(digest.slice(0, 32));
    });
    for (const text of revocations) {
      const { list, signature } = JSON.parse(text);
      expect(canonical({ list, signature })).toBe(text);
      const statement = Buffer.from(canonical({ domain: 'fedlora/v1/revocations', list }));
      expect(isSigned(statement, hex(signature), federationKey)).toBe(true);
    }
  });

  it('the numbers that follow from a manifest', () => {
    for (const row of read('manifest').rows) {
      const { privacy, metrics, encoding, adapter, aggregation, training } = row.manifest;
      const features = (module: { inFeatures: number; outFeatures: number }): number =>
        row.trained === 'A' ? module.inFeatures : module.outFeatures;
      const isFull = metrics.evaluation !== undefined;
      const d = adapter.modules.reduce(
        (sum: number, module: never) => sum + adapter.r * features(module),
        isFull ? 6 : 2,
      );
      expect(row.length).toBe(d);
      const squares = !isFull ? 2 : privacy.unit === 'record' ? 2.25 : 5.25;
      const bound = Math.sqrt(privacy.l2Bound ** 2 + metrics.weight ** 2 * squares);
      expect(row.unitBound).toBeCloseTo(bound, 12);
      const isLocal = privacy.unit === 'record-local';
      const scale = isLocal ? training.stepsPerUnit : encoding.stepsPerUnit;
      const sensitivity = scale * bound * (1 + 1 / 512) + Math.sqrt(d);
      expect(row.sensitivityInSteps / sensitivity).toBeCloseTo(1, 12);
      const honest = privacy.minimumContributors - privacy.assumedColluders;
      const share = (privacy.noiseMultiplier * sensitivity) / Math.sqrt(honest);
      if (isLocal) {
        expect(row.noiseShareInSteps).toBe(0);
        expect(row.stepNoiseInSteps / (privacy.noiseMultiplier * sensitivity)).toBeCloseTo(1, 12);
      } else expect(row.noiseShareInSteps / share).toBeCloseTo(1, 12);
      const trainedOn = training.expectedRecords * (1 - (metrics.evaluation?.fraction ?? 0));
      const fewest = Math.max(aggregation.threshold, privacy.minimumContributors);
      expect(row.divisor).toBe(training.kind === 'record-step' ? trainedOn : fewest);
    }
  });

  it('levels, by rounding in whole numbers', () => {
    for (const { values, l2Bound, stepsPerUnit, levels } of read('encoding').rows) {
      const norm = Math.hypot(...values);
      const factor = norm > l2Bound ? l2Bound / norm : 1;
      values.forEach((value: number, i: number) => {
        const exact = value * factor * stepsPerUnit;
        const [below, rest] = [Math.floor(exact), exact - Math.floor(exact)];
        const even = below % 2 === 0 ? below : below + 1;
        expect(levels[i]).toBe((rest < 0.5 ? below : rest > 0.5 ? below + 1 : even) + 0);
      });
    }
  });

  it('metric coordinates', () => {
    const { rows } = read('metrics');
    const w = 0.125;
    expect(rows[0].vector).toEqual([0.5, (w * (2 + 8 + 0)) / 8, 3 * w]);
    // Norms 0.5, 3 and 0.9375: within, beyond, and in the middle of the ramp from 7/8 to 1.
    const trained = [0.5, w * (7 / 8), 3 * w, w * (0.5 - 0.5 + 0)];
    const heldOut = [1 / 8 + 1, 1, 2];
    const v = Math.sqrt((1 + 2.25 * w * w) / 3);
    const [ofRecords, ofUpdate] = [rows[1].vector, rows[2].vector] as [number[], number[]];
    expect(ofUpdate).toEqual([...trained, ...heldOut.map((value) => w * value)]);
    expect(ofRecords.slice(0, 4)).toEqual(trained);
    heldOut.forEach((value, i) => expect(ofRecords[4 + i] / (v * value)).toBeCloseTo(1, 14));
  });

  it('the chain of a ledger, its changes of key and its signatures', () => {
    const { identities, federationKey, lines } = read('ledger');
    const keys: string[] = identities.map(({ publicKey }: { publicKey: string }) => publicKey);
    let previous = '0'.repeat(64);
    let signer = keys[0];
    const changes: string[][] = [];
    lines.forEach((line: string, i: number) => {
      const { entry, hash, signature, former } = JSON.parse(line);
      expect([entry.sequence, entry.previous]).toEqual([i + 1, previous]);
      expect(sha256(Buffer.from(canonical({ domain: 'fedlora/client-ledger/v1', entry }))).toString('hex')).toBe(hash);
      if (entry.kind === 'key-change') {
        expect(entry.from).toBe(signer);
        signer = entry.to;
        changes.push(Object.keys(former));
        if (former.signature !== undefined) expect(isSigned(hex(hash), hex(former.signature), entry.from)).toBe(true);
        else {
          const { list, signature: byFederation } = JSON.parse(former.revocations);
          expect(list.revoked).toContain(entry.from);
          const signed = Buffer.from(canonical({ domain: 'fedlora/v1/revocations', list }));
          expect(isSigned(signed, hex(byFederation), federationKey)).toBe(true);
        }
      }
      expect(isSigned(hex(hash), hex(signature), signer)).toBe(true);
      previous = hash;
    });
    expect(changes).toEqual([['signature'], ['revocations']]);
    expect(signer).toBe(keys[2]);
  });

  it('frozen factors, drawn bit by bit from the keystream, at right angles, and their digest', () => {
    const { runId, r, modules, digest } = read('frozen-factors');
    const label = `fedlora/frozen-factors/v1\n${runId}`;
    const cipher = createCipheriv('aes-256-ctr', sha256(Buffer.from(label)), Buffer.alloc(16));
    const rowsOf = (columns: number): number[][] => {
      const made: number[][] = [];
      const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i], 0);
      while (made.length < r) {
        const words = cipher.update(Buffer.alloc(4 * columns));
        const ones = (word: number): number => word.toString(2).split('1').length - 1;
        let row = Array.from({ length: columns }, (_, i) => ones(words.readUInt32LE(4 * i)) - 16);
        const before = Math.sqrt(dot(row, row));
        for (const other of [...made, ...made]) {
          const share = dot(row, other);
          row = row.map((value, i) => value - share * other[i]);
        }
        const length = Math.sqrt(dot(row, row));
        if (length > before / 1000) made.push(row.map((value) => value / length));
      }
      return made;
    };
    const f32 = (values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);
    const factors = modules.map((module: { inFeatures: number; outFeatures: number; A: string; B: string }) => {
      const A = rowsOf(module.inFeatures);
      const columns = rowsOf(module.outFeatures);
      const B = Array.from({ length: module.outFeatures }, (_, row) => columns.map((column) => column[row]));
      expect([module.A, module.B]).toEqual([A, B].map((matrix) => f32(matrix.flat()).toString('hex')));
      return [A, B].map((matrix) => sha256(f32(matrix.flat())).toString('hex'));
    });
    const signed = canonical({ domain: 'fedlora/frozen-factors/v1', factors });
    expect(sha256(Buffer.from(signed)).toString('hex')).toBe(digest);
  });

  it('noise has the width that its law gives (false alarm below 1e-6 for each row)', () => {
    for (const { stddevInSteps, samples } of read('noise').rows) {
      const squares = samples.reduce((sum: number, x: number) => sum + x * x, 0) / stddevInSteps ** 2;
      // 24 squares of a unit Gaussian: chi-squared, between these with probability over 1 - 1e-6.
      expect(squares).toBeGreaterThan(3.5);
      expect(squares).toBeLessThan(76);
    }
  });
});
