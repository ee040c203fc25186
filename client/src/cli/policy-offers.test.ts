import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { canonicalJson, manifestHash, type Manifest } from '@fedlora/protocol';
import { aManifest } from '../../../test/support/a-manifest.js';
import { fedlora } from '../../../test/support/command-line.js';
import { writeConfig } from '../config/client-config.js';
import { homeAt, makeHome, type Home } from '../config/home.js';
import { policySchema, policySettings, writePolicy } from '../config/policy-file.js';
import { createIdentity, type Identity } from '../storage/identity.js';
import { Ledger } from '../storage/ledger.js';
import { OfferBook } from '../storage/offer-book.js';

const manifest = aManifest();

describe('fedlora policy', () => {
  let home: Home;
  let identity: Identity;
  let book: OfferBook;
  const policy = (...args: string[]) => fedlora(['policy', ...args, '--home', home.directory]);
  const write = (values: Readonly<Record<string, unknown>>) =>
    writePolicy(
      home.policy,
      new Map(Object.entries({ allowedBases: [manifest.base.digest], maximumDelta: 1e-5, ...values })),
    );
  const file = async (value: unknown): Promise<string> => {
    const path = join(home.directory, 'manifest.json');
    await writeFile(path, canonicalJson(value));
    return path;
  };
  const offered = async (changes: Partial<Manifest>, at: number): Promise<string> => {
    const one = aManifest(changes);
    await book.remember(one, manifestHash(one), at);
    return manifestHash(one);
  };

  beforeEach(async () => {
    home = homeAt(await mkdtemp(join(tmpdir(), 'fedlora-policy-')));
    await makeHome(home);
    identity = await createIdentity(home.identity);
    await writeConfig(
      home.config,
      new Map<string, unknown>([
        ['coordinator', 'http://localhost:1'],
        ['organisation', 'clinic'],
        ['dataset.files', ['rows.json']],
      ]),
    );
    await write({});
    book = new OfferBook(home.offers);
  });

  it('explain says line by line what a file asks for and what is allowed, and that it is accepted', async () => {
    const { code, out } = await policy('explain', await file(manifest));
    expect(code).toBe(0);
    expect(out).toContain(manifestHash(manifest));
    expect(out).toMatch(/^yes {2}maximumDelta +asks: 0\.00001 +allowed: at most 0\.00001$/m);
    expect(out).toContain('The policy accepts it.');
  });

  it('explain names every line that declines, and ends with the first and its remedy', async () => {
    await write({ leastThreshold: 4, maximumL2Bound: 0.5 });
    const { code, out, error } = await policy('explain', await file(manifest));
    expect(code).not.toBe(0);
    expect(out.split('\n').filter((line) => line.startsWith('NO'))).toHaveLength(2);
    expect(error).toContain('declines it by "leastThreshold". So do 1 other lines.');
    expect(error).toContain('Ask for a higher threshold');
  });

  it('explain counts what the ledger has, in all and within the period', async () => {
    const ledger = await Ledger.open(home.ledger('default'), 'default', identity);
    const { noiseMultiplier, delta } = manifest.privacy;
    const charge = { runId: 'r', manifestHash: 'a'.repeat(64), unit: 'record', noiseMultiplier, delta } as const;
    const spend = (roundId: string, steps: number, at: number) =>
      ledger.record({ ...charge, roundId, samplingRate: 0.02, steps }, at);
    await spend('old', 100, Date.now() - 40 * 24 * 3600_000);
    await ledger.close();
    const path = await file(manifest);
    const asked = async (rule: string): Promise<number> => {
      const { out } = await policy('explain', path, '--json');
      const { verdicts } = JSON.parse(out) as { verdicts: { rule: string; asked: string }[] };
      return Number(verdicts.find((verdict) => verdict.rule === rule)?.asked);
    };
    await write({ epsilonCapPerPeriod: 100, epsilonCap: 100 });
    expect(await asked('epsilonCapPerPeriod')).toBeLessThan(0.8 * (await asked('epsilonCap')));
    await write({ epsilonCapPerPeriod: 100, epsilonCap: 100, periodDays: 60 });
    expect(await asked('epsilonCapPerPeriod')).toBe(await asked('epsilonCap'));
  });

  it('explain refuses what is no manifest, and says what is wrong with it', async () => {
    const text = join(home.directory, 'text.json');
    await writeFile(text, 'hello');
    expect((await policy('explain', text)).error).toContain('is no JSON');
    for (const value of [null, {}, [], { aggregation: { threshold: 'x' } }, { ...manifest, rounds: 0 }]) {
      expect((await policy('explain', await file(value))).error, JSON.stringify(value)).toContain('manifest/invalid');
    }
    expect((await policy('explain')).error).toContain('Nothing was offered');
    expect((await policy('explain', 'abcdef12')).error).toContain('policy/unknown-offer');
  });

  it('offers lists what was offered, the newest first; approve and withdraw take the beginning of a hash', async () => {
    expect((await policy('offers')).out).toBe('Nothing was offered yet.');
    const first = await offered({ title: 'Triage' }, 1000);
    const second = await offered({ title: 'Letters' }, 2000);
    const { out } = await policy('offers');
    expect(out.indexOf('Letters')).toBeLessThan(out.indexOf('Triage'));

    expect((await policy('approve', first.slice(0, 7))).error).toContain('At least 8 characters');
    expect((await policy('approve', first.slice(0, 8))).out).toContain(`Approved "Triage", manifest ${first}.`);
    expect([await book.isApproved(first), await book.isApproved(second)]).toEqual([true, false]);
    expect(JSON.parse((await policy('offers', '--json')).out)[1]).toMatchObject({
      hash: first,
      approvedAt: expect.any(Number),
    });

    await write({ approval: 'each-manifest' });
    expect((await policy('explain', first.slice(0, 10))).code).toBe(0);
    const unapproved = await policy('explain'); // the newest
    expect(unapproved.error).toContain('policy/awaiting-approval');
    expect(unapproved.error).toContain('fedlora policy approve');

    await policy('withdraw', first);
    expect(await book.isApproved(first)).toBe(false);
  });

  it('the book keeps the newest and the approved of very many offers, and no offer whose file was changed', async () => {
    const hashes: string[] = [];
    for (let i = 0; i < 203; i++) {
      hashes.push(await offered({ title: `Run ${i}` }, i));
      if (i === 0) await book.approve(hashes[0], 1);
    }
    const kept = (await book.list()).map((offer) => offer.manifestHash);
    expect(kept).toHaveLength(200);
    expect(kept).toContain(hashes[0]);
    expect(kept[0]).toBe(hashes[202]);
    expect(kept).not.toContain(hashes[1]);

    const path = join(home.offers, `${hashes[202]}.json`);
    await writeFile(path, (await readFile(path, 'utf8')).replace('"rounds":10', '"rounds":11'));
    await expect(book.find(hashes[202])).rejects.toMatchObject({ code: 'policy/unknown-offer' });
  });

  it('schema is the file that editors use, and knows every setting', async () => {
    const published = await readFile(
      resolve(import.meta.dirname, '../../../deploy/schemas/policy.schema.json'),
      'utf8',
    );
    expect(JSON.parse(published)).toEqual(policySchema());
    expect(`${(await fedlora(['policy', 'schema'])).out}\n`).toBe(published);
    expect(Object.keys(policySchema().properties as object)).toEqual(policySettings.map(({ key }) => key));
  });
});
