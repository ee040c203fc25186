import { afterEach, describe, expect, it } from 'vitest';
import type { ServerResponse } from 'node:http';
import type { MaskedUpdate } from '@fedlora/protocol';
import { decodeMaskedUpdate } from '@fedlora/protocol';
import { fakeSignIn, serve, type TestServer } from '../../../test/support/http-server.js';
import { Http } from './http.js';
import { uploadMasked } from './upload.js';

const bytes = Buffer.from(Array.from({ length: 40 }, (_, i) => i * 3));
const masked: MaskedUpdate = decodeMaskedUpdate(new Uint8Array(bytes), 10);
const backoff = { firstMs: 1, mostMs: 2 };

/** Stores pieces like the coordinator; `trouble` may answer in its place. */
function store(trouble: (method: string, offset: number, response: ServerResponse) => boolean = () => false) {
  let held = Buffer.alloc(0);
  const seen: string[] = [];
  return {
    held: () => held,
    seen,
    handle: (
      request: { method?: string; headers: NodeJS.Dict<string | string[]> },
      body: Buffer,
      response: ServerResponse,
    ): void => {
      const offset = Number(request.headers['upload-offset'] ?? -1);
      seen.push(`${request.method} ${request.method === 'HEAD' ? '' : offset}`.trim());
      if (request.method === 'PATCH' && offset === held.length && trouble('PATCH-before', offset, response)) return;
      if (trouble(request.method ?? '', offset, response)) return;
      if (request.method === 'PATCH') {
        if (offset !== held.length) {
          response.writeHead(409).end();
          return;
        }
        held = Buffer.concat([held, body]);
      }
      response.writeHead(request.method === 'HEAD' ? 200 : 204, { 'upload-offset': String(held.length) }).end();
    },
    append: (piece: Buffer) => (held = Buffer.concat([held, piece])),
  };
}

describe('uploadMasked', () => {
  let server: TestServer;
  afterEach(() => server.close());
  const parts = (pieceBytes = 16) => ({
    http: new Http(server.url),
    signIn: fakeSignIn(),
    signal: new AbortController().signal,
    pieceBytes,
    backoff,
  });

  it('sends the words in pieces, in order', async () => {
    const target = store();
    server = await serve(target.handle);
    expect(await uploadMasked('round-1', masked, parts())).toBe(40);
    expect(target.held()).toEqual(bytes);
    expect(target.seen).toEqual(['HEAD', 'PATCH 0', 'PATCH 16', 'PATCH 32']);
  });

  it('goes on where the coordinator says it stopped, with the same bytes', async () => {
    const target = store();
    target.append(bytes.subarray(0, 7));
    server = await serve(target.handle);
    await uploadMasked('round-1', masked, parts());
    expect(target.held()).toEqual(bytes);
    expect(target.seen.slice(0, 2)).toEqual(['HEAD', 'PATCH 7']);
  });

  it('waits as long as a coordinator asks for that has no place for it, and then sends the same', async () => {
    let refusedAt = 0;
    let cameAgainAt = 0;
    const target = store((method, offset, response) => {
      if (method === 'HEAD' && refusedAt > 0) cameAgainAt ||= performance.now();
      if (method !== 'PATCH-before' || offset !== 16 || refusedAt > 0) return false;
      refusedAt = performance.now();
      response.writeHead(503, { 'retry-after': '1', 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ code: 'coordinator/busy', detail: 'No place.' }));
      return true;
    });
    server = await serve(target.handle);
    await uploadMasked('round-1', masked, parts());
    expect(target.held()).toEqual(bytes);
    expect(cameAgainAt - refusedAt).toBeGreaterThanOrEqual(990); // A second, by clocks that round.
  });

  it('survives a connection that breaks after a piece was stored but before it was acknowledged', async () => {
    let broken = false;
    const target = store((method, offset, response) => {
      if (method !== 'PATCH-before' || offset !== 16 || broken) return false;
      broken = true;
      target.append(bytes.subarray(16, 32));
      response.socket?.destroy();
      return true;
    });
    server = await serve(target.handle);
    await uploadMasked('round-1', masked, parts());
    expect(target.held()).toEqual(bytes);
    expect(target.seen).toEqual(['HEAD', 'PATCH 0', 'PATCH 16', 'HEAD', 'PATCH 32']);
  });

  it('tries again when the coordinator is overloaded, and gives up when it is refused', async () => {
    let failures = 2;
    const target = store((_method, _offset, response) => {
      if (failures === 0) return false;
      failures -= 1;
      response.writeHead(503).end();
      return true;
    });
    server = await serve(target.handle);
    await uploadMasked('round-1', masked, parts());
    expect(target.held()).toEqual(bytes);
    await server.close();

    server = await serve((_request, _body, response) =>
      response.writeHead(403).end('{"code":"round/closed","message":"Too late."}'),
    );
    await expect(uploadMasked('round-1', masked, parts())).rejects.toMatchObject({
      code: 'connection/refused',
      details: { status: 403 },
    });
  });

  it('signs in again when its token is no longer valid', async () => {
    const target = store();
    server = await serve((request, body, response) => {
      if (request.headers.authorization !== 'Bearer token-2') response.writeHead(401).end();
      else target.handle(request, body, response);
    });
    await uploadMasked('round-1', masked, parts());
    expect(target.held()).toEqual(bytes);
  });

  it('attack: a coordinator that says conflict without end is asked less and less often', async () => {
    let asked = 0;
    server = await serve((request, _body, response) => {
      if (request.method === 'PATCH') asked += 1;
      response.writeHead(request.method === 'HEAD' ? 200 : 409, { 'upload-offset': '0' }).end();
    });
    const signal = AbortSignal.timeout(300);
    const upload = uploadMasked('round-1', masked, { ...parts(), signal, backoff: { firstMs: 40, mostMs: 10_000 } });
    await expect(upload).rejects.toThrow();
    expect(asked).toBeLessThanOrEqual(5); // at least 20, 40, 80 and 160 ms between them
  });

  it('stops when the round is over', async () => {
    server = await serve((_request, _body, response) => response.writeHead(503).end());
    const over = new AbortController();
    const upload = uploadMasked('round-1', masked, { ...parts(), signal: over.signal });
    over.abort(new Error('The round is over.'));
    await expect(upload).rejects.toThrow();
  });
});
