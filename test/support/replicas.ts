/** A cluster with four organisations that come back through the proxy whenever their connection breaks. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { S3Client } from '@aws-sdk/client-s3';
import { manifestHash, type Manifest } from '@fedlora/protocol';
import {
  routes,
  type Overview,
  type RequestPhase,
  type Reply,
  type RoundRequest,
  type RoundView,
} from '@fedlora/shared';
import { S3Blobs } from '../../coordinator/src/storage/s3-blobs.js';
import { Cluster } from './cluster.js';
import { eventualAnswer } from './eventually.js';
import { FakeFederation, FakeOrganisation } from './fake-federation.js';
import { listAll, operate } from './requests.js';

/** One that can be held in the middle of its upload, and remembers what it sent and on which terms. */
export class HeldOrganisation extends FakeOrganisation {
  /** Everything that it told the coordinator: nothing of it may be left when its round has ended. */
  readonly told: Uint8Array[] = [];
  /** By hash. */
  readonly manifests = new Map<string, Manifest>();
  private readonly uploading = new Set<string>();
  private held: { readonly until: Promise<void>; readonly release: () => void } | undefined;

  /** Its next upload stops after one piece. */
  holdUpload(): void {
    let release = (): void => undefined;
    const until = new Promise<void>((resolve) => (release = resolve));
    this.held = { until, release };
  }

  /** Lets its upload go on. */
  releaseUpload(): void {
    this.held?.release();
    this.held = undefined;
  }

  /** Whether a piece of its contribution to a round is at the coordinator, and it is held. */
  isHeldAt(roundId: string): boolean {
    return this.uploading.has(roundId);
  }

  override async patch(roundId: string, offset: number, piece: Uint8Array, length: number): Promise<Response> {
    this.told.push(Uint8Array.from(piece));
    if (offset > 0 && this.held !== undefined) {
      this.uploading.add(roundId);
      await this.held.until;
    }
    return super.patch(roundId, offset, piece, length);
  }

  override reply(roundId: string, phase: RequestPhase, message: Uint8Array): Promise<Reply> {
    this.told.push(message);
    return super.reply(roundId, phase, message);
  }

  protected override answer(request: RoundRequest): Promise<void> {
    if (request.offer !== undefined) {
      const manifest = JSON.parse(request.offer.manifest) as Manifest;
      this.manifests.set(manifestHash(manifest), manifest);
    }
    return super.answer(request);
  }
}

class HeldFederation extends FakeFederation {
  protected override organisation(name: string): FakeOrganisation {
    return new HeldOrganisation(name);
  }
}

export class Replicas {
  private readonly client: S3Client;
  private readonly bucket: S3Blobs;
  private readonly leaving = new AbortController();
  private readonly staying: Promise<void>;

  private constructor(
    private readonly folder: string,
    readonly cluster: Cluster,
    private readonly federation: HeldFederation,
  ) {
    this.client = cluster.bucketClient();
    this.bucket = new S3Blobs(this.client, Cluster.bucket, '');
    this.staying = federation.stay(cluster.url, this.leaving.signal);
  }

  /** All run, one coordinator drives, and the organisations come to it through the proxy. */
  static async start(names: readonly string[]): Promise<Replicas> {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-replicas-'));
    const federation = new HeldFederation();
    const root = resolve(import.meta.dirname, '..', '..');
    const cluster = await Cluster.start({ root, folder, federationKey: federation.federationKey });
    try {
      await federation.enrol(cluster.url, cluster.token, names);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return new Replicas(folder, cluster, federation);
  }

  get organisations(): readonly HeldOrganisation[] {
    return this.federation.organisations.filter((one) => one instanceof HeldOrganisation);
  }

  /** Through the proxy, which may have nobody to ask for a while. */
  asked<Value>(ask: (url: string, token: string) => Promise<Value>): Promise<Value> {
    return eventualAnswer('the proxy answers', () => ask(this.cluster.url, this.cluster.token));
  }

  overview(): Promise<Overview> {
    return this.asked((url, token) => operate<Overview>(url, token, 'GET', routes.overview));
  }

  rounds(runId: string): Promise<RoundView[]> {
    return this.asked((url, token) => listAll<RoundView>(url, token, routes.rounds(runId)));
  }

  /** What the bucket has below a name. */
  async stored(prefix: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.bucket.list(prefix)) names.push(name);
    return names;
  }

  read(name: string): Promise<Uint8Array> {
    return this.bucket.get(name);
  }

  async stop(): Promise<void> {
    this.leaving.abort();
    for (const organisation of this.organisations) organisation.releaseUpload();
    this.client.destroy();
    await this.cluster.stop();
    await this.staying;
    await rm(this.folder, { recursive: true, force: true });
  }
}
