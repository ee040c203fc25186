/** Known answers of what happens to an update before it is masked, and of what a client writes down. */

import { createCipheriv } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { handOver, Ledger } from '../../client/src/storage/ledger.js';
import { Secret } from '../../protocol/src/bytes/secret.js';
import { toHex } from '../../protocol/src/bytes/hex.js';
import { quantize, sensitivityInSteps } from '../../protocol/src/encoding/quantize.js';
import { nodeProvider as crypto } from '../../protocol/src/node/index.js';
import { clipToL2Norm } from '../../protocol/src/privacy/clip.js';
import { nextRevocations, signRevocations } from '../../protocol/src/manifest/revocation.js';
import { discreteGaussianSampler, noiseShareStddev } from '../../protocol/src/privacy/noise.js';
import type { RandomSource } from '../../protocol/src/random.js';
import {
  boundWithMetrics,
  withMetrics,
  type MeasuredUnit,
  type MetricTerms,
  type ReleasedNumbers,
} from '../../protocol/src/update/metrics.js';
import { toRawUpdate } from '../../protocol/src/update/raw.js';
import { counting, type VectorFile } from './vector-file.js';

const PROGRAM = 'update-vectors.ts';

function encoding(): VectorFile {
  const rows = [
    { values: [0, 0.5, 1.5, 2.5, -0.5, -1.5, 3.25, -3.75], l2Bound: 100, stepsPerUnit: 1 },
    { values: [0.1, -0.2, 0.3], l2Bound: 1, stepsPerUnit: 2 ** 16 },
    { values: [3, 4], l2Bound: 1, stepsPerUnit: 2 ** 10 },
  ];
  return {
    family: 'encoding',
    description:
      'Updates clipped to l2Bound and rounded to levels, ties to even; the sensitivity in steps of one such vector. The last row is clipped: a little more than to the bound, by at most 2^-48 of it.',
    spec: '16.2, 16.4, 16.5',
    program: PROGRAM,
    content: {
      rows: rows.map((row) => {
        const clipped = clipToL2Norm(toRawUpdate(Float64Array.from(row.values)), row.l2Bound);
        return {
          ...row,
          levels: [...quantize(clipped, row.stepsPerUnit).levels],
          sensitivityInSteps: sensitivityInSteps(row.l2Bound, row.stepsPerUnit, row.values.length),
        };
      }),
    },
  };
}

/** The AES-256-CTR keystream of a key with an initial counter block of zero, in order. */
function keystream(key: Uint8Array): RandomSource {
  const cipher = createCipheriv('aes-256-ctr', key, new Uint8Array(16));
  return (byteLength) => new Uint8Array(cipher.update(new Uint8Array(byteLength)));
}

function noise(): VectorFile {
  const shares = [
    { noiseMultiplier: 1, l2SensitivityInSteps: 1000, minimumContributors: 3, assumedColluders: 1 },
    { noiseMultiplier: 0.8, l2SensitivityInSteps: 66060.5, minimumContributors: 20, assumedColluders: 3 },
  ];
  const rows = [0.5, 8, 707.5, 123456.789].map((stddevInSteps, i) => {
    const key = counting(0x21 * (i + 1));
    const samples = new Int32Array(24);
    discreteGaussianSampler(stddevInSteps).addTo(samples, keystream(key));
    return { stddevInSteps, key: toHex(key), samples: [...samples] };
  });
  return {
    family: 'noise',
    description:
      'Width of one noise share; and samples of the discrete Gaussian from the AES-256-CTR keystream of a key, zero counter, read in order. The law is the specification: another implementation may use its random bytes otherwise.',
    spec: '17.1, 17.2',
    program: PROGRAM,
    content: { shares: shares.map((terms) => ({ ...terms, stddevInSteps: noiseShareStddev(terms) })), rows },
  };
}

function metrics(): VectorFile {
  const losses: MetricTerms = { weight: 0.125, lossBound: 8 };
  const all: MetricTerms = { ...losses, clipping: { quantile: 0.5, learningRate: 0.2 }, evaluation: { fraction: 0.1 } };
  const released: ReleasedNumbers = {
    losses: [2, 4, 1],
    norms: [0.5, 3, 0.9375],
    heldOut: [
      { loss: 1, exact: 1 },
      { loss: 16, exact: 0 },
    ],
  };
  const rows: readonly { kind: MeasuredUnit['kind']; terms: MetricTerms; released: ReleasedNumbers }[] = [
    { kind: 'record', terms: losses, released: { losses: [2, 9, -1] } },
    { kind: 'record', terms: all, released },
    { kind: 'update', terms: all, released },
  ];
  return {
    family: 'metrics',
    description:
      'The coordinates that stand after an update of one value, 0.5, whose unit is clipped to l2Bound: sums over the units of one organisation. `bound` is that of one unit’s whole vector.',
    spec: '18.1, 18.3',
    program: PROGRAM,
    content: {
      l2Bound: 1,
      rows: rows.map(({ kind, terms, released }) => ({
        kind,
        terms,
        released,
        vector: [...withMetrics(Float64Array.of(0.5), released, terms, { kind, l2Bound: 1 })],
        bound: boundWithMetrics({ kind, l2Bound: 1 }, terms),
      })),
    },
  };
}

function anIdentity(seed: Uint8Array) {
  return {
    publicKey: toHex(crypto.ed25519.publicKey(seed)),
    sign: (message: Uint8Array) => crypto.ed25519.sign(seed, message),
    seed: new Secret(seed.slice()),
  };
}

async function ledger(): Promise<VectorFile> {
  const seeds = [counting(0x77), counting(0x97), counting(0xb7)];
  const federationSeed = counting(0x05);
  const federationKey = toHex(crypto.ed25519.publicKey(federationSeed));
  const [first, second, third] = seeds.map(anIdentity);
  const folder = await mkdtemp(join(tmpdir(), 'fedlora-vectors-'));
  const path = join(folder, 'ledger.jsonl');
  const book = await Ledger.open(path, 'default', first);
  const charge = { runId: 'run-1', manifestHash: 'a'.repeat(64), steps: 1, delta: 1e-5 };
  await book.noteRecords(
    { count: 3, digest: 'd'.repeat(64), isWhole: true, sharedWith: ['former'] },
    1_699_999_999_000,
  );
  await book.record(
    { ...charge, roundId: 'run-1-r1', unit: 'record', noiseMultiplier: 0.8, samplingRate: 0.02 },
    1_700_000_000_000,
  );
  await book.record(
    { ...charge, roundId: 'run-1-r2', unit: 'client', noiseMultiplier: 1.5, samplingRate: 1 },
    1_700_000_060_000,
  );
  await book.record(
    { ...charge, roundId: 'run-1-r3', unit: 'none', noiseMultiplier: 0, samplingRate: 1, delta: 0 },
    1_700_000_120_000,
  );
  await book.close();
  // To the second key with the first in hand; then the second is lost, and the federation's list says so.
  await handOver(path, 'default', { from: first, to: second, at: 1_700_000_180_000 });
  const revocations = signRevocations(crypto, federationSeed, nextRevocations(undefined, [second.publicKey]));
  const lost = { publicKey: second.publicKey, revocations };
  await handOver(path, 'default', { from: lost, to: third, at: 1_700_000_240_000, federationKey });
  const again = await Ledger.open(path, 'default', third, federationKey);
  await again.record(
    { ...charge, roundId: 'run-1-r4', unit: 'record-local', noiseMultiplier: 1.1, samplingRate: 0.05, steps: 4 },
    1_700_000_300_000,
  );
  await again.close();
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  await rm(folder, { recursive: true });
  return {
    family: 'ledger',
    description:
      'The ledger of data set "default": a note of its records, three charges under the first identity, its change to the second, the change from the second, which was lost and revoked, to the third, and a charge under that.',
    spec: '19.1, 19.2, 19.3, 19.4.1, 19.7',
    program: PROGRAM,
    content: {
      identities: [first, second, third].map(({ publicKey }, i) => ({ seed: toHex(seeds[i]), publicKey })),
      federationKey,
      lines,
    },
  };
}

export async function updateVectors(): Promise<readonly VectorFile[]> {
  return [encoding(), noise(), metrics(), await ledger()];
}
