/**
 * The registry for services that use adapters: which version a channel has, its files, checked, and what came of using it.
 *
 * An entry of its own (`@fedlora/shared/registry`) for Node, Deno, Bun and browsers alike: it brings no network and no clock, but takes the
 * `fetch` and the waiting of whoever uses it.
 *
 * Guarantee  `download` gives nothing that the coordinator's key did not sign, whatever is between here and the coordinator
 */

import { sha256, toHex } from '@fedlora/protocol';
import { checkRecord } from '../adapter/version-check.js';
import type { VersionRecord } from '../adapter/version.js';
import { FedloraError } from '../errors/fedlora-error.js';
import type { OutcomeRequest } from '../messages/outcomes.js';
import { routes } from '../wire/session.js';
import { everyItem, OperatorApi, problemOf } from './client.js';
import type { ReleaseView } from './release.js';

/** What of the standard `fetch` is used. */
export type Fetch = (
  url: string,
  request: { readonly method: string; readonly headers: Record<string, string>; readonly body?: string },
) => Promise<{
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
  arrayBuffer(): Promise<ArrayBuffer>;
}>;

export interface RegistryOptions {
  /** Of the coordinator. */
  readonly url: string;
  /** An API token: `versions.read` to read, `outcomes.write` to report. */
  readonly token: string;
  /** The coordinator's public key, 64 hex digits, which came by a channel that you trust. */
  readonly coordinatorKey: string;
  readonly fetch: Fetch;
}

/** A version with every file that its record names, checked, and the record as it was signed. */
export interface DownloadedVersion {
  readonly record: VersionRecord;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export interface WatchOptions {
  /** Waits between two looks; ends the watch by rejecting. */
  readonly pause: () => Promise<unknown>;
  /** Told of looks that failed: the next one may succeed. Without it, they end the watch. */
  readonly onTrouble?: (error: unknown) => void;
}

export class Registry {
  /** Everything else that the token may do. */
  readonly api: OperatorApi;
  private readonly url: string;

  constructor(private readonly options: RegistryOptions) {
    this.url = options.url.replace(/\/+$/, '');
    this.api = new OperatorApi(async ({ method, path, headers, body }) => {
      const response = await this.send(method, path, headers, body);
      return { status: response.status, text: await response.text(), header: (name) => response.headers.get(name) };
    });
  }

  /** Versions of a repository, newest first. */
  versions(repository: string): Promise<ReleaseView[]> {
    return everyItem((at) => this.api.releases(repository, at));
  }

  /** The version that a channel has; `null`: none. @throws ApiProblem repository/unknown | channel/unknown */
  async resolve(repository: string, channel: string): Promise<string | null> {
    return (await this.api.channel(repository, channel)).channel.version;
  }

  /**
   * A version, checked: its record's signature and id, and length and hash of each file.
   *
   * Cost       the files in memory
   * @throws ApiProblem version/unknown | version/revoked | FedloraError version/bad-signature | version/wrong-id | version/malformed |
   *         version/file-mismatch
   */
  async download(version: string): Promise<DownloadedVersion> {
    const [manifest, signature] = [await this.file(version, 'manifest.json'), await this.file(version, 'manifest.sig')];
    const record = checkRecord(version, manifest, signature, this.options.coordinatorKey);
    const files = new Map([
      ['manifest.json', manifest],
      ['manifest.sig', signature],
    ]);
    for (const { name, bytes, sha256: expected } of record.files) {
      const content = await this.file(version, name);
      if (content.length !== bytes || toHex(sha256(content)) !== expected)
        throw new FedloraError('version/file-mismatch', `${name} is not the file that the version names.`, {
          details: { file: name },
        });
      files.set(name, content);
    }
    return { record, files };
  }

  /** The version of a channel, and then each other one that it gets; `null` while it has none, as after a revocation. */
  async *watch(
    repository: string,
    channel: string,
    { pause, onTrouble }: WatchOptions,
  ): AsyncGenerator<string | null, never> {
    for (let last: string | null | undefined; ; await pause()) {
      let version: string | null;
      try {
        version = await this.resolve(repository, channel);
      } catch (error) {
        if (onTrouble === undefined) throw error;
        onTrouble(error);
        continue;
      }
      if (version !== last) yield (last = version);
    }
  }

  /** Adds what came of using a version. @param key 16 to 200 random characters: trying again with it adds nothing */
  report(version: string, outcomes: OutcomeRequest[], key: string): Promise<void> {
    return this.api.reportOutcomes(version, { outcomes }, { idempotencyKey: key });
  }

  private async file(version: string, name: string): Promise<Uint8Array> {
    const response = await this.send('GET', routes.versionFile(version, name), {});
    if (response.status === 200) return new Uint8Array(await response.arrayBuffer());
    const text = await response.text();
    throw problemOf({ status: response.status, text, header: (field) => response.headers.get(field) });
  }

  private send(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body?: string,
  ): ReturnType<Fetch> {
    const { fetch, token } = this.options;
    return fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...headers,
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
  }
}
