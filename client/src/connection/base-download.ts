/**
 * Downloads a base model from a Hugging Face endpoint, by repository and commit.
 *
 * Guarantee  Only config, tokenizer and weights are fetched, under plain names within one folder; no code, no pickle. Each file has
 *            the size and hash that the repository lists. The folder gets its name when all files are there, checked and of the
 *            digest that was asked for; until then it is called `.partial`, and goes on where it stopped.
 * The listing comes from the same server as the files: who must not trust it names the digest.
 */

import { FedloraError } from '@fedlora/shared';
import {
  downloadFile,
  fileDownloadInfo,
  HubApiError,
  listFiles,
  modelInfo,
  type ListFileEntry,
} from '@huggingface/hub';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { baseModelDigest } from '../engine/weights/digest.js';
import { missing } from '../engine/weights/file-range.js';
import { INDEX_FILE, safetensorsFiles, SINGLE_FILE } from '../engine/weights/safetensors-file.js';
import { hubFetch } from './hub-fetch.js';

export interface DownloadRequest {
  /** Such as `HuggingFaceTB/SmolLM2-135M`. */
  readonly repository: string;
  /** Branch, tag or commit; the main branch by default. */
  readonly revision?: string | undefined;
  /** The digest that the model must have: `baseModelDigest`. */
  readonly digest?: string | undefined;
  /** Address of the server. */
  readonly endpoint: string;
  readonly token?: string | undefined;
  /** Folder of all downloaded models. */
  readonly folder: string;
  readonly onProgress?: (file: string, doneBytes: number, bytes: number) => void;
  readonly signal?: AbortSignal;
  /** How often a file is tried without getting any further. Default 4, with pauses of 1, 2 and 4 seconds. */
  readonly attempts?: number;
}

export interface DownloadedBase {
  /** What `openBaseModel` is given: a folder, or the .gguf file in it. */
  readonly path: string;
  readonly digest: string;
  /** The commit. */
  readonly revision: string;
}

/** A file of the repository. */
interface RemoteFile {
  readonly name: string;
  readonly size: number;
  /** What its bytes hash to: SHA-256 for large files, git's own hash of the others. */
  readonly hash: { readonly kind: 'sha256' | 'git'; readonly hex: string };
}

const REQUIRED = ['config.json', 'tokenizer.json'] as const;
const OPTIONAL = ['generation_config.json', 'tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja'];

/** Far over any model's repository, so that a listing without end ends. */
const MAXIMUM_ENTRIES = 20_000;

/** A connection that says nothing for this long is given up and taken up again. */
const IDLE_MS = 60_000;

/**
 * Downloads what is not there yet.
 *
 * Edge cases the commit is there already -> its digest is checked, nothing is fetched | the wrong digest -> the files are kept as
 *            `.partial`, so that another try with the right digest need not fetch them again
 * @throws FedloraError base-model/download-refused | base-model/download-failed | base-model/download-corrupt
 *         | base-model/digest-mismatch | base-model/invalid: the index of shards
 */
export async function downloadBaseModel(request: DownloadRequest): Promise<DownloadedBase> {
  const { repository, folder, digest } = request;
  if (!/^[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?$/.test(repository))
    refused(`"${repository}" is no name of a repository: OWNER/NAME.`);
  const remote = new Remote(request, await commitOf(request));
  const final = join(folder, repository.replace('/', '--'), remote.commit);
  if ((await stat(final).catch(missing)) !== undefined) return finished(final, remote.commit, digest);

  const partial = `${final}.partial`;
  await mkdir(partial, { recursive: true });
  const files = await remote.files();
  for (const name of [...REQUIRED, ...OPTIONAL, INDEX_FILE]) {
    const file = files.get(name);
    if (file !== undefined) await fetchFile(remote, file, partial);
  }
  for (const file of await weightFiles(files, partial)) await fetchFile(remote, file, partial);
  await finished(partial, remote.commit, digest);
  await rename(partial, final);
  return finished(final, remote.commit, digest);
}

/** @throws FedloraError base-model/digest-mismatch */
async function finished(folder: string, revision: string, expected: string | undefined): Promise<DownloadedBase> {
  const path = await modelPath(folder);
  const digest = await baseModelDigest(path);
  if (expected !== undefined && digest !== expected) {
    throw new FedloraError(
      'base-model/digest-mismatch',
      `The downloaded model has the digest ${digest}, not ${expected}.`,
      { where: basename(folder) },
    );
  }
  return { path, digest, revision };
}

/** The folder, or the single file that stands for it. */
async function modelPath(folder: string): Promise<string> {
  const gguf = join(folder, GGUF_FILE);
  return (await stat(gguf).catch(missing)) === undefined ? folder : gguf;
}

/** Under this name a repository's .gguf file is kept. */
const GGUF_FILE = 'model.gguf';

/** Which files hold the weights: one file, the shards of the index, or else the only GGUF file. */
async function weightFiles(files: ReadonlyMap<string, RemoteFile>, partial: string): Promise<readonly RemoteFile[]> {
  const single = files.get(SINGLE_FILE);
  if (single !== undefined) return [single];
  if (!files.has(INDEX_FILE)) {
    const [gguf, ...others] = [...files.values()].filter(({ name }) => name.endsWith('.gguf'));
    if (gguf !== undefined && others.length === 0) return [gguf];
    return refused(
      gguf === undefined
        ? `The repository has no ${SINGLE_FILE}, ${INDEX_FILE} or .gguf file.`
        : 'The repository has several .gguf files. Fetch the one that you want, and give its path.',
    );
  }
  const { files: names } = await safetensorsFiles(partial);
  return names.map((name) => files.get(name) ?? corrupt(`The index names ${name}, which the repository has not.`));
}

/** The commit that a revision stands for now. */
async function commitOf(request: DownloadRequest): Promise<string> {
  const { repository, revision, endpoint, token, signal } = request;
  const { sha } = await asked(repository, () =>
    modelInfo({
      name: repository,
      hubUrl: endpoint,
      fetch: hubFetch(endpoint, signal),
      additionalFields: ['sha'],
      ...(revision === undefined ? {} : { revision }),
      ...(token === undefined ? {} : { accessToken: token }),
    }),
  );
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha)) corrupt('The server names no commit.');
  const isCommit = revision !== undefined && /^[0-9a-f]{40}$/.test(revision);
  if (isCommit && sha !== revision) corrupt(`The server gives commit ${sha} for ${revision}.`);
  return sha;
}

/** A repository at one commit. */
class Remote {
  constructor(
    readonly request: DownloadRequest,
    readonly commit: string,
  ) {}

  /** What may be fetched, by name. @throws FedloraError base-model/download-corrupt: a name leads out of the folder */
  async files(): Promise<ReadonlyMap<string, RemoteFile>> {
    const files = new Map<string, RemoteFile>();
    await asked(this.request.repository, async () => {
      let count = 0;
      for await (const entry of listFiles(this.parameters(this.request.signal))) {
        if (++count > MAXIMUM_ENTRIES) corrupt('The repository lists too many files.');
        const file = remoteFile(entry);
        if (file !== undefined) files.set(file.name, file);
      }
    });
    const isGguf = [...files.keys()].some((name) => name.endsWith('.gguf'));
    for (const name of REQUIRED) {
      if (!files.has(name) && !(isGguf && name === 'config.json')) refused(`The repository has no ${name}.`);
    }
    return files;
  }

  /** The bytes of a file from `offset` on, and whether the server began there. */
  async open(file: RemoteFile, offset: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const parameters = { ...this.parameters(signal), path: file.name };
    const info = await asked(file.name, () => fileDownloadInfo(parameters));
    if (info === null) return corrupt(`${file.name} is listed, but not there.`);
    const etag = info.etag.replace(/^W\//, '').replaceAll('"', '');
    if (info.size !== file.size || etag !== file.hash.hex)
      corrupt(`${file.name} is not the file of ${file.size} bytes that is listed.`);
    const blob = await downloadFile({
      ...parameters,
      fetch: rangeChecked(parameters.fetch, offset),
      downloadInfo: info,
      xet: false,
    });
    return (blob ?? corrupt(`${file.name} is listed, but not there.`)).slice(offset, file.size).stream();
  }

  parameters(signal: AbortSignal | undefined): {
    readonly repo: string;
    readonly revision: string;
    readonly hubUrl: string;
    readonly fetch: typeof fetch;
    readonly accessToken?: string;
  } {
    const { repository, endpoint, token } = this.request;
    return {
      repo: repository,
      revision: this.commit,
      hubUrl: endpoint,
      fetch: hubFetch(endpoint, signal),
      ...(token === undefined ? {} : { accessToken: token }),
    };
  }
}

/** Refuses an answer that does not begin where it was asked to. */
function rangeChecked(inner: typeof fetch, offset: number): typeof fetch {
  return async (input, init) => {
    const response = await inner(input, init);
    const begins = Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? 0);
    if (response.ok && begins !== offset) throw new Error(`The server sent the file from byte ${begins} on.`);
    return response;
  };
}

/** A listed file if it is one that we fetch. */
function remoteFile(entry: ListFileEntry): RemoteFile | undefined {
  const { path, type, size, oid, lfs } = entry;
  if (typeof path !== 'string' || /(?:^|[\\/])\.\.(?:[\\/]|$)|^[\\/]|^[A-Za-z]:|\\/.test(path))
    corrupt(`The repository lists ${JSON.stringify(path)}, which leads out of its folder.`);
  const isKnown = [...REQUIRED, ...OPTIONAL, INDEX_FILE].includes(path);
  if (type !== 'file' || !(isKnown || /^[A-Za-z0-9_][\w.-]*\.(?:safetensors|gguf)$/.test(path))) return undefined;
  const hex = lfs?.oid ?? oid;
  const hash = { kind: lfs === undefined ? 'git' : 'sha256', hex: hex ?? '' } as const;
  const length = lfs?.size ?? size;
  const isHash = lfs === undefined ? /^[0-9a-f]{40}$/ : /^[0-9a-f]{64}$/;
  if (!Number.isSafeInteger(length) || length < 0 || !isHash.test(hash.hex))
    corrupt(`The repository lists ${path} without a size or a hash.`);
  return { name: path, size: length, hash };
}

/**
 * Fetches what of a file is not there yet, and checks the whole.
 *
 * Edge cases there, but longer or with another hash -> removed; a later try begins anew
 */
async function fetchFile(remote: Remote, file: RemoteFile, folder: string): Promise<void> {
  const { onProgress, signal, attempts = 4 } = remote.request;
  const path = join(folder, file.name.endsWith('.gguf') ? GGUF_FILE : file.name);
  let failures = 0;
  for (;;) {
    const before = (await stat(path).catch(missing))?.size ?? 0;
    if (before > file.size) await discard(path, file, 'is longer than listed');
    else if (before === file.size) break;
    try {
      await append(remote, file, path, before);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof FedloraError && error.code !== 'base-model/download-failed') throw error;
      const after = (await stat(path).catch(missing))?.size ?? 0;
      failures = after > before ? 1 : failures + 1;
      if (failures >= attempts) throw failed(file.name, error);
      await wait(1000 * 2 ** (failures - 1), undefined, signal === undefined ? {} : { signal });
    }
  }
  if (file.size === 0) await (await open(path, 'a')).close();
  if ((await hashOf(path, file)) !== file.hash.hex) await discard(path, file, 'has another hash than listed');
  onProgress?.(file.name, file.size, file.size);
}

async function append(remote: Remote, file: RemoteFile, path: string, offset: number): Promise<void> {
  const { onProgress, signal } = remote.request;
  const idle = new AbortController();
  const timer = setTimeout(() => idle.abort(new Error('The server fell silent.')), IDLE_MS);
  const handle = await open(path, 'a', 0o644);
  let done = offset;
  try {
    const either = signal === undefined ? idle.signal : AbortSignal.any([signal, idle.signal]);
    for await (const chunk of await remote.open(file, offset, either)) {
      timer.refresh();
      done += chunk.length;
      if (done > file.size) await discard(path, file, 'is longer than listed');
      await handle.appendFile(chunk);
      onProgress?.(file.name, done, file.size);
    }
    await handle.sync();
  } finally {
    clearTimeout(timer);
    await handle.close();
  }
  if (done < file.size) throw failed(file.name, new Error(`it ended after ${done} of ${file.size} bytes`));
}

/** Hex hash of a file, of the kind that it is listed with. Git hashes a length before the bytes. */
async function hashOf(path: string, { hash, size }: RemoteFile): Promise<string> {
  const sum = hash.kind === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) sum.update(chunk as Buffer);
  return sum.digest('hex');
}

async function discard(path: string, file: RemoteFile, why: string): Promise<never> {
  await rm(path, { force: true });
  return corrupt(`${file.name} ${why}; what was received of it is removed.`);
}

/** Asks the endpoint, with its refusals as ours. */
async function asked<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof FedloraError) throw error;
    if (error instanceof HubApiError && [401, 403, 404].includes(error.statusCode))
      return refused(`The server answers ${error.statusCode} to the question for ${what}.`);
    throw failed(what, error);
  }
}

function failed(what: string, cause: unknown): FedloraError {
  const because = cause instanceof Error ? cause.message : String(cause);
  return new FedloraError('base-model/download-failed', `${what} could not be fetched: ${because}.`, { cause });
}

function refused(message: string): never {
  throw new FedloraError('base-model/download-refused', message);
}

function corrupt(message: string): never {
  throw new FedloraError('base-model/download-corrupt', message);
}
