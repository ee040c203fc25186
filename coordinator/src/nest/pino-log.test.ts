import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { bindRequestId, logOver, openLog, requestLog } from './pino-log.js';

describe('the request log', () => {
  it('has addresses as they were asked for, but for the code with which an identity provider sends a browser back', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'debug', base: {} }, { write: (line: string) => void lines.push(line) });
    const log = requestLog(logger);
    const server = createServer((request, response) => {
      log(request, response);
      response.end();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await fetch(`${url}/signed-in?code=the-code&state=the-state`);
    await fetch(`${url}/api/v1/runs?limit=2`);
    await new Promise((done) => server.close(done));
    const urls = lines.map((line) => (JSON.parse(line) as { req: { url: string } }).req.url);
    expect(urls).toEqual(['/signed-in?…', '/api/v1/runs?limit=2']);
    expect(lines.join('')).not.toMatch(/the-code|the-state/);
  });

  it('gives its id to every line that is written while the request is handled, and to none afterwards', async () => {
    const lines: string[] = [];
    const logger = openLog('info', { write: (line: string) => void lines.push(line) });
    const log = requestLog(logger);
    const server = createServer((request, response) => {
      log(request, response);
      bindRequestId(request, response, () => {
        void Promise.resolve().then(() => {
          logOver(logger).info('something.done', { runId: 'run-1' });
          response.end();
        });
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { headers: { 'x-request-id': 'mine' } });
    await new Promise((done) => server.close(done));
    logOver(logger).info('something.else');
    const written = lines.map((line) => JSON.parse(line) as { event: string; requestId?: string });
    expect(written.map(({ event, requestId }) => [event, requestId])).toEqual([
      ['something.done', 'mine'],
      ['something.else', undefined],
    ]);
  });
});
