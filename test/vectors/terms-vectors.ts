/** Known answers of what everyone checks before a round: canonical JSON, manifest, roster, certificates, revocation lists, frozen factors. */

import { canonicalJson } from '../../protocol/src/bytes/canonical-json.js';
import { toHex } from '../../protocol/src/bytes/hex.js';
import {
  checkManifest,
  manifestHash,
  manifestMessage,
  roundLength,
  roundSensitivityInSteps,
  serverDivisor,
  shareStddevInSteps,
  stepStddevInSteps,
  unitBound,
  type Manifest,
} from '../../protocol/src/manifest/manifest.js';
import { nextRevocations, signRevocations } from '../../protocol/src/manifest/revocation.js';
import { certifyMember, fingerprint, rosterHash, type Roster } from '../../protocol/src/manifest/roster.js';
import { nodeProvider as crypto, publicRandom } from '../../protocol/src/node/index.js';
import { frozenFactorsOfRun } from '../../shared/src/adapter/frozen-factors.js';
import { encodeFloats } from '../../shared/src/adapter/safetensors.js';
import { aLocalManifest, aManifest } from '../support/a-manifest.js';
import { counting, inHex, type VectorFile } from './vector-file.js';

const PROGRAM = 'terms-vectors.ts';

const federationSeed = counting(0x05);
const coordinatorSeed = counting(0x25);
const text = (value: unknown): string => Buffer.from(canonicalJson(value)).toString('utf8');

const roster: Roster = {
  version: 1,
  members: ['bank', 'clinic', 'council', 'north-2'].map((name, i) => {
    const identity = toHex(crypto.ed25519.publicKey(counting(0x11 * (i + 1))));
    return { name, identity, certificate: certifyMember(crypto, federationSeed, { name, identity }) };
  }),
};

function json(): VectorFile {
  const values = [
    { b: 1, a: [true, null, 'x'], é: '€', '😀': 2, '￿': 3 },
    [0, 1e21, 1e-7, 0.1, -5, 2 ** 53],
    'line\nquote" \u0007 \u2028',
  ];
  return {
    family: 'canonical-json',
    description:
      'Values and their canonical JSON. Members are sorted by UTF-16 code unit, so the emoji comes before U+FFFF.',
    spec: '20.1',
    program: PROGRAM,
    content: { rows: values.map((value) => ({ value, canonical: text(value) })) },
  };
}

function manifests(): VectorFile {
  const members = roster.members.length;
  const record = aManifest({ rosterHash: rosterHash(roster) });
  const client = aManifest({
    rosterHash: rosterHash(roster),
    adapter: { ...record.adapter, rule: 'alternate' },
    training: { kind: 'local-steps', steps: 8, batchSize: 4, learningRate: 1e-4, maximumGradientNorm: 1 },
    privacy: { ...record.privacy, unit: 'client', minimumContributors: 4 },
    metrics: { ...record.metrics, clipping: { quantile: 0.5, learningRate: 0.2 }, evaluation: { fraction: 0.1 } },
  });
  const local = aLocalManifest({}, { rosterHash: rosterHash(roster) });
  const row = (manifest: Manifest, trained: 'A' | 'B') => {
    checkManifest(manifest, members);
    return {
      manifest,
      signed: Buffer.from(manifestMessage(manifest)).toString('utf8'),
      hash: manifestHash(manifest),
      signature: toHex(crypto.ed25519.sign(coordinatorSeed, manifestMessage(manifest))),
      trained,
      length: roundLength(manifest, trained),
      unitBound: unitBound(manifest),
      sensitivityInSteps: roundSensitivityInSteps(manifest, trained),
      noiseShareInSteps: shareStddevInSteps(manifest, trained),
      divisor: serverDivisor(manifest),
    };
  };
  return {
    family: 'manifest',
    description:
      'Manifests for the roster of roster.json: what is signed and hashed, and the numbers that follow for the factor `trained`. Real numbers agree to 1e-12 of themselves.',
    spec: '13.2, 13.3, 13.4, 16.5, 17.2, 17.5, 18.3',
    program: PROGRAM,
    content: {
      coordinatorSeed: toHex(coordinatorSeed),
      coordinatorKey: toHex(crypto.ed25519.publicKey(coordinatorSeed)),
      rows: [
        row(record, 'B'),
        row(client, 'A'),
        { ...row(local, 'B'), stepNoiseInSteps: stepStddevInSteps(local, 'B') },
      ],
    },
  };
}

function rosters(): VectorFile {
  const [first, second] = roster.members;
  const one = nextRevocations(undefined, [second.identity]);
  const two = nextRevocations(one, [first.identity]);
  return {
    family: 'roster',
    description:
      'A roster with its certificates, its hash and fingerprints; two revocation lists as they travel, the second follows the first.',
    spec: '14.2, 14.3, 14.4, 14.5, 15.1, 15.2, 15.3',
    program: PROGRAM,
    content: {
      ...(inHex({ federationSeed, federationKey: crypto.ed25519.publicKey(federationSeed) }) as object),
      roster,
      rosterHash: rosterHash(roster),
      fingerprints: roster.members.map(({ identity }) => fingerprint(identity)),
      revocations: [one, two].map((list) => signRevocations(crypto, federationSeed, list)),
    },
  };
}

async function frozenFactors(): Promise<VectorFile> {
  const runId = 'run-1';
  const r = 2;
  const modules = [
    { name: 'base_model.model.model.layers.0.self_attn.q_proj', inFeatures: 4, outFeatures: 3 },
    { name: 'base_model.model.model.layers.0.mlp.up_proj', inFeatures: 2, outFeatures: 5 },
  ];
  const parts = { publicRandom, pause: () => Promise.resolve() };
  const { adapter, digest } = await frozenFactorsOfRun(runId, { modules, r }, parts);
  const bytes = (values: Float32Array): string => toHex(encodeFloats(values, 'F32'));
  return {
    family: 'frozen-factors',
    description:
      'The frozen factors of a `fed-sb` run by its id, in layout order: A [r, in] and B [out, r] as little-endian f32, row-major; and the digest that its manifest has as `adapter.frozenDigest`.',
    spec: '12.2',
    program: PROGRAM,
    content: {
      runId,
      r,
      modules: modules.map((module, i) => ({
        ...module,
        A: bytes(adapter.modules[i].A),
        B: bytes(adapter.modules[i].B),
      })),
      digest,
    },
  };
}

export async function termsVectors(): Promise<readonly VectorFile[]> {
  return [json(), manifests(), rosters(), await frozenFactors()];
}
