/**
 * Adapter versions: PEFT directories named after their content. The record is written last, when every other file is there and durable,
 * so that a version with a record is always complete.
 */

import { createHash } from 'node:crypto';
import { canonicalJson, manifestHash, type Manifest } from '@fedlora/protocol';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  adapterConfigJson,
  ATTESTATION_FILE,
  attestationMessage,
  decodeAdapter,
  decodeFactorR,
  encodeAdapter,
  encodeFactorR,
  FACTOR_R_FILE,
  FedloraError,
  STATEMENT_TYPE,
  versionFileNames,
  versionId,
  versionMessage,
  versionStatement,
  type AdapterTensors,
  type Attestation,
  type AuditFindingView,
  type MergeParent,
  type VersionFile,
  type VersionRecord,
} from '@fedlora/shared';
import { firstAdapter } from '../aggregation/first-adapter.js';
import { deleteAll, NoSuchBlob, type BlobStore } from '../storage/blob-store.js';
import type { CoordinatorKey } from '../storage/keys.js';
import { adapterCard } from './card.js';

/** What was measured on rows held out from training. */
export interface HeldOutResult {
  /** Mean, nats per answer token. */
  readonly loss: number;
  /** Fraction of answers that are exactly right. */
  readonly accuracy: number;
}

/** Where a version stands in its run. */
export interface AdapterStanding {
  readonly parent: string | null;
  readonly roundId: string | null;
  readonly completedRounds: number;
  /** Organisations of the roster. */
  readonly organisations: number;
  readonly epsilon: number | null;
  /** What was measured of the parent, on rows held out from training, in the round that made this version. */
  readonly parentOnHeldOut: HeldOutResult | null;
  /** What was reported of versions of the run before this one. */
  readonly audits: readonly VersionAudit[];
  readonly createdAt: number;
}

/** An audit's finding with the version that it is of. */
export type VersionAudit = AuditFindingView & { readonly version: string };

const RECORD_FILE = 'manifest.json';
/** A version without a record after so long is one that a crash left: another replica may be writing a younger one. */
const HALF_WRITTEN_MS = 3_600_000;

export class VersionStore {
  constructor(
    readonly blobs: BlobStore,
    private readonly key: CoordinatorKey,
  ) {}

  /** Writes and signs a version; returns its record. The same content again is the same version, and is left as it is. */
  async publish(manifest: Manifest, adapter: AdapterTensors, standing: AdapterStanding): Promise<VersionRecord> {
    const { privacy, base } = manifest;
    const contents = new Map<string, Uint8Array>([
      [ADAPTER_CONFIG_FILE, Buffer.from(configOf(manifest))],
      [ADAPTER_WEIGHTS_FILE, encodeAdapter(manifest.adapter.modules, manifest.adapter.r, adapter)],
      ...factorRFile(manifest, adapter),
      ['README.md', Buffer.from(adapterCard(manifest, standing))],
    ]);
    const provenance: Omit<VersionRecord, 'id' | 'files'> = {
      runId: manifest.runId,
      parent: standing.parent,
      roundId: standing.roundId,
      completedRounds: standing.completedRounds,
      manifestHash: manifestHash(manifest),
      rosterHash: manifest.rosterHash,
      base,
      unit: privacy.unit,
      epsilon: standing.epsilon,
      delta: privacy.unit === 'none' ? null : privacy.delta,
      createdAt: standing.createdAt,
    };
    return this.sign(provenance, contents);
  }

  /** Names a version by its files and where they come from, signs it and writes it. `files`: all but those that are about them. */
  async sign(
    provenance: Omit<VersionRecord, 'id' | 'files'>,
    files: ReadonlyMap<string, Uint8Array>,
  ): Promise<VersionRecord> {
    const listed = [...files].map(([name, bytes]): VersionFile => {
      return { name, sha256: sha256(bytes), bytes: bytes.length };
    });
    const unnamed = { ...provenance, files: listed };
    const record: VersionRecord = { id: versionId(unnamed), ...unnamed };
    await this.writeSigned(record, files);
    return record;
  }

  /** Writes a version with its record and signatures: whole, or not at all. `files`: those that the record names. */
  async writeSigned(record: VersionRecord, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const contents = new Map(files);
    contents.set(RECORD_FILE, canonicalJson(record));
    contents.set('manifest.sig', Buffer.from(`${this.key.sign(versionMessage(record))}\n`));
    contents.set(ATTESTATION_FILE, this.attestation(record, contents));
    await this.write(record.id, contents);
  }

  /** The statement about all files of a version, signed. */
  private attestation(record: VersionRecord, contents: ReadonlyMap<string, Uint8Array>): Uint8Array {
    const manifestFiles = [RECORD_FILE, 'manifest.sig'].flatMap((name) => {
      const bytes = contents.get(name);
      return bytes === undefined ? [] : [{ name, sha256: sha256(bytes) }];
    });
    const statement = versionStatement(record, manifestFiles);
    const signature = this.key.sign(attestationMessage(statement));
    const attestation: Attestation = {
      payloadType: STATEMENT_TYPE,
      payload: Buffer.from(statement).toString('base64'),
      signatures: [{ keyid: this.key.publicKey, sig: Buffer.from(signature, 'hex').toString('base64') }],
    };
    return Buffer.from(`${JSON.stringify(attestation)}\n`);
  }

  /**
   * Reads the adapter of a version, as rounds go on from it: for `fed-sb` R as it was written, and A and B from the run's id.
   *
   * @throws FedloraError version/unknown | version/damaged
   */
  async adapter(id: string, manifest: Manifest): Promise<AdapterTensors> {
    const { rule, modules, r } = manifest.adapter;
    if (rule !== 'fed-sb') return decodeAdapter(await this.checkedFile(id, ADAPTER_WEIGHTS_FILE), modules, r);
    const factorsR = decodeFactorR(await this.checkedFile(id, FACTOR_R_FILE), modules, r);
    const { modules: frozen } = await firstAdapter(manifest);
    return { modules: frozen.map((module, i) => ({ ...module, R: factorsR[i] })) };
  }

  /** What is merged of a version, as it was written. @throws FedloraError version/unknown | version/damaged */
  async mergeable(id: string): Promise<Omit<MergeParent, 'weight'>> {
    const [config, weights] = [
      await this.checkedFile(id, ADAPTER_CONFIG_FILE),
      await this.checkedFile(id, ADAPTER_WEIGHTS_FILE),
    ];
    return { record: await this.record(id), config: Buffer.from(config).toString('utf8'), weights };
  }

  /** The record of a version, as it was signed. @throws FedloraError version/unknown */
  async record(id: string): Promise<VersionRecord> {
    return JSON.parse(Buffer.from(await this.file(id, RECORD_FILE)).toString('utf8')) as VersionRecord;
  }

  /** The bytes of a file, if they are what the record says. @throws FedloraError version/unknown | version/damaged */
  async checkedFile(id: string, name: string): Promise<Uint8Array> {
    const bytes = await this.file(id, name);
    const record = await this.record(id);
    const listed = record.files.find((file) => file.name === name);
    if (versionId(record) !== id || listed?.sha256 !== sha256(bytes)) {
      throw new FedloraError('version/damaged', `The adapter of version ${id} is not what its record says.`);
    }
    return bytes;
  }

  /** The bytes of a file of a version. @throws FedloraError version/unknown */
  async file(id: string, name: string): Promise<Uint8Array> {
    try {
      return await this.blobs.get(blobOf(id, name));
    } catch (error) {
      if (error instanceof NoSuchBlob) throw new FedloraError('version/unknown');
      throw error;
    }
  }

  /** The blob of a file of a version, for streaming, with its size. @throws FedloraError version/unknown */
  async locate(id: string, name: string): Promise<{ readonly blob: string; readonly bytes: number }> {
    const blob = blobOf(id, name);
    const bytes = await this.blobs.size(blob);
    if (bytes === undefined) throw new FedloraError('version/unknown');
    return { blob, bytes };
  }

  /** Whether a version has a file: those of before there were statements have none. */
  async has(id: string, name: string): Promise<boolean> {
    return (await this.blobs.size(blobOf(id, name))) !== undefined;
  }

  /** Removes what a crash left half-written. */
  async tidy(now: number): Promise<void> {
    await this.blobs.tidy();
    const newest = new Map<string, number>();
    const whole = new Set<string>();
    for await (const { name, storedAt } of this.blobs.list()) {
      const [id, file] = name.split('/');
      newest.set(id, Math.max(storedAt, newest.get(id) ?? 0));
      if (file === RECORD_FILE) whole.add(id);
    }
    for (const [id, storedAt] of newest)
      if (!whole.has(id) && storedAt < now - HALF_WRITTEN_MS) await deleteAll(this.blobs, `${id}/`);
  }

  private async write(id: string, contents: ReadonlyMap<string, Uint8Array>): Promise<void> {
    if (await this.has(id, RECORD_FILE)) return;
    const putAll = async (wanted: (name: string) => boolean): Promise<void> => {
      const files = [...contents].filter(([name]) => wanted(name));
      await Promise.all(files.map(([name, bytes]) => this.blobs.put(blobOf(id, name), bytes)));
    };
    await putAll((name) => name !== RECORD_FILE);
    await putAll((name) => name === RECORD_FILE);
  }
}

/** Names come from requests: only ids and the listed file names become names of blobs. @throws FedloraError version/unknown */
function blobOf(id: string, name: string): string {
  if (!/^[0-9a-f]{40}$/.test(id) || !(versionFileNames as readonly string[]).includes(name)) {
    throw new FedloraError('version/unknown');
  }
  return `${id}/${name}`;
}

/** What `fed-sb` goes on from beside the plain LoRA, whose B R is rounded. */
function factorRFile({ adapter: { rule, modules, r } }: Manifest, adapter: AdapterTensors): [string, Uint8Array][] {
  return rule === 'fed-sb' ? [[FACTOR_R_FILE, encodeFactorR(modules, r, adapter)]] : [];
}

function configOf(manifest: Manifest): string {
  return adapterConfigJson({
    base_model_name_or_path: manifest.base.name,
    revision: null,
    r: manifest.adapter.r,
    lora_alpha: manifest.adapter.loraAlpha,
    use_rslora: false,
    target_modules: manifest.adapter.targetModules,
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
