/**
 * Adapter versions on disk: PEFT directories named after their content, written to a temporary folder and renamed when they are
 * whole and flushed, so that a version with a name is always complete.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
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
  type VersionFile,
  type VersionRecord,
} from '@fedlora/shared';
import { firstAdapter } from '../aggregation/first-adapter.js';
import { flushFolder, isMissing, writeFlushed } from '../storage/durable-file.js';
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
  readonly createdAt: number;
}

export class VersionStore {
  constructor(
    private readonly folder: string,
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
    const files = [...contents].map(([name, bytes]): VersionFile => {
      return { name, sha256: sha256(bytes), bytes: bytes.length };
    });
    const unnamed: Omit<VersionRecord, 'id'> = {
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
      files,
    };
    const record: VersionRecord = { id: versionId(unnamed), ...unnamed };
    contents.set('manifest.json', canonicalJson(record));
    contents.set('manifest.sig', Buffer.from(`${this.key.sign(versionMessage(record))}\n`));
    contents.set(ATTESTATION_FILE, this.attestation(record, contents));
    await this.write(record.id, contents);
    return record;
  }

  /** The statement about all files of a version, signed. */
  private attestation(record: VersionRecord, contents: ReadonlyMap<string, Uint8Array>): Uint8Array {
    const manifestFiles = ['manifest.json', 'manifest.sig'].flatMap((name) => {
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

  private async checkedFile(id: string, name: string): Promise<Uint8Array> {
    const bytes = await this.file(id, name);
    const record = JSON.parse(Buffer.from(await this.file(id, 'manifest.json')).toString('utf8')) as VersionRecord;
    const listed = record.files.find((file) => file.name === name);
    if (versionId(record) !== id || listed?.sha256 !== sha256(bytes)) {
      throw new FedloraError('version/damaged', `The adapter of version ${id} is not what its record says.`);
    }
    return bytes;
  }

  /** The bytes of a file of a version. @throws FedloraError version/unknown */
  async file(id: string, name: string): Promise<Uint8Array> {
    try {
      return await readFile(this.path(id, name));
    } catch (error) {
      if (isMissing(error)) throw new FedloraError('version/unknown');
      throw error;
    }
  }

  /** The path of a file of a version, for streaming, with its size. @throws FedloraError version/unknown */
  async locate(id: string, name: string): Promise<{ readonly path: string; readonly bytes: number }> {
    const path = this.path(id, name);
    try {
      return { path, bytes: (await stat(path)).size };
    } catch (error) {
      if (isMissing(error)) throw new FedloraError('version/unknown');
      throw error;
    }
  }

  /** Whether a version has a file: those of before there were statements have none. */
  has(id: string, name: string): Promise<boolean> {
    return this.locate(id, name).then(
      () => true,
      () => false,
    );
  }

  /** Removes what a crash left half-written. */
  async tidy(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (name.startsWith('.')) await rm(join(this.folder, name), { recursive: true, force: true });
    }
  }

  /** Names come from requests: only ids and the listed file names become paths. */
  private path(id: string, name: string): string {
    if (!/^[0-9a-f]{40}$/.test(id) || !(versionFileNames as readonly string[]).includes(name)) {
      throw new FedloraError('version/unknown');
    }
    return join(this.folder, id, name);
  }

  private async write(id: string, contents: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const target = join(this.folder, id);
    const temporary = join(this.folder, `.${randomUUID()}`);
    await mkdir(temporary, { mode: 0o755 });
    try {
      await Promise.all([...contents].map(([name, bytes]) => writeFlushed(join(temporary, name), bytes)));
      await flushFolder(temporary);
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      const isThere = await stat(target).then(
        () => true,
        () => false,
      );
      if (isThere) return;
      throw error;
    }
    await flushFolder(this.folder);
  }
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
