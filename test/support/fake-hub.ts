/** A Hugging Face server as far as downloads need one: commit, listing and files with ranges. */

import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { serve, type TestServer } from './http-server.js';

export const COMMIT = 'c'.repeat(40);

export interface HubFile {
  readonly bytes: Buffer;
  /** Whether it is stored by its SHA-256, as weights are. */
  readonly isLarge?: boolean;
}

export interface FakeHub extends TestServer {
  /** Method, path, Range and Authorization of each request, in order. */
  readonly requests: { readonly path: string; readonly range?: string; readonly authorization?: string }[];
  /** Files by path; may be changed between requests. */
  readonly files: Map<string, HubFile>;
  /** Listed in the place of what is there. */
  listing: readonly object[] | undefined;
  /** Where the listing says that it goes on. */
  next: string | undefined;
  /** Answers the transfer of a file in its own way, and says whether it did. */
  transfer: ((name: string, begin: number, response: ServerResponse) => boolean) | undefined;
}

export async function fakeHub(repository: string, files: Readonly<Record<string, HubFile>>): Promise<FakeHub> {
  const hub: Omit<FakeHub, 'url' | 'close'> = {
    requests: [],
    files: new Map(Object.entries(files)),
    listing: undefined,
    next: undefined,
    transfer: undefined,
  };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const { pathname } = new URL(request.url ?? '', 'http://hub');
    const { range, authorization } = request.headers;
    hub.requests.push({
      path: pathname,
      ...(range === undefined ? {} : { range }),
      ...(authorization === undefined ? {} : { authorization }),
    });
    if (pathname.startsWith(`/api/models/${repository}/revision/`))
      return json(response, { id: repository, sha: COMMIT });
    if (pathname === `/api/models/${repository}/tree/${COMMIT}`) {
      if (hub.next !== undefined) response.setHeader('link', `<${hub.next}>; rel="next"`);
      return json(response, hub.listing ?? [...hub.files].map(([path, file]) => listed(path, file)));
    }
    const name = decodeURIComponent(pathname.replace(`/${repository}/resolve/${COMMIT}/`, ''));
    const file = hub.files.get(name);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    sendFile(hub, name, file, range, response);
  };
  const server = await serve((request, _, response) => handle(request, response));
  return Object.assign(hub, server);
}

/** What the listing says of a file. */
export function listed(path: string, { bytes, isLarge = false }: HubFile): object {
  const entry = { type: 'file', path, size: bytes.length, oid: gitHash(bytes) };
  return isLarge ? { ...entry, lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } } : entry;
}

function sendFile(
  hub: Pick<FakeHub, 'transfer'>,
  name: string,
  { bytes, isLarge = false }: HubFile,
  range: string | undefined,
  response: ServerResponse,
): void {
  const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const begin = Number(first);
  const end = last === '' ? bytes.length : Number(last) + 1;
  const isProbe = range === 'bytes=0-0';
  response.setHeader('etag', `"${isLarge ? sha256(bytes) : gitHash(bytes)}"`);
  if (isLarge) response.setHeader('x-linked-etag', `"${sha256(bytes)}"`);
  if (!isProbe && hub.transfer?.(name, begin, response) === true) return;
  if (range !== undefined) response.setHeader('content-range', `bytes ${begin}-${end - 1}/${bytes.length}`);
  response.writeHead(range === undefined ? 200 : 206).end(bytes.subarray(begin, end));
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function gitHash(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}
