import { beforeEach, describe, expect, it } from 'vitest';
import {
  canonicalJson,
  certifyMember,
  manifestMessage,
  rosterHash,
  signRevocations,
  toHex,
  type Manifest,
  type Roster,
} from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { adaptedModules, type RoundOffer } from '@fedlora/shared';
import { aLocalManifest, aManifest } from '../../../test/support/a-manifest.js';
import { checkDatasetSize, logTailOfBinomial, OfferVerifier, publicRows, type OfferParts } from './verify-offer.js';

const { ed25519 } = nodeProvider;
const keyOf = (name: string) => {
  const seed = ed25519.generateSecret(seededRandom(name));
  return { seed, key: toHex(ed25519.publicKey(seed)) };
};
const coordinator = keyOf('coordinator');
const federation = keyOf('federation');
const names = ['bank', 'clinic', 'council'];
const config = {
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
};

const aRoster = (certifiedBy = federation, members = names): Roster => ({
  version: 1,
  members: members.map((name) => ({
    name,
    identity: keyOf(name).key,
    certificate: certifyMember(nodeProvider, certifiedBy.seed, { name, identity: keyOf(name).key }),
  })),
});

const aTermsManifest = (roster: Roster, changes: Partial<Manifest> = {}): Manifest =>
  aManifest({
    rosterHash: rosterHash(roster),
    adapter: {
      ...aManifest().adapter,
      targetModules: ['q_proj', 'v_proj'],
      modules: adaptedModules(config, ['q_proj', 'v_proj']),
    },
    ...changes,
  });

const text = (value: unknown): string => Buffer.from(canonicalJson(value)).toString('utf8');

function anOffer(
  manifest: Manifest,
  roster: Roster,
  changes: Partial<RoundOffer> = {},
  signer = coordinator,
): RoundOffer {
  return {
    runId: manifest.runId,
    roundId: 'run-1-1',
    number: 1,
    completedRounds: 0,
    manifest: text(manifest),
    manifestSignature: toHex(ed25519.sign(signer.seed, manifestMessage(manifest))),
    roster: text(roster),
    baseVersion: 'a'.repeat(40),
    previousSid: '0'.repeat(64),
    ...changes,
  };
}

describe('OfferVerifier', () => {
  let joined: Set<string>;
  let parts: OfferParts;
  beforeEach(() => {
    joined = new Set();
    parts = {
      pins: { coordinatorKey: coordinator.key, federationKey: federation.key },
      identity: keyOf('clinic').key,
      base: { digest: 'b'.repeat(64), config },
      hasJoined: (sid) => joined.has(sid),
      revocations: () => undefined,
      wasChargedOtherwise: () => false,
    };
  });
  const codeOf = (offer: RoundOffer, changes: Partial<OfferParts> = {}): string => {
    try {
      new OfferVerifier({ ...parts, ...changes }).verify(offer);
      return 'accepted';
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  };

  it('attack: terms in another spelling than the one that is signed and hashed', () => {
    const roster = aRoster();
    const offer = anOffer(aTermsManifest(roster), roster);
    for (const field of ['manifest', 'roster'] as const) {
      const honest = offer[field];
      for (const other of [
        `${honest} `,
        honest.replace('{', '{"version":2,'),
        honest.replace('"version":1', '"version":1.0'),
      ]) {
        expect(JSON.parse(other)).toEqual(JSON.parse(honest));
        expect(codeOf({ ...offer, [field]: other })).toBe('offer/malformed');
      }
    }
  });

  it('accepts an honest offer and knows its own seat and price', () => {
    const roster = aRoster();
    const round = new OfferVerifier(parts).verify(anOffer(aTermsManifest(roster), roster));
    expect(round).toMatchObject({
      me: 1,
      trained: 'B',
      charge: { unit: 'record', noiseMultiplier: 0.8, samplingRate: 0.02, steps: 1 },
    });
    expect(round.secagg.members).toHaveLength(3);
    expect(round.shareStddev).toBeGreaterThan(8);
    expect(round.sid).toMatch(/^[0-9a-f]{64}$/);
  });

  it('of unit "record-local" knows the price of all its steps, and of no noise beside theirs', () => {
    const roster = aRoster();
    const { training, privacy } = aLocalManifest();
    const round = new OfferVerifier(parts).verify(anOffer(aTermsManifest(roster, { training, privacy }), roster));
    expect(round).toMatchObject({
      shareStddev: 0,
      charge: { unit: 'record-local', noiseMultiplier: 0.8, samplingRate: 0.02, steps: 3 },
    });
  });

  it('attack: rounds beyond those that the terms plan', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    expect(codeOf(anOffer(manifest, roster, { completedRounds: manifest.rounds - 1 }))).toBe('accepted');
    expect(codeOf(anOffer(manifest, roster, { completedRounds: manifest.rounds }))).toBe('offer/malformed');
  });

  it('attack: the terms of a run changed under its name after rounds were charged', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    const charged = new OfferVerifier(parts).verify(anOffer(manifest, roster)).manifestHash;
    const wasChargedOtherwise = (runId: string, hash: string): boolean => runId === 'run-1' && hash !== charged;
    expect(codeOf(anOffer(manifest, roster), { wasChargedOtherwise })).toBe('accepted');
    const other = aTermsManifest(roster, { rounds: 11 });
    expect(codeOf(anOffer(other, roster), { wasChargedOtherwise })).toBe('offer/terms-changed');
  });

  it('accepts terms that ask for more numbers, within a longer vector and at the same charge', () => {
    const roster = aRoster();
    const metrics = {
      ...aManifest().metrics,
      clipping: { quantile: 0.5, learningRate: 1 },
      evaluation: { fraction: 0.1 },
    };
    const [plain, more] = [aTermsManifest(roster), aTermsManifest(roster, { metrics })].map((manifest) =>
      new OfferVerifier(parts).verify(anOffer(manifest, roster)),
    );
    expect(more.secagg.length).toBe(plain.secagg.length + 4);
    expect(more.shareStddev).toBeGreaterThan(plain.shareStddev);
    expect({ ...more.charge, manifestHash: '' }).toEqual({ ...plain.charge, manifestHash: '' });
  });

  it('attack: terms that ask for numbers out of bounds', () => {
    const roster = aRoster();
    for (const changes of [{ evaluation: { fraction: 0.9 } }, { weight: 2 }, { lossBound: 1e-6 }]) {
      const metrics = { ...aManifest().metrics, ...changes };
      expect(codeOf(anOffer(aTermsManifest(roster, { metrics }), roster))).toBe('manifest/invalid');
    }
  });

  describe('with a list of revoked keys', () => {
    const revoking = (epoch: number, ...revoked: string[]) => {
      const list = { version: 1 as const, epoch, revoked: revoked.map((name) => keyOf(name).key).sort() };
      return { list, text: signRevocations(nodeProvider, federation.seed, list) };
    };
    const offerWith = (revocations?: string, members = names) => {
      const roster = aRoster(federation, members);
      return anOffer(aTermsManifest(roster), roster, revocations === undefined ? {} : { revocations });
    };

    it('attack: a run whose roster names a revoked key, from the next round on', () => {
      const verifier = new OfferVerifier(parts);
      expect(verifier.verify(offerWith()).revocations).toBeUndefined();
      expect(() => verifier.verify({ ...offerWith(revoking(1, 'bank').text), number: 2 })).toThrow('"bank"');
      expect(codeOf(offerWith(revoking(1, 'bank').text))).toBe('roster/revoked-member');
      const { list, text: signed } = revoking(1, 'somebody-else');
      expect(verifier.verify(offerWith(signed))).toMatchObject({ revocations: list, revocationsText: signed });
    });

    it('attack: the coordinator hides the list, or serves an older one, to keep a revoked member', () => {
      const revocations = () => revoking(2, 'bank').list;
      expect(codeOf(offerWith(), { revocations })).toBe('roster/revocations-outdated');
      expect(codeOf(offerWith(revoking(1).text), { revocations })).toBe('roster/revocations-outdated');
      expect(codeOf(offerWith(revoking(3).text), { revocations })).toBe('roster/revocations-outdated');
      expect(codeOf(offerWith(revoking(2, 'bank').text), { revocations })).toBe('roster/revoked-member');
    });

    it('attack: a list that the coordinator signed itself, or none', () => {
      const { list } = revoking(1, 'council');
      const forged = signRevocations(nodeProvider, coordinator.seed, list);
      expect(codeOf(offerWith(forged))).toBe('roster/revocations-invalid');
      expect(codeOf(offerWith('{}'))).toBe('roster/revocations-invalid');
      expect(codeOf({ ...offerWith(), revocations: 5 as unknown as string })).toBe('offer/malformed');
    });
  });

  it('gives each round its own session', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    const verifier = new OfferVerifier(parts);
    const sids = [
      anOffer(manifest, roster),
      anOffer(manifest, roster, { number: 2 }),
      anOffer(manifest, roster, { baseVersion: 'c'.repeat(40) }),
      anOffer(manifest, roster, { previousSid: '1'.repeat(64) }),
    ].map((offer) => verifier.verify(offer).sid);
    expect(new Set(sids).size).toBe(4);
  });

  it('refuses a session that was joined before', () => {
    const roster = aRoster();
    const offer = anOffer(aTermsManifest(roster), roster);
    joined.add(new OfferVerifier(parts).verify(offer).sid);
    expect(codeOf(offer)).toBe('offer/session-reused');
  });

  it('refuses terms that another key signed, or that were changed after signing', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    expect(codeOf(anOffer(manifest, roster, {}, keyOf('stranger')))).toBe('offer/bad-signature');
    expect(codeOf(anOffer(manifest, roster, { manifest: text({ ...manifest, rounds: 11 }) }))).toBe(
      'offer/bad-signature',
    );
    expect(codeOf(anOffer(manifest, roster, { manifestSignature: 'zz' }))).toBe('offer/bad-signature');
  });

  it('refuses a member whom the federation key did not certify', () => {
    const roster = aRoster();
    const added: Roster = {
      version: 1,
      members: [...roster.members, aRoster(keyOf('stranger'), ['mallory']).members[0]],
    };
    expect(codeOf(anOffer(aTermsManifest(added), added))).toBe('roster/invalid');
  });

  it('refuses a roster that the terms do not name, and one without this organisation', () => {
    const roster = aRoster();
    const other = aRoster(federation, ['bank', 'clinic', 'museum']);
    expect(codeOf(anOffer(aTermsManifest(roster), other))).toBe('offer/roster-mismatch');
    expect(codeOf(anOffer(aTermsManifest(roster), roster), { identity: keyOf('museum').key })).toBe(
      'offer/not-a-member',
    );
  });

  it('refuses a threshold that would let a lying coordinator learn one update', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    const low = aTermsManifest(roster, { aggregation: { ...manifest.aggregation, threshold: 2 } });
    expect(codeOf(anOffer(low, roster))).toBe('secagg/threshold-too-low');
  });

  it('refuses terms that break a rule of the protocol, or lack a field', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    expect(
      codeOf(anOffer(aTermsManifest(roster, { privacy: { ...manifest.privacy, noiseMultiplier: 0 } }), roster)),
    ).toBe('manifest/invalid');
    const { metrics: _metrics, ...lacking } = manifest;
    expect(codeOf(anOffer(lacking as Manifest, roster))).toBe('manifest/invalid');
  });

  it('refuses another base model than the one on this machine, and says which is wanted', () => {
    const roster = aRoster();
    const offer = anOffer(aTermsManifest(roster), roster);
    expect(codeOf(offer, { base: { digest: 'd'.repeat(64), config } })).toBe('base-model/digest-mismatch');
    expect(codeOf(offer, { base: undefined })).toBe('base-model/digest-mismatch');
    expect(codeOf(offer, { base: { digest: 'b'.repeat(64), config: { ...config, hidden_size: 16 } } })).toBe(
      'base-model/modules-mismatch',
    );
  });

  it.each([
    ['another run than its terms', { runId: 'run-2' }],
    ['a version that is no version', { baseVersion: '../../x' }],
    ['no JSON', { manifest: '{' }],
    ['a negative round', { number: -1 }],
    ['no previous session', { previousSid: '' }],
  ])('refuses an offer with %s', (_name, changes) => {
    const roster = aRoster();
    expect(codeOf(anOffer(aTermsManifest(roster), roster, changes))).toBe('offer/malformed');
  });

  it('checks the signatures of a run once, not in every round', () => {
    const roster = aRoster();
    const manifest = aTermsManifest(roster);
    const verifier = new OfferVerifier(parts);
    const first = verifier.verify(anOffer(manifest, roster));
    const second = verifier.verify(anOffer(manifest, roster, { number: 2 }));
    expect(second.roster).toBe(first.roster);
  });
});

describe('checkDatasetSize', () => {
  it('refuses a delta at which giving one row away would count as private', () => {
    expect(() => checkDatasetSize(aManifest(), 60_000)).toThrowError(
      expect.objectContaining({ code: 'offer/dataset-too-large' }),
    );
    const manifest = aManifest();
    const loose = aManifest({ privacy: { ...manifest.privacy, delta: 0.01 } });
    expect(() => checkDatasetSize(loose, 65)).toThrowError(expect.objectContaining({ code: 'offer/delta-too-large' }));
    expect(() => checkDatasetSize(loose, 64)).not.toThrow();
  });

  it('holds steps at home to the same, the chances of all of them together', () => {
    const loose = aLocalManifest({}, { privacy: { ...aLocalManifest().privacy, delta: 0.01 } });
    expect(() => checkDatasetSize(loose, 65)).toThrowError(expect.objectContaining({ code: 'offer/delta-too-large' }));
    expect(() => checkDatasetSize(loose, 64)).not.toThrow();
    // Among 10,000 rows, counted as 16,384: one draw of more than 510 has a chance of 2^-62.4.
    const local = (steps: number): Manifest => aLocalManifest({ steps, maximumRecords: 509 });
    expect(() => checkDatasetSize(local(1), 10_000)).not.toThrow();
    expect(() => checkDatasetSize(local(1_000_000), 10_000)).toThrowError(
      expect.objectContaining({ code: 'offer/dataset-too-large' }),
    );
  });

  it('accepts ten standard deviations over the mean and refuses five', () => {
    const training = {
      kind: 'record-step' as const,
      samplingRate: 0.02,
      expectedRecords: 600,
      maximumRecords: 328 + 181,
    };
    expect(() => checkDatasetSize(aManifest({ training }), 10_000)).not.toThrow();
    expect(() => checkDatasetSize(aManifest({ training: { ...training, maximumRecords: 418 } }), 10_000)).toThrow();
  });
});

describe('attack: terms varied from round to round to find the exact number of rows', () => {
  const accepts = (manifest: Manifest, rows: number): boolean => {
    try {
      checkDatasetSize(manifest, rows);
      return true;
    } catch {
      return false;
    }
  };

  it('every number of rows between two powers of two answers alike', () => {
    const { privacy } = aManifest();
    for (let maximumRecords = 1; maximumRecords < 200; maximumRecords += 1) {
      for (const delta of [1 / 129, 1 / 128, 1 / 100, 1 / 65, 1 / 64]) {
        const training = { kind: 'record-step', samplingRate: 0.3, expectedRecords: 60, maximumRecords } as const;
        const manifest = aManifest({ training, privacy: { ...privacy, delta } });
        const answers = Array.from({ length: 64 }, (_, i) => accepts(manifest, 65 + i));
        expect(new Set(answers).size).toBe(1);
      }
    }
  });

  it.each([
    [0, 1],
    [1, 1],
    [2, 2],
    [3, 4],
    [64, 64],
    [65, 128],
  ])('%i rows count as %i', (rows, shown) => {
    expect(publicRows(rows)).toBe(shown);
  });
});

describe('logTailOfBinomial', () => {
  it('is never below the exact tail', () => {
    // P[X >= 8] for n = 10, p = 1/2 is 56/1024; P[X >= 10] is 1/1024, where the bound is exact.
    expect(logTailOfBinomial(10, 0.5, 8)).toBeGreaterThan(Math.log(56 / 1024));
    expect(logTailOfBinomial(10, 0.5, 10)).toBeCloseTo(Math.log(1 / 1024), 12);
    expect(logTailOfBinomial(10, 0.5, 11)).toBe(-Infinity);
    expect(logTailOfBinomial(10, 0.5, 5)).toBe(0);
  });
});
