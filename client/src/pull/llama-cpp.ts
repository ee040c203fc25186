/**
 * A running llama.cpp server. It loads adapters when it starts and only then; while it runs, only their scales can be changed.
 *
 * Source     llama.cpp `tools/server/README.md`: GET and POST /lora-adapters, GET /health answers 503 while a model is being loaded.
 *
 *     <to>/gguf/<name>-<id>.gguf   each version that is kept
 *     <to>/current.gguf            -> gguf/<name>-<id>.gguf, replaced in one step: for whoever starts the server
 *
 * Which version a server has is read from the paths that it reports, so it must be started with the file itself and not with the link:
 * `--lora "$(readlink -f <to>/current.gguf)"`. A version that it has already (all were given when it started, or the channel went back) is
 * switched to by scales, at once. For any other there is the restart command; without one that is an error until somebody restarted it.
 */

import { mkdir, readdir, readlink, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { FedloraError } from '@fedlora/shared';
import { replaceLink } from '../storage/atomic-file.js';
import { writeGgufAdapter } from '../storage/export-gguf.js';
import type { Loader } from './loaders.js';
import { askServing, runTold } from './serving.js';

export interface LlamaCpp {
  /** Of the server. */
  readonly url: string;
  /** Sent as bearer token; `undefined` where the server has no --api-key. */
  readonly apiKey?: string | undefined;
  /** What the files are called by, so that one server can have the adapters of several repositories. */
  readonly name: string;
  /** Absolute: where `current.gguf` is kept. */
  readonly to: string;
  /** The base model that it serves: folder with config.json, or .gguf file. */
  readonly base: string;
  /** Restarts the server with the new file; told by FEDLORA_EVENT, FEDLORA_VERSION, FEDLORA_VERSION_DIR and FEDLORA_GGUF. */
  readonly restart?: { readonly command: string; readonly environment: NodeJS.ProcessEnv } | undefined;
  /** In which a restarted server must have read its model. */
  readonly restartWaitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

interface Listed {
  readonly id: number;
  readonly path: string;
  readonly scale: number;
}

const NAME = 'The llama.cpp server';
const LINK = 'current.gguf';
const RESTART_WAIT_MS = 600_000;
const POLL_MS = 250;

export function llamaCppLoader(server: LlamaCpp): Loader {
  const { url, name, to, base, restart, signal } = server;
  const folder = join(to, 'gguf');
  const fileOf = (id: string): string => `${name}-${id}.gguf`;
  /** The version of ours in a path, wherever the server sees the folder; `undefined` for an adapter of somebody else. */
  const versionIn = (path: string): string | undefined => {
    const file = path.split(/[\\/]/).at(-1) ?? '';
    const id = file.slice(name.length + 1, -'.gguf'.length);
    return /^[0-9a-f]{40}$/.test(id) && file === fileOf(id) ? id : undefined;
  };
  const headers: Readonly<Record<string, string>> =
    server.apiKey === undefined ? {} : { authorization: `Bearer ${server.apiKey}` };

  const listed = async (): Promise<readonly Listed[]> => {
    const list = await askServing(NAME, url, { method: 'GET', path: '/lora-adapters', headers, signal });
    if (Array.isArray(list) && list.every(isListed)) return list;
    throw new FedloraError('pull/not-loaded', `What answers at ${url} is no llama.cpp server.`);
  };

  const scaleFor = ({ path, scale }: Listed, version: string | null): number => {
    const ours = versionIn(path);
    return ours === undefined ? scale : Number(ours === version);
  };

  /** Turns one of our versions on, or with `null` none, and leaves the adapters of others as they are. */
  const apply = async (list: readonly Listed[], version: string | null): Promise<void> => {
    // The whole list: what is not named is turned off.
    const body = list.map((entry) => ({ id: entry.id, scale: scaleFor(entry, version) }));
    await askServing(NAME, url, { method: 'POST', path: '/lora-adapters', body, headers, signal });
  };

  /** Files of versions that are not kept any more. */
  const forgetOld = async (): Promise<void> => {
    const kept = await readdir(join(to, 'versions'));
    for (const file of await readdir(folder)) {
      const version = versionIn(file);
      if (version !== undefined && !kept.includes(version)) await rm(join(folder, file), { force: true });
    }
  };

  /** Whose file was written by this process. */
  let written: string | undefined;
  /** Of this process: a restart that did not help is not repeated, since the service is away during each. */
  let restartedFor: string | undefined;

  /** What the server has, with this version: after a restart, if need be. */
  const listWith = async (id: string, versionFolder: string): Promise<readonly Listed[]> => {
    const has = (list: readonly Listed[]): boolean => list.some(({ path }) => versionIn(path) === id);
    let list = await listed();
    if (has(list)) return list;
    const file = join(folder, fileOf(id));
    const loaded = list.map(({ path }) => path).join(', ') || 'no adapter';
    const cannot = `${NAME} at ${url} has ${loaded} and cannot load ${file} while it runs`;
    if (restart === undefined)
      throw new FedloraError(
        'pull/not-loaded',
        `${cannot}: restart it with --lora ${file}, or give a restart command.`,
      );
    if (restartedFor === id) throw new FedloraError('pull/not-loaded', `${cannot}; it was restarted for it once.`);
    await runTold(restart.command, restart.environment, {
      FEDLORA_EVENT: 'load',
      FEDLORA_VERSION: id,
      FEDLORA_VERSION_DIR: versionFolder,
      FEDLORA_GGUF: file,
    });
    restartedFor = id;
    const deadline = performance.now() + (server.restartWaitMs ?? RESTART_WAIT_MS);
    for (;;) {
      try {
        list = await listed();
        if (has(list)) return list;
      } catch (error) {
        if (!isStarting(error) || performance.now() > deadline) throw error;
      }
      if (performance.now() > deadline) throw new FedloraError('pull/not-loaded', `${cannot}; a restart did not help.`);
      await wait(POLL_MS, undefined, { signal });
    }
  };

  return {
    name: `${NAME} at ${url}`,
    async load(id, versionFolder) {
      if (written !== id) {
        await mkdir(folder, { recursive: true });
        const target = join(folder, fileOf(id));
        await writeGgufAdapter({ folder: versionFolder, version: id, base, dtype: 'f32', target });
        await replaceLink(join(to, LINK), join('gguf', fileOf(id)));
        written = id;
      }
      await apply(await listWith(id, versionFolder), id);
      restartedFor = undefined;
      await forgetOld();
    },
    async isLoaded(id) {
      const ours = (await listed()).filter(({ path }) => versionIn(path) !== undefined);
      return ours.some(({ path }) => versionIn(path) === id) && ours.every((one) => one.scale === scaleFor(one, id));
    },
    async unload(id) {
      await apply(await listed(), null);
      written = undefined;
      const link = await readlink(join(to, LINK)).catch(() => undefined);
      if (link !== undefined && basename(link) === fileOf(id)) await rm(join(to, LINK));
      await rm(join(folder, fileOf(id)), { force: true });
    },
  };
}

function isListed(entry: unknown): entry is Listed {
  const { id, path, scale } = (entry ?? {}) as Readonly<Record<string, unknown>>;
  return Number.isInteger(id) && typeof path === 'string' && typeof scale === 'number';
}

/** It does not answer, or says that it is reading its model. */
function isStarting(error: unknown): boolean {
  if (!(error instanceof FedloraError) || error.code !== 'pull/not-loaded') return false;
  const { status } = error.details;
  return status === undefined || status === 503;
}
