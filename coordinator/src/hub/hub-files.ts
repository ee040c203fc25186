/** The files of a version with the names that the Hub gives contents: git's, and for weights that of Git LFS. */

import { createHash } from 'node:crypto';
import { ATTESTATION_FILE, FedloraError, versionFileNames, type VersionRecord } from '@fedlora/shared';
import type { VersionStore } from '../adapters/version-store.js';
import type { HubLargeFile } from './hub-types.js';

export interface HubFile {
  readonly name: string;
  readonly size: number;
  /** SHA-1 that git names the content by; of a large file, that of the text which stands for it. */
  readonly oid: string;
  readonly large?: HubLargeFile;
  /** What stands for a large file in git. */
  readonly pointer?: string;
}

/** Versions whose lists are kept: they never change, and are a few hundred bytes each. */
const MOST_KEPT = 1000;

export class HubFiles {
  private readonly kept = new Map<string, readonly HubFile[]>();

  constructor(private readonly store: VersionStore) {}

  /** In the order in which the Hub lists files: by name. @throws FedloraError version/unknown */
  async of(version: string): Promise<readonly HubFile[]> {
    const known = this.kept.get(version);
    if (known !== undefined) return known;
    const record = await this.store.record(version);
    const names = [...record.files.map(({ name }) => name), 'manifest.json', 'manifest.sig'];
    if (await this.store.has(version, ATTESTATION_FILE)) names.push(ATTESTATION_FILE);
    const files = await Promise.all(names.sort().map((name) => this.describe(version, name, record)));
    const [oldest] = this.kept.keys();
    if (this.kept.size >= MOST_KEPT && oldest !== undefined) this.kept.delete(oldest);
    this.kept.set(version, files);
    return files;
  }

  /** @throws FedloraError version/unknown | version/no-file */
  async find(version: string, name: string): Promise<HubFile> {
    const isName = (versionFileNames as readonly string[]).includes(name);
    const file = isName ? (await this.of(version)).find((one) => one.name === name) : undefined;
    if (file === undefined) throw new FedloraError('version/no-file', `Version ${version} has no file of this name.`);
    return file;
  }

  private async describe(version: string, name: string, record: VersionRecord): Promise<HubFile> {
    const listed = record.files.find((file) => file.name === name);
    // Weights are large: their hash is in the record, and they are not read for it.
    if (listed !== undefined && name.endsWith('.safetensors')) {
      const { sha256, bytes: size } = listed;
      const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
      const large = { oid: sha256, size, pointerSize: pointer.length };
      return { name, size, oid: gitHash(Buffer.from(pointer)), large, pointer };
    }
    const bytes = await this.store.file(version, name);
    return { name, size: bytes.length, oid: gitHash(bytes) };
  }
}

/** How git names a content. */
function gitHash(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}
