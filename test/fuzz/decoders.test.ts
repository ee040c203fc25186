/**
 * Every decoder of bytes that a stranger sent or a disk held, against hostile bytes: it never fails but with an error of the
 * catalogue, it ends, and what it accepts it accepts in one encoding only, wherever the format is ours.
 *
 * Terms of a run are signed again after they were damaged, as a lying coordinator would sign them.
 */

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { OfferVerifier } from '../../client/src/round/verify-offer.js';
import { parseGgufHeader } from '../../client/src/engine/weights/gguf/format.js';
import { readLedger } from '../../client/src/storage/ledger.js';
import { canonicalJson, parseCanonicalJson } from '../../protocol/src/bytes/canonical-json.js';
import { fromHex, toHex } from '../../protocol/src/bytes/hex.js';
import { ProtocolError } from '../../protocol/src/errors.js';
import { checkManifest, manifestMessage, type Manifest } from '../../protocol/src/manifest/manifest.js';
import { readRevocations, signRevocations, type RevocationList } from '../../protocol/src/manifest/revocation.js';
import { certifyMember, checkRoster, rosterHash, type Roster } from '../../protocol/src/manifest/roster.js';
import { nodeProvider, seededRandom } from '../../protocol/src/node/index.js';
import { sha256 } from '../../protocol/src/primitives/hash.js';
import type { CryptoProvider } from '../../protocol/src/primitives/provider.js';
import { decodeMaskedUpdate, wordsToBytes } from '../../protocol/src/secagg/masks.js';
import { combine, split } from '../../protocol/src/sharing/shamir.js';
import {
  adapterConfigJson,
  decodeAdapter,
  decodeFactorR,
  encodeAdapter,
  encodeFactorR,
  parseAdapterConfig,
} from '../../shared/src/adapter/peft.js';
import { readSafetensors, writeSafetensors } from '../../shared/src/adapter/safetensors.js';
import { versionId, versionMessage, type VersionRecord } from '../../shared/src/adapter/version.js';
import { checkRecord } from '../../shared/src/adapter/version-check.js';
import { FedloraError } from '../../shared/src/errors/fedlora-error.js';
import { adaptedModules } from '../../shared/src/run/modules.js';
import { aGguf, f32, list, text as ggufText, u32, u64 } from '../support/a-gguf.js';
import { aManifest, someLocalRecordSteps } from '../support/a-manifest.js';
import { cases, fuzzSeed, hostile } from './hostile-bytes.js';
import { codecs } from './secagg-messages.js';

// The fast provider in place of the clients' own, which it is held to by the conformance suite; it remembers good signatures.
vi.mock('@fedlora/protocol/node', async (importOriginal) => {
  const original = await importOriginal<typeof import('@fedlora/protocol/node')>();
  const { nodeProvider: fast } = original;
  const good = new Set<string>();
  const verify: CryptoProvider['ed25519']['verify'] = (signature, message, key) => {
    const name = [signature, fast.sha256(message), key].map(latin1).join('|');
    if (good.has(name)) return true;
    const isGood = fast.ed25519.verify(signature, message, key);
    if (isGood && good.size < 10_000) good.add(name);
    return isGood;
  };
  return { ...original, nodeProvider: { ...fast, ed25519: { ...fast.ed25519, verify } } };
});

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Bytes as text, one character each, so that no two byte strings are one text. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
/** As a socket or file gives text: what is no UTF-8 becomes U+FFFD. */
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const print = (value: unknown): string => textOf(canonicalJson(value));

interface Decoder {
  readonly name: string;
  readonly good: readonly Uint8Array[];
  /** Reads the bytes and gives those that stand for what was read; `undefined` where the format has many encodings. */
  readonly reencode: (bytes: Uint8Array) => Uint8Array | undefined;
}

/** A decoder of text. `reencode` gives the text again. */
function ofText(name: string, good: readonly string[], reencode: (text: string) => string | undefined): Decoder {
  return {
    name,
    good: good.map(utf8),
    reencode: (bytes) => {
      const text = textOf(bytes);
      const again = reencode(text);
      // Compared as texts; both sides then as bytes of one kind.
      return again === undefined ? undefined : again === text ? bytes : utf8(`another text: ${again}`);
    },
  };
}

const keyOf = (name: string) => {
  const seed = seededRandom(name)(32);
  return { seed, key: toHex(nodeProvider.ed25519.publicKey(seed)) };
};
const coordinator = keyOf('coordinator');
const federation = keyOf('federation');
/** Takes every signature for good, so that what lies behind the check is reached. */
const credulous: CryptoProvider = { ...nodeProvider, ed25519: { ...nodeProvider.ed25519, verify: () => true } };

const roster: Roster = {
  version: 1,
  members: ['bank', 'clinic', 'council'].map((name) => ({
    name,
    identity: keyOf(name).key,
    certificate: certifyMember(nodeProvider, federation.seed, { name, identity: keyOf(name).key }),
  })),
};
const config = {
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
};
const modules = adaptedModules(config, ['q_proj', 'v_proj']);
const terms = aManifest({
  rosterHash: rosterHash(roster),
  adapter: { ...aManifest().adapter, targetModules: ['q_proj', 'v_proj'], modules },
});
const localTerms: Manifest = {
  ...terms,
  training: { kind: 'local-steps', steps: 2, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
  privacy: { ...terms.privacy, unit: 'client' },
};
const ownNoiseTerms: Manifest = {
  ...terms,
  training: someLocalRecordSteps,
  privacy: { ...terms.privacy, unit: 'record-local' },
};
const clippingTerms: Manifest = {
  ...localTerms,
  adapter: { ...localTerms.adapter, rule: 'alternate' },
  metrics: { ...localTerms.metrics, clipping: { quantile: 0.5, learningRate: 0.2 }, evaluation: { fraction: 0.1 } },
};
const fedSbTerms: Manifest = {
  ...terms,
  adapter: { ...terms.adapter, rule: 'fed-sb', frozenDigest: 'd'.repeat(64) },
};
const allTerms = [terms, localTerms, ownNoiseTerms, clippingTerms, fedSbTerms].map(print);

/** Verifies an offer of these terms, signed by the coordinator whatever they are. */
function offer(manifestText: string, rosterText: string): void {
  let signature: Uint8Array = new Uint8Array(64);
  try {
    signature = nodeProvider.ed25519.sign(coordinator.seed, manifestMessage(JSON.parse(manifestText) as Manifest));
  } catch {
    // Not to be signed: the client must refuse it all the same.
  }
  const verifier = new OfferVerifier({
    pins: { coordinatorKey: coordinator.key, federationKey: federation.key },
    identity: keyOf('clinic').key,
    base: { digest: 'b'.repeat(64), config },
    hasJoined: () => false,
    revocations: () => undefined,
    wasChargedOtherwise: () => false,
  });
  verifier.verify({
    runId: 'run-1',
    roundId: 'run-1-1',
    number: 1,
    completedRounds: 0,
    manifest: manifestText,
    manifestSignature: toHex(signature),
    roster: rosterText,
    baseVersion: 'a'.repeat(40),
    previousSid: '0'.repeat(64),
  });
}

const revocations: readonly RevocationList[] = [
  { version: 1, epoch: 1, revoked: [] },
  { version: 1, epoch: 7, revoked: [keyOf('bank').key, keyOf('clinic').key].sort() },
];

const file = (name: string) => ({ name, bytes: 10, sha256: '1'.repeat(64) });
const content: Omit<VersionRecord, 'id'> = {
  runId: 'run-1',
  parent: null,
  roundId: 'run-1-r1',
  completedRounds: 1,
  manifestHash: '2'.repeat(64),
  rosterHash: '3'.repeat(64),
  base: { name: 'tiny', digest: '4'.repeat(64) },
  unit: 'record',
  epsilon: 0.5,
  delta: 1e-5,
  createdAt: 1,
  files: ['adapter_config.json', 'adapter_model.safetensors', 'README.md'].map(file),
};
const record: VersionRecord = { ...content, id: versionId(content) };

/** Checks a record that the coordinator signed whatever it is, under the id that it claims. */
function readRecord(bytes: Uint8Array): void {
  let signature: Uint8Array = new Uint8Array(64);
  let id = record.id;
  try {
    const value = JSON.parse(textOf(bytes)) as VersionRecord;
    signature = nodeProvider.ed25519.sign(coordinator.seed, versionMessage(value));
    id = versionId(value);
    // A liar names its record after its content.
    bytes = canonicalJson({ ...value, id });
    signature = nodeProvider.ed25519.sign(coordinator.seed, versionMessage({ ...value, id }));
  } catch {
    // As above.
  }
  checkRecord(id, bytes, utf8(toHex(signature)), coordinator.key);
}

const adapterModules = modules;
const adapter = {
  modules: adapterModules.map(({ inFeatures, outFeatures }) => ({
    A: new Float32Array(2 * inFeatures).fill(0.5),
    B: new Float32Array(2 * outFeatures).fill(-0.25),
  })),
};
const withR = { modules: adapter.modules.map((module) => ({ ...module, R: new Float32Array(4).fill(0.125) })) };
const adapterConfig = {
  base_model_name_or_path: 'tiny',
  revision: null,
  r: 2,
  lora_alpha: 4,
  use_rslora: false,
  target_modules: ['q_proj', 'v_proj'],
};

/** A ledger of three charges with a change of key before the last, as `Ledger.record` and `handOver` write it. */
const formerKey = keyOf('bank, before');
const ledgerKey = keyOf('bank');
const ledger = ((): string => {
  let previous = '0'.repeat(64);
  const line = (entry: object, seed: Uint8Array, former?: (hash: Uint8Array) => object): string => {
    const hash = sha256(canonicalJson({ domain: 'fedlora/client-ledger/v1', entry }));
    previous = toHex(hash);
    const signature = toHex(nodeProvider.ed25519.sign(seed, hash));
    return `${JSON.stringify({ entry, hash: previous, signature, ...(former && { former: former(hash) }) })}\n`;
  };
  const charge = (sequence: number, seed: Uint8Array): string => {
    const entry = {
      sequence,
      previous,
      dataset: 'default',
      runId: 'run-1',
      roundId: `run-1-r${sequence}`,
      manifestHash: '5'.repeat(64),
      unit: 'record',
      noiseMultiplier: 0.8,
      samplingRate: 0.02,
      steps: 1,
      delta: 1e-5,
      at: sequence,
    };
    return line(entry, seed);
  };
  const charges = charge(1, formerKey.seed) + charge(2, formerKey.seed);
  const keys = { from: formerKey.key, to: ledgerKey.key };
  const change = line(
    { kind: 'key-change', sequence: 3, previous, dataset: 'default', ...keys, at: 3 },
    ledgerKey.seed,
    (hash) => ({ signature: toHex(nodeProvider.ed25519.sign(formerKey.seed, hash)) }),
  );
  return charges + change + charge(4, ledgerKey.seed);
})();

const gguf = aGguf({
  metadata: { words: list(ggufText('a'), ggufText('b')), numbers: list(u32(1)), wide: u64(2n ** 60n), small: f32(1) },
});

const decoders: readonly Decoder[] = [
  ...codecs.map(({ name, encoded, decode, encode }) => ({
    name,
    good: fc.sample(encoded, { numRuns: 40, seed: fuzzSeed }),
    reencode: (bytes: Uint8Array) => encode(decode(bytes) as never),
  })),
  {
    name: 'share',
    good: [1, 2, 3].map((i) => split(seededRandom(i)(32), { threshold: 1, xs: [1] }, seededRandom(0))[0].bytes),
    reencode: (bytes) => split(combine([{ x: 1, bytes }], 1), { threshold: 1, xs: [1] }, seededRandom(0))[0].bytes,
  },
  {
    name: 'masked words',
    good: [wordsToBytes(new Uint32Array(16).fill(7))],
    reencode: (bytes) => wordsToBytes(decodeMaskedUpdate(bytes, 16).words),
  },
  ofText('hex', ['', '00ff', 'a5'.repeat(32)], (text) => toHex(fromHex(text))),
  ofText('canonical JSON', [print(terms), print(roster), '[]', '"\\u0000"', '{"a":{"":[1,0.5,1e+21]}}'], (text) =>
    print(parseCanonicalJson(text)),
  ),
  ofText('manifest', allTerms, (text) => {
    const manifest = parseCanonicalJson(text) as Manifest;
    checkManifest(manifest, 3);
    return print(manifest);
  }),
  ofText('roster', [print(roster)], (text) => {
    const value = parseCanonicalJson(text) as Roster;
    checkRoster(credulous, federation.key, value);
    return print(value);
  }),
  ofText('offer with a manifest', allTerms, (text) => {
    offer(text, print(roster));
    return allTerms.includes(text) ? text : print(parseCanonicalJson(text));
  }),
  ofText('offer with a roster', [print(roster)], (text) => {
    offer(print(terms), text);
    return print(roster); // its hash is in the terms: no other is accepted
  }),
  ofText(
    'revocation list',
    revocations.map((one) => signRevocations(nodeProvider, federation.seed, one)),
    (text) => {
      const read = readRevocations(credulous, federation.key, text);
      return print({ list: read, signature: (JSON.parse(text) as { signature: string }).signature });
    },
  ),
  ofText('ledger', [ledger], (content) => {
    const { length } = readLedger(content, { publicKey: ledgerKey.key });
    const lines = ledger.split('\n').slice(0, length);
    // A torn last line is not counted.
    return `${lines.map((line) => `${line}\n`).join('')}${content.slice(content.lastIndexOf('\n') + 1)}`;
  }),
  { name: 'version record', good: [canonicalJson(record)], reencode: (bytes) => void readRecord(bytes) },
  {
    name: 'safetensors',
    good: [
      writeSafetensors([
        { name: 'a', shape: [2, 1], values: Float32Array.of(1, 2) },
        { name: 'b', shape: [], values: Float32Array.of(3) },
      ]),
      writeSafetensors([]),
    ],
    reencode: (bytes) => {
      const { header, bytesOf } = readSafetensors(bytes);
      // The header is JSON in any spelling, but every byte of the data belongs to one tensor.
      const data = [...header.tensors.keys()].map((name) => bytesOf(name)!);
      expect(latin1(Buffer.concat(data))).toBe(latin1(bytes.subarray(header.dataStart)));
      return undefined;
    },
  },
  {
    name: 'adapter',
    good: [encodeAdapter(adapterModules, 2, adapter)],
    reencode: (bytes) => {
      const values = decodeAdapter(bytes, adapterModules, 2);
      expect(decodeAdapter(encodeAdapter(adapterModules, 2, values), adapterModules, 2)).toEqual(values);
      return undefined;
    },
  },
  {
    name: 'R of fed-sb',
    good: [encodeFactorR(adapterModules, 2, withR)],
    reencode: (bytes) => {
      const values = decodeFactorR(bytes, adapterModules, 2);
      const again = { modules: withR.modules.map((module, i) => ({ ...module, R: values[i] })) };
      expect(decodeFactorR(encodeFactorR(adapterModules, 2, again), adapterModules, 2)).toEqual(values);
      return undefined;
    },
  },
  ofText('adapter config', [adapterConfigJson(adapterConfig)], (text) => {
    const read = parseAdapterConfig(text);
    expect(parseAdapterConfig(adapterConfigJson(read))).toEqual(read);
    return undefined;
  }),
  {
    name: 'GGUF header',
    good: [gguf],
    reencode: (bytes) => {
      const header = parseGgufHeader(bytes, bytes.length);
      if ('needsBytes' in header) throw new Error('asks for more than the whole file');
      for (const { begin, end } of header.tensors.values()) expect(begin <= end && end <= bytes.length).toBe(true);
      return undefined;
    },
  },
];

/** Whether an error is one that callers are told of. */
const isCatalogued = (error: unknown): boolean =>
  error instanceof ProtocolError || (error instanceof FedloraError && error.code !== 'internal/unexpected');

describe.each(decoders.map((decoder) => [decoder.name, decoder] as const))('%s', (name, { good, reencode }) => {
  it('reads its own encodings', () => {
    for (const bytes of good) expect(reencode(bytes) ?? bytes).toEqual(bytes);
  });

  it('meets hostile bytes with an error of the catalogue, or reads them in their one encoding', () => {
    let accepted = 0;
    let refused = 0;
    const numRuns = cases(300);
    fc.assert(
      fc.property(hostile(good), (bytes) => {
        let again: Uint8Array | undefined;
        try {
          again = reencode(bytes);
        } catch (error) {
          if (!isCatalogued(error)) throw error;
          refused += 1;
          return;
        }
        accepted += 1;
        if (again !== undefined && latin1(again) !== latin1(bytes)) expect(textOf(again)).toBe(textOf(bytes));
      }),
      { numRuns, seed: fuzzSeed },
    );
    // Both ways were met, so neither half of the property is empty.
    expect(Math.min(accepted, refused)).toBeGreaterThan(numRuns / 100);
    if (process.env['FEDLORA_FUZZ_CASES'] !== undefined) {
      process.stdout.write(`${name}: ${numRuns} cases, ${accepted} accepted, ${refused} refused\n`);
    }
  });
});
