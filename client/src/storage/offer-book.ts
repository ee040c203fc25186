/**
 * The manifests that were offered to this client, and which of them the owner has approved: one file each, so that daemon and command
 * line need no lock, and an approval takes effect with the next offer.
 */

import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { manifestHash, type Manifest } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { writeAtomically } from './atomic-file.js';

/** Manifests that are kept; of more, the oldest that are not approved go. */
const KEPT = 200;
const OFFER = /^[0-9a-f]{64}\.json$/;
/** So much of a hash tells manifests apart, and is not found by accident. */
const LEAST_PREFIX = 8;

export interface KnownOffer {
  readonly manifestHash: string;
  readonly manifest: Manifest;
  /** Unix milliseconds. */
  readonly firstOfferedAt: number;
  readonly approvedAt: number | null;
}

export class OfferBook {
  constructor(private readonly folder: string) {}

  /** Keeps a manifest that was verified. Does nothing if it is known. */
  async remember(manifest: Manifest, hash: string, at: number): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const names = await this.names();
    if (names.includes(hash)) return;
    await writeAtomically(this.offer(hash), `${JSON.stringify({ firstOfferedAt: at, manifest })}\n`, { mode: 0o600 });
    if (names.length >= KEPT) await this.forgetOldest(names.length + 1 - KEPT);
  }

  /** The newest first. */
  async list(): Promise<readonly KnownOffer[]> {
    const offers = await Promise.all((await this.names()).map((hash) => this.read(hash)));
    return offers
      .filter((offer) => offer !== undefined)
      .sort((a, b) => b.firstOfferedAt - a.firstOfferedAt || (a.manifestHash < b.manifestHash ? -1 : 1));
  }

  /** The one whose hash begins like this. @throws FedloraError policy/unknown-offer: none, or more than one */
  async find(prefix: string): Promise<KnownOffer> {
    const found = (await this.names()).filter((hash) => prefix.length >= LEAST_PREFIX && hash.startsWith(prefix));
    const offer = found.length === 1 ? await this.read(found[0]) : undefined;
    if (offer !== undefined) return offer;
    const why =
      prefix.length < LEAST_PREFIX
        ? `At least ${LEAST_PREFIX} characters of a hash are needed.`
        : found.length > 1
          ? `${found.length} hashes begin with ${prefix}.`
          : undefined;
    throw new FedloraError('policy/unknown-offer', why);
  }

  async approve(hash: string, at: number): Promise<void> {
    await writeAtomically(this.approval(hash), `${at}\n`, { mode: 0o600 });
  }

  async withdraw(hash: string): Promise<void> {
    await rm(this.approval(hash), { force: true });
  }

  async isApproved(hash: string): Promise<boolean> {
    return (await this.approvedAt(hash)) !== null;
  }

  /** A damaged file is as good as none: the offer comes again. */
  private async read(hash: string): Promise<KnownOffer | undefined> {
    try {
      const { firstOfferedAt, manifest } = JSON.parse(await readFile(this.offer(hash), 'utf8')) as {
        firstOfferedAt: number;
        manifest: Manifest;
      };
      if (manifestHash(manifest) !== hash) return undefined;
      return { manifestHash: hash, manifest, firstOfferedAt, approvedAt: await this.approvedAt(hash) };
    } catch {
      return undefined;
    }
  }

  private async approvedAt(hash: string): Promise<number | null> {
    try {
      return Number(await readFile(this.approval(hash), 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  private async forgetOldest(count: number): Promise<void> {
    const waiting = (await this.list()).filter(({ approvedAt }) => approvedAt === null);
    for (const { manifestHash: hash } of waiting.slice(1).slice(-count)) await rm(this.offer(hash), { force: true });
  }

  private async names(): Promise<string[]> {
    const files = await readdir(this.folder).catch(() => []);
    return files.filter((name) => OFFER.test(name)).map((name) => name.slice(0, -'.json'.length));
  }

  private offer(hash: string): string {
    return join(this.folder, `${hash}.json`);
  }

  private approval(hash: string): string {
    return join(this.folder, `${hash}.approved`);
  }
}
