import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fingerprint } from '@fedlora/protocol';
import { routes } from '@fedlora/shared';
import { fedlora as run } from '../../../test/support/command-line.js';
import { serve, type TestServer } from '../../../test/support/http-server.js';
import { writeConfig } from '../config/client-config.js';
import { homeAt, makeHome, type Home } from '../config/home.js';
import { writePolicy } from '../config/policy-file.js';
import { createIdentity, type Identity } from '../storage/identity.js';
import { Ledger } from '../storage/ledger.js';
import { writePins } from '../storage/pins.js';

const fedlora = (...args: readonly string[]) => run(args, { environment: { FEDLORA_TOKEN: 'the-token' } });

describe('fedlora identity', () => {
  let home: Home;
  let old: Identity;
  let coordinator: TestServer;
  let enrolled: { name: string; identity: string; token: string }[];
  let coordinatorKey: string;
  let federation: string;
  let federationKey: string;
  const at = () => ['--home', home.directory];

  beforeEach(async () => {
    home = homeAt(await mkdtemp(join(tmpdir(), 'fedlora-identity-')));
    await makeHome(home);
    old = await createIdentity(home.identity);
    federation = join(home.directory, 'federation');
    federationKey = (await fedlora('federation', 'init', '--out', federation)).out;
    coordinatorKey = 'c0'.repeat(32);
    enrolled = [];
    coordinator = await serve((request, body, response) => {
      response.statusCode = request.url === routes.enrol ? 200 : 404;
      if (response.statusCode === 404) return void response.end();
      const asked = JSON.parse(body.toString('utf8')) as (typeof enrolled)[number];
      enrolled.push(asked);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name: asked.name, coordinatorKey, status: 'pending' }));
    });
    await writeConfig(
      home.config,
      new Map([
        ['coordinator', coordinator.url],
        ['organisation', 'clinic'],
      ]),
    );
    await writePolicy(home.policy, new Map());
    await writePins(home.pins, { organisation: 'clinic', coordinatorKey, federationKey, enrolledAt: 1 });
    for (const dataset of ['default', 'other']) await charged(dataset, old, 'r1');
  });
  afterEach(() => coordinator.close());

  const charged = async (dataset: string, identity: Identity, roundId: string): Promise<void> => {
    const ledger = await Ledger.open(home.ledger(dataset), dataset, identity, federationKey);
    await ledger.record(
      {
        runId: 'run',
        roundId,
        manifestHash: 'a'.repeat(64),
        unit: 'record',
        noiseMultiplier: 0.8,
        samplingRate: 0.02,
        steps: 1,
        delta: 1e-5,
      },
      5,
    );
    await ledger.close();
  };
  const nextKey = async (): Promise<string> =>
    (JSON.parse((await fedlora('identity', 'next', ...at(), '--json')).out) as { identity: string }).identity;

  it('shows the key with its fingerprint, and makes the next one once', async () => {
    const shown = await fedlora('identity', ...at());
    expect(shown.out).toContain(old.publicKey);
    expect(shown.out).toContain(fingerprint(old.publicKey));
    const next = await nextKey();
    expect(next).not.toBe(old.publicKey);
    expect(await nextKey()).toBe(next);
    expect((await fedlora('identity', ...at())).out).toContain(old.publicKey); // nothing uses it yet
  });

  it('rotate enrols the next key, hands every ledger over, and privacy tells the change and what was spent before', async () => {
    const next = await nextKey();
    const rotated = await fedlora('identity', 'rotate', ...at());
    expect(rotated).toMatchObject({ code: 0, error: '' });
    expect(rotated.out).toContain('default, other');
    expect(enrolled).toMatchObject([{ name: 'clinic', identity: next, token: 'the-token' }]);
    expect((await fedlora('identity', ...at())).out).toContain(next);
    expect(existsSync(home.nextIdentity)).toBe(false);
    expect(existsSync(home.lock)).toBe(false);
    for (const dataset of ['default', 'other']) {
      const verified = await fedlora('privacy', 'verify', ...at(), '--dataset', dataset, '--json');
      expect(JSON.parse(verified.out)).toEqual({ ok: true, dataset, entries: 1, keyChanges: 1 });
    }
    const shown = await fedlora('privacy', ...at());
    expect(shown.out).toContain(`key changed: ${fingerprint(old.publicKey)} to ${fingerprint(next)}`);
    expect(shown.out).toMatch(/left +epsilon \d/);
    expect((await fedlora('doctor', ...at(), '--json')).out).toContain('entries, whole');
  });

  it('rotate goes on where it was interrupted', async () => {
    const next = await nextKey();
    const spare = join(home.directory, 'spare');
    await copyFile(home.nextIdentity, spare);
    await copyFile(home.identity, `${spare}.old`);
    await fedlora('identity', 'rotate', ...at());
    // As if the process had been killed when the ledgers were handed over, before the key took its place.
    await copyFile(`${spare}.old`, home.identity);
    await copyFile(spare, home.nextIdentity);
    const stuck = await fedlora('privacy', 'verify', ...at());
    expect(stuck.code).toBe(23);
    expect(stuck.error).toContain('[ledger/key-changed]');
    expect(stuck.error).toContain('fedlora identity rotate');
    expect((await fedlora('identity', 'rotate', ...at())).code).toBe(0);
    expect((await fedlora('identity', ...at())).out).toContain(next);
    expect((await fedlora('privacy', 'verify', ...at())).out).toContain('1 entry');
  });

  it('rotate without the old key takes the federation’s word that it was revoked', async () => {
    const next = await nextKey();
    await rm(home.identity);
    expect((await fedlora('identity', 'rotate', ...at())).error).toContain('[identity/missing]');
    const list = join(federation, 'revoked.json');
    const file = join(federation, 'federation.key');
    await fedlora('federation', 'revoke', '--key', file, '--list', list, '--identity', 'ab'.repeat(32));
    const wrong = await fedlora('identity', 'rotate', ...at(), '--revocations', list);
    expect(wrong.error).toContain('[ledger/key-changed]');
    expect(existsSync(home.identity)).toBe(false);

    await fedlora('federation', 'revoke', '--key', file, '--list', list, '--identity', old.publicKey);
    expect(await fedlora('identity', 'rotate', ...at(), '--revocations', list)).toMatchObject({ code: 0, error: '' });
    expect((await fedlora('identity', ...at())).out).toContain(next);
    expect((await fedlora('privacy', 'verify', ...at())).code).toBe(0);
  });

  it('rotate changes nothing without a next key, or where the coordinator has another key than the pinned one', async () => {
    const before = await readFile(home.ledger('default'), 'utf8');
    expect((await fedlora('identity', 'rotate', ...at())).error).toContain('[identity/no-next]');
    await nextKey();
    coordinatorKey = 'dd'.repeat(32);
    expect((await fedlora('identity', 'rotate', ...at())).error).toContain('[enrol/key-differs]');
    expect(await readFile(home.ledger('default'), 'utf8')).toBe(before);
    expect((await fedlora('identity', ...at())).out).toContain(old.publicKey);
  });

  it('rotate hands over no ledger that was changed', async () => {
    await nextKey();
    const path = home.ledger('other');
    await writeFile(path, (await readFile(path, 'utf8')).replace('0.8', '8.8'));
    expect((await fedlora('identity', 'rotate', ...at())).error).toContain('[ledger/tampered]');
    expect((await fedlora('identity', ...at())).out).toContain(old.publicKey);
  });
});
