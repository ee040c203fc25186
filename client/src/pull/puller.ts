/**
 * Keeps a folder at a channel of a repository: downloads what is new, checks it, and only then switches.
 *
 *     <to>/current            -> versions/<id>, replaced in one step: whoever opens a file through it has one version or the other
 *     <to>/versions/<id>/     a version whole, by name only when it was checked
 *
 * Guarantee  Nothing that the pinned key did not sign, and no version but the one that the channel has, is ever behind `current`. A crash
 *            at any moment leaves the version before or the new one.
 */

import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readlink, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FedloraError } from '@fedlora/shared';
import { refusal, type Http } from '../connection/http.js';
import { flushFolder, replaceLink } from '../storage/atomic-file.js';
import { verifyAdapter } from '../storage/verify-adapter.js';

export interface PullTarget {
  /** `owner/name`. */
  readonly repository: string;
  /** Channel, tag or id. */
  readonly revision: string;
  readonly to: string;
  /** The coordinator's key, 64 hex digits. */
  readonly coordinatorKey: string;
  /** Versions that stay beside the current one. */
  readonly keep: number;
}

export interface PullParts {
  readonly http: Http;
  readonly token: string;
  readonly signal?: AbortSignal | undefined;
}

/** What a look at the channel came to. `folder`: of the current version, absolute only if `to` is. */
export type Pulled =
  | { readonly kind: 'unchanged'; readonly id: string; readonly folder: string }
  /** `revoked`: the one that was current before, if that is why. */
  | { readonly kind: 'switched'; readonly id: string; readonly folder: string; readonly revoked: string | null }
  /** The channel has no version. `removed`: the current one was revoked, and is not current any more. */
  | { readonly kind: 'empty'; readonly removed: string | null };

const ID = /^[0-9a-f]{40}$/;
const FILE = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
/** More than any version has. */
const MOST_FILES = 32;
/** Of one file: a hostile server must not fill the disk. */
const MOST_BYTES = 16 * 2 ** 30;

/**
 * Looks once, and switches if the channel has another version.
 *
 * @throws FedloraError connection/... | repository/unknown | version/no-revision | adapter/not-authentic
 */
export async function pullOnce(target: PullTarget, parts: PullParts): Promise<Pulled> {
  const before = await currentVersion(target.to);
  const model = await revisionOf(target.revision, target, parts);
  if (model === 'gone') return { kind: 'empty', removed: await removeIfRevoked(before, target, parts) };
  const { id, files } = model;
  const folder = versionFolder(target.to, id);
  if (id === before) return { kind: 'unchanged', id, folder };
  if (!(await exists(folder))) await download(id, files, target, parts);
  // What was downloaded at an earlier time may have been changed since.
  await verifyAdapter(folder, target.coordinatorKey, id);
  const revoked = before !== undefined && (await isRevoked(before, target, parts)) ? before : null;
  await switchTo(target.to, id);
  await forgetOld(target, id);
  return { kind: 'switched', id, folder, revoked };
}

/** The id behind `current`; `undefined` where there is none. */
export async function currentVersion(to: string): Promise<string | undefined> {
  const link = await readlink(join(to, 'current')).catch(() => undefined);
  const id = link?.split(/[\\/]/).at(-1);
  return id !== undefined && ID.test(id) ? id : undefined;
}

interface Sibling {
  readonly rfilename?: unknown;
}

type Model = { readonly id: string; readonly files: readonly string[] };

async function revisionOf(revision: string, { repository }: PullTarget, parts: PullParts): Promise<Model | 'gone'> {
  const response = await get(`/api/models/${repository}/revision/${encodeURIComponent(revision)}`, parts);
  if (response.headers.get('x-error-code') === 'RevisionNotFound') {
    await response.body?.cancel();
    return 'gone';
  }
  if (!response.ok) throw await refusal(response);
  const { sha, siblings } = (await jsonOf(response)) as {
    sha?: unknown;
    siblings?: unknown;
  };
  const names = (Array.isArray(siblings) ? (siblings as Sibling[]) : []).map(({ rfilename }) => rfilename);
  // Names become paths here, whoever they come from.
  const areSafe = names.every((name) => typeof name === 'string' && FILE.test(name)) && names.length <= MOST_FILES;
  if (typeof sha !== 'string' || !ID.test(sha) || names.length === 0 || !areSafe)
    throw new FedloraError('connection/bad-answer');
  return { id: sha, files: names as string[] };
}

/** An empty object for what is none. */
async function jsonOf(response: Response): Promise<unknown> {
  try {
    return ((await response.json()) as unknown) ?? {};
  } catch {
    return {};
  }
}

async function download(id: string, files: readonly string[], target: PullTarget, parts: PullParts): Promise<void> {
  const versions = join(target.to, 'versions');
  const temporary = join(versions, `.${randomUUID()}`);
  await mkdir(temporary, { recursive: true });
  try {
    for (const name of files) {
      const response = await get(`/${target.repository}/resolve/${id}/${name}`, parts);
      if (!response.ok) throw await refusal(response);
      await save(response, join(temporary, name));
    }
    await verifyAdapter(temporary, target.coordinatorKey, id);
    await flushFolder(temporary);
    await rename(temporary, versionFolder(target.to, id));
    await flushFolder(versions);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** @throws FedloraError connection/unreachable: the connection broke | connection/bad-answer: endless */
async function save(response: Response, path: string): Promise<void> {
  let length = 0;
  const limit = new Transform({
    transform(piece: Buffer, _encoding, done) {
      length += piece.length;
      done(length > MOST_BYTES ? new FedloraError('connection/bad-answer') : null, piece);
    },
  });
  try {
    if (response.body === null) throw new FedloraError('connection/bad-answer');
    const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
    await pipeline(body, limit, createWriteStream(path, { flags: 'wx', mode: 0o644, flush: true }));
  } catch (cause) {
    if (cause instanceof FedloraError || (cause as NodeJS.ErrnoException).code === 'ENOSPC') throw cause;
    throw new FedloraError('connection/unreachable', 'The connection broke in the middle of a file.', { cause });
  }
}

function get(path: string, { http, token, signal }: PullParts): Promise<Response> {
  return http.send({ method: 'GET', path, token, signal });
}

async function switchTo(to: string, id: string): Promise<void> {
  await replaceLink(join(to, 'current'), join('versions', id));
  const now = new Date();
  await utimes(versionFolder(to, id), now, now); // When it was current last, for `forgetOld`.
}

/** A revoked version is used by nobody any more; one whose channel was only emptied stays. */
async function removeIfRevoked(
  before: string | undefined,
  target: PullTarget,
  parts: PullParts,
): Promise<string | null> {
  if (before === undefined || !(await isRevoked(before, target, parts))) return null;
  await rm(join(target.to, 'current'), { force: true });
  await flushFolder(target.to);
  return before;
}

async function isRevoked(id: string, target: PullTarget, parts: PullParts): Promise<boolean> {
  return (await revisionOf(id, target, parts)) === 'gone';
}

/** Removes what was current longest ago, and what a crash left half-downloaded. */
async function forgetOld({ to, keep }: PullTarget, current: string): Promise<void> {
  const versions = join(to, 'versions');
  const old: { name: string; at: number }[] = [];
  for (const name of await readdir(versions)) {
    if (name === current) continue;
    if (ID.test(name)) old.push({ name, at: (await stat(join(versions, name))).mtimeMs });
    else if (name.startsWith('.')) await rm(join(versions, name), { recursive: true, force: true });
  }
  for (const { name } of old.sort((a, b) => b.at - a.at).slice(keep))
    await rm(join(versions, name), { recursive: true, force: true });
}

function versionFolder(to: string, id: string): string {
  return join(to, 'versions', id);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
