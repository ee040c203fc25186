import { appendFile, mkdtemp, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { epsilonFor } from '@fedlora/protocol';
import { createIdentity, type Identity } from './identity.js';
import { Ledger, readLedger } from './ledger.js';
import type { Charge } from './spending.js';

const charge = (roundId: string, changes: Partial<Charge> = {}): Charge => ({
  runId: 'run',
  roundId,
  manifestHash: 'a'.repeat(64),
  unit: 'record',
  noiseMultiplier: 0.8,
  samplingRate: 0.02,
  steps: 1,
  delta: 1e-5,
  ...changes,
});

describe('Ledger', () => {
  let folder: string;
  let path: string;
  let identity: Identity;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    path = join(folder, 'default.jsonl');
    identity = await createIdentity(join(folder, 'identity.key'));
  });

  /** A ledger file with charges `r1` to `r<count>`. */
  const filled = async (count: number): Promise<string[]> => {
    const ledger = await Ledger.open(path, 'default', identity);
    for (let i = 1; i <= count; i += 1) await ledger.record(charge(`r${i}`), 1000 + i);
    await ledger.close();
    return (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  };

  it('has a charge on disk when record returns, and finds it after a restart', async () => {
    const ledger = await Ledger.open(path, 'default', identity);
    await ledger.record(charge('r1'), 1);
    expect(await readFile(path, 'utf8')).toContain('"r1"');
    await ledger.close();
    const again = await Ledger.open(path, 'default', identity);
    expect(again.entries).toMatchObject([{ sequence: 1, roundId: 'r1', dataset: 'default', previous: '0'.repeat(64) }]);
    await again.close();
  });

  it('attack: two processes on one home folder, each of which would see half of the charges', async () => {
    const first = await Ledger.open(path, 'default', identity);
    const second = await Ledger.open(path, 'default', identity);
    await first.record(charge('r1'), 1);
    await expect(second.record(charge('r2'), 2)).rejects.toMatchObject({ code: 'ledger/in-use' });
    expect(second.entries).toEqual([]);
    await first.record(charge('r3'), 3);
    await Promise.all([first.close(), second.close()]);
    expect(readLedger(await readFile(path, 'utf8'), identity.publicKey)).toHaveLength(2);
  });

  it.each([
    { noiseMultiplier: '1' as unknown as number },
    { delta: 'x' as unknown as number },
    { unit: 'row' as 'record' },
  ])('attack: terms with %j, whose charge could not be read back and would lock the owner out', async (changes) => {
    const ledger = await Ledger.open(path, 'default', identity);
    await expect(ledger.record(charge('r1', changes), 1)).rejects.toMatchObject({ code: 'manifest/invalid' });
    await ledger.record(charge('r2'), 2);
    await ledger.close();
    await (await Ledger.open(path, 'default', identity)).close();
  });

  it('chains each entry to the one before', async () => {
    const lines = (await filled(3)).map((line) => JSON.parse(line) as { entry: { previous: string }; hash: string });
    expect(lines[1].entry.previous).toBe(lines[0].hash);
    expect(lines[2].entry.previous).toBe(lines[1].hash);
    expect(readLedger(await readFile(path, 'utf8'), identity.publicKey)).toHaveLength(3);
  });

  it('adds rounds up like one run of as many steps', async () => {
    await filled(20);
    const ledger = await Ledger.open(path, 'default', identity);
    const expected = epsilonFor([{ noiseMultiplier: 0.8, samplingRate: 0.02, steps: 21 }], 1e-5).epsilon;
    expect(ledger.spending.epsilon('record', 1e-5, charge('r21'))).toBeCloseTo(expected, 12);
    await ledger.close();
  });

  it('cuts off a torn last line and keeps every complete charge, at whichever byte the power went', async () => {
    const lines = await filled(2);
    const whole = await readFile(path);
    const lastBegins = Buffer.byteLength(`${lines[0]}\n`);
    for (const cut of [lastBegins + 1, lastBegins + 40, whole.length - 2]) {
      await writeFile(path, whole.subarray(0, cut));
      const ledger = await Ledger.open(path, 'default', identity);
      expect(ledger.repaired).toBe(true);
      expect(ledger.entries.map((entry) => entry.roundId)).toEqual(['r1']);
      await ledger.record(charge('r2-again'), 5);
      await ledger.close();
      expect(readLedger(await readFile(path, 'utf8'), identity.publicKey).map((entry) => entry.roundId)).toEqual([
        'r1',
        'r2-again',
      ]);
    }
  });

  it('keeps a last charge that lacks only its line feed', async () => {
    await filled(2);
    const whole = await readFile(path);
    await truncate(path, whole.length - 1);
    const ledger = await Ledger.open(path, 'default', identity);
    expect(ledger.repaired).toBe(false);
    expect(ledger.entries).toHaveLength(2);
    await ledger.record(charge('r3'), 5);
    await ledger.close();
    expect(readLedger(await readFile(path, 'utf8'), identity.publicKey)).toHaveLength(3);
  });

  it.each([
    ['a changed noise multiplier', (lines: string[]) => [lines[0], lines[1].replace('0.8', '8.8'), lines[2]]],
    ['a removed line', (lines: string[]) => [lines[0], lines[2]]],
    ['a removed first line', (lines: string[]) => lines.slice(1)],
    ['two lines swapped', (lines: string[]) => [lines[1], lines[0], lines[2]]],
    ['a line twice', (lines: string[]) => [...lines, lines[2]]],
    ['a line spelt differently', (lines: string[]) => [lines[0], lines[1].replace('{', '{ '), lines[2]]],
    ['a note beside an entry', (lines: string[]) => [lines[0], lines[1].replace('{', '{"note":1,'), lines[2]]],
    ['a line of nonsense in the middle', (lines: string[]) => [lines[0], 'nonsense', lines[2]]],
    [
      'a forged signature at the end',
      (lines: string[]) => [lines[0], lines[1], lines[2].replace(/"signature":"../, '"signature":"00')],
    ],
  ])('is refused with %s', async (_name, change) => {
    const lines = await filled(3);
    await writeFile(
      path,
      change(lines)
        .map((line) => `${line}\n`)
        .join(''),
    );
    await expect(Ledger.open(path, 'default', identity)).rejects.toMatchObject({ code: 'ledger/tampered' });
  });

  it('of another identity or data set is refused', async () => {
    await filled(1);
    const stranger = await createIdentity(join(folder, 'other.key'));
    await expect(Ledger.open(path, 'default', stranger)).rejects.toMatchObject({ code: 'ledger/tampered' });
    await expect(Ledger.open(path, 'other', identity)).rejects.toMatchObject({ code: 'ledger/tampered' });
  });

  it('is not touched by a reader while a daemon may be in the middle of a line', async () => {
    await filled(1);
    await appendFile(path, '{"entry":{"seq');
    const content = await readFile(path, 'utf8');
    expect(readLedger(content, identity.publicKey)).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toBe(content);
  });
});

describe('spending', () => {
  it('is unbounded once a round without differential privacy is among the charges', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    const ledger = await Ledger.open(join(folder, 'l.jsonl'), 'default', await createIdentity(join(folder, 'k')));
    expect(ledger.spending.epsilon('record', 1e-5)).toBe(0);
    expect(ledger.spending.epsilon('record', 1e-5, charge('r', { unit: 'none', noiseMultiplier: 0 }))).toBe(Infinity);
    await ledger.close();
  });

  it('of rounds that protect the organisation counts with half the noise when rows are asked about', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    const ledger = await Ledger.open(join(folder, 'l.jsonl'), 'default', await createIdentity(join(folder, 'k')));
    await ledger.record(charge('r1', { unit: 'client', noiseMultiplier: 3, samplingRate: 1 }), 1);
    const { epsilon } = epsilonFor([{ noiseMultiplier: 1.5, samplingRate: 1, steps: 1 }], 1e-5);
    expect(ledger.spending.epsilon('record', 1e-5)).toBeCloseTo(epsilon, 12);
    expect(ledger.spending.epsilon('client', 1e-5)).toBeLessThan(epsilon);
    expect(ledger.spending.epsilon('client', 1e-5, charge('r2'))).toBe(Infinity);
    await ledger.close();
  });
});
