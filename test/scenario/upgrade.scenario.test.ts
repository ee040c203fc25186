/** A home folder that an earlier client wrote, in the hands of the present one; and a coordinator of another release. */

import { chmod, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { FedloraError, routes, toWireError } from '@fedlora/shared';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { homeAt, type Home } from '../../client/src/config/home.js';
import { readStatus } from '../../client/src/daemon/status-file.js';
import { startDaemon } from '../../client/src/daemon/start.js';
import { Decisions } from '../../client/src/storage/decisions.js';
import { readIdentity } from '../../client/src/storage/identity.js';
import { Ledger } from '../../client/src/storage/ledger.js';
import { fedlora, type Printed } from '../support/command-line.js';

/** Written by `make.mjs` beside it. */
const WRITTEN_BEFORE = resolve(import.meta.dirname, '..', 'fixtures', 'home-d6696f2', 'home');

let home: Home;
let keptLines: string;
beforeEach(async () => {
  home = homeAt(await mkdtemp(join(tmpdir(), 'fedlora-upgrade-')));
  await cp(WRITTEN_BEFORE, home.directory, { recursive: true });
  await chmod(home.identity, 0o600); // Git keeps no such rights.
  keptLines = await readFile(home.ledger('default'), 'utf8');
});
afterEach(() => rm(home.directory, { recursive: true, force: true }));

const run = (...args: string[]): Promise<Printed> => fedlora([...args, '--home', home.directory]);

describe('a home folder of an earlier version', () => {
  it('keeps its identity, its settings and its policy; settings that are new have their defaults', async () => {
    const seed = (await readFile(join(WRITTEN_BEFORE, 'identity.key'), 'utf8')).trim();
    expect((await readIdentity(home.identity)).seed.reveal()).toEqual(Uint8Array.from(Buffer.from(seed, 'hex')));
    const shown = await run('config', 'show');
    expect(shown).toMatchObject({ code: 0, error: '' });
    expect(shown.out).toMatch(/engine\.threads.*2/);
    expect(shown.out).toContain('limits.memoryMiB');
    const policy = await run('policy', 'check');
    expect(policy).toMatchObject({ code: 0, error: '' });
    expect(policy.out).toMatch(/epsilonCap.*5/);
  });

  it('keeps its ledger: whole, signed by its key, and counted', async () => {
    const verified = await run('privacy', 'verify', '--json');
    expect(JSON.parse(verified.out)).toMatchObject({ ok: true, dataset: 'default', entries: 3 });
    const { epsilon } = JSON.parse((await run('privacy', '--json')).out) as { epsilon: number };
    expect(epsilon).toBeGreaterThan(0.5);
  });

  it('is charged further by the present version, which leaves every earlier line as it is', async () => {
    const ledger = await Ledger.open(home.ledger('default'), 'default', await readIdentity(home.identity));
    const [charge] = ledger.entries;
    await ledger.record({ ...charge, roundId: 'run-0123456789ab-r4' }, Date.now());
    await ledger.close();
    const lines = await readFile(home.ledger('default'), 'utf8');
    expect(lines.startsWith(keptLines)).toBe(true);
    expect(JSON.parse((await run('privacy', 'verify', '--json')).out)).toMatchObject({ ok: true, entries: 4 });
  });

  it('remembers which rounds it joined, so that none is answered twice', async () => {
    const decisions = await Decisions.open(home.decisions);
    expect(decisions.hasJoined('1'.repeat(64))).toBe(true);
    expect(decisions.hasJoined('9'.repeat(64))).toBe(false);
    await decisions.close();
  });
});

describe('a coordinator that speaks another wire version', () => {
  let server: Server;
  let url: string;
  let tries = 0;
  beforeEach(async () => {
    tries = 0;
    const newer = new FedloraError('session/wire-version', 'This coordinator speaks wire version 2, the client 1.');
    const { code, message, remedy } = toWireError(newer);
    server = createServer((request, response) => {
      if (request.url === routes.challenge) response.end(JSON.stringify({ nonce: 'a'.repeat(64) }));
      else {
        tries += 1;
        response.writeHead(426, { 'content-type': 'application/problem+json' });
        response.end(JSON.stringify({ code, detail: message, remedy }));
      }
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it('is named with both versions, in the status and once in the log, while the client keeps trying', async () => {
    const config = await readFile(home.config, 'utf8');
    await writeFile(home.config, config.replace('https://fedlora.example.org', url));
    const logged: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(line) });
    const daemon = await startDaemon(home, { log });
    await expect.poll(() => tries, { timeout: 30_000 }).toBeGreaterThan(1);
    const status = await readStatus(home.status);
    expect(status).toMatchObject({ state: 'connecting', next: 'Tries again by itself, less often as time goes on.' });
    expect(status?.why).toContain('This coordinator speaks wire version 2, the client 1.');
    daemon.stopNow();
    await daemon.stopped;
    const said = logged.filter((line) => line.includes('session/wire-version'));
    expect(said).toHaveLength(1);
    expect(await readFile(home.ledger('default'), 'utf8')).toBe(keptLines);
  });
});
