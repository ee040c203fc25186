import { appendFile, mkdtemp, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { epsilonFor, fromHex, nextRevocations, signRevocations, toHex } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { outlook } from '../round/outlook.js';
import { createIdentity, type Identity } from './identity.js';
import { handOver, Ledger, readLedger } from './ledger.js';
import type { Charge, Former, KeyChange } from './ledger-chain.js';

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

/** Of an organisation with one data set. */
const alone = ({ entries }: Ledger) => ({ entries, elsewhere: [] });

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
    expect(readLedger(await readFile(path, 'utf8'), identity).charges).toHaveLength(2);
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
    expect(readLedger(await readFile(path, 'utf8'), identity).charges).toHaveLength(3);
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
    for (let cut = lastBegins; cut < whole.length; cut += 1) {
      await writeFile(path, whole.subarray(0, cut));
      const ledger = await Ledger.open(path, 'default', identity);
      const isComplete = cut === whole.length - 1; // only the line feed is missing
      expect(ledger.repaired, `cut at ${cut}`).toBe(!isComplete && cut > lastBegins);
      expect(ledger.entries.map((entry) => entry.roundId)).toEqual(isComplete ? ['r1', 'r2'] : ['r1']);
      const goesOn = cut % 8 === 0 || isComplete; // each costs a flush of the disk
      if (goesOn) await ledger.record(charge('next'), 5);
      await ledger.close();
      if (!goesOn) continue;
      const { charges } = readLedger(await readFile(path, 'utf8'), identity);
      expect(charges.map((entry) => entry.roundId)).toEqual(isComplete ? ['r1', 'r2', 'next'] : ['r1', 'next']);
    }
  });

  it('keeps what stands before zeros that a power cut left, and the last charge where only its line feed is one', async () => {
    const lines = await filled(2);
    const whole = await readFile(path);
    const lastBegins = Buffer.byteLength(`${lines[0]}\n`);
    for (const [cut, kept] of [
      [lastBegins, ['r1']],
      [lastBegins + 90, ['r1']],
      [whole.length - 1, ['r1', 'r2']],
    ] as const) {
      await writeFile(path, Buffer.concat([whole.subarray(0, cut), new Uint8Array(512)]));
      const ledger = await Ledger.open(path, 'default', identity);
      expect(ledger.entries.map((entry) => entry.roundId)).toEqual(kept);
      await ledger.record(charge('next'), 5);
      await ledger.close();
      expect(readLedger(await readFile(path, 'utf8'), identity).charges).toHaveLength(kept.length + 1);
    }
  });

  it('attack: a byte of any line changed, added or taken away, the last line feed included, is found and named', async () => {
    const lines = await filled(3);
    const whole = await readFile(path);
    const lineOf = (at: number): number => whole.subarray(0, at).filter((byte) => byte === 0x0a).length + 1;
    const refusal = async (bytes: Buffer): Promise<unknown> => {
      await writeFile(path, bytes);
      const ledger = Ledger.open(path, 'default', identity);
      const error: unknown = await ledger.then(
        async (opened) => opened.close(),
        (reason: unknown) => reason,
      );
      expect(await readFile(path)).toEqual(bytes); // nothing was cut off
      return error;
    };
    for (let at = 0; at < whole.length; at += 17) {
      const changed = Buffer.from(whole);
      changed[at] ^= 1;
      expect(await refusal(changed), `byte ${at} changed`).toMatchObject({ code: 'ledger/tampered' });
      expect(() => readLedger(changed.toString('utf8'), identity), `byte ${at} changed`).toThrowError(
        expect.objectContaining({ code: 'ledger/tampered' }),
      );
      const added = Buffer.concat([whole.subarray(0, at), Buffer.from(' '), whole.subarray(at)]);
      expect(await refusal(added), `a space before ${at}`).toMatchObject({
        code: 'ledger/tampered',
        details: { line: lineOf(at) },
      });
    }
    const lastFeed = Buffer.from(whole);
    lastFeed[whole.length - 1] = 0x0b;
    expect(await refusal(lastFeed)).toMatchObject({ code: 'ledger/tampered', details: { line: lines.length } });
    const behind = Buffer.concat([whole.subarray(0, -1), Buffer.from('garbage')]);
    expect(await refusal(behind)).toMatchObject({ code: 'ledger/tampered', details: { line: lines.length } });
  });

  it('returns from record only when the disk has the charge, and never again once a flush failed', async () => {
    const ledger = await Ledger.open(path, 'default', identity);
    const handle = await open(path);
    const files = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    let flushed = (): void => undefined;
    const flush = vi
      .spyOn(files, 'datasync')
      .mockImplementationOnce(() => new Promise((resolve) => (flushed = resolve)));
    try {
      let isRecorded = false;
      const recording = ledger.record(charge('r1'), 1).then(() => (isRecorded = true));
      await vi.waitFor(() => expect(flush).toHaveBeenCalledOnce());
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(isRecorded).toBe(false);
      flushed();
      await recording;
      flush.mockRejectedValueOnce(new Error('EIO'));
      await expect(ledger.record(charge('r2'), 2)).rejects.toThrow('EIO');
      await expect(ledger.record(charge('r3'), 3)).rejects.toThrow('EIO');
      expect(ledger.entries.map((entry) => entry.roundId)).toEqual(['r1']);
    } finally {
      flush.mockRestore();
      await ledger.close();
    }
  });

  it('on a disk that is full, says so, takes back what it wrote of the line, and goes on when there is room again', async () => {
    const ledger = await Ledger.open(path, 'default', identity);
    await ledger.record(charge('r1'), 1);
    const whole = await readFile(path);
    const handle = await open(path);
    const files = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const full = vi.spyOn(files, 'appendFile').mockImplementationOnce(async () => {
      await appendFile(path, '{"entry":{"sequ');
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    });
    try {
      await expect(ledger.record(charge('r2'), 2)).rejects.toMatchObject({ code: 'home/disk-full', where: path });
      expect(await readFile(path)).toEqual(whole);
      await ledger.record(charge('r3'), 3);
      expect(ledger.entries.map(({ roundId, sequence }) => [roundId, sequence])).toEqual([
        ['r1', 1],
        ['r3', 2],
      ]);
    } finally {
      full.mockRestore();
      await ledger.close();
    }
    expect(readLedger(await readFile(path, 'utf8'), identity).charges).toEqual(ledger.entries);
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
    expect(readLedger(await readFile(path, 'utf8'), identity).charges).toHaveLength(3);
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
      (lines: string[]) => [
        lines[0],
        lines[1],
        lines[2].replace(/"signature":"(.)/, (_, digit) => `"signature":"${digit === '0' ? '1' : '0'}`),
      ],
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
    expect(readLedger(content, identity).charges).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toBe(content);
  });
});

describe('a change of the identity key', () => {
  const federation = fromHex('22'.repeat(32));
  const federationKey = toHex(nodeProvider.ed25519.publicKey(federation));
  let path: string;
  let keys: Identity[];
  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    path = join(folder, 'default.jsonl');
    keys = await Promise.all(['first', 'second', 'third'].map((name) => createIdentity(join(folder, name))));
    await recorded(keys[0], 'r1', 'r2');
  });

  const recorded = async (identity: Identity, ...rounds: string[]): Promise<void> => {
    const ledger = await Ledger.open(path, 'default', identity, federationKey);
    for (const roundId of rounds) await ledger.record(charge(roundId), 1);
    await ledger.close();
  };
  const text = (): Promise<string> => readFile(path, 'utf8');
  const roundsUnder = async (identity: Identity, pinned = federationKey): Promise<string[]> =>
    readLedger(await text(), { publicKey: identity.publicKey, federationKey: pinned }).charges.map(
      (entry) => entry.roundId,
    );
  const revoking = (seed: Uint8Array, ...identities: Identity[]): string => {
    const list = nextRevocations(
      undefined,
      identities.map(({ publicKey }) => publicKey),
    );
    return signRevocations(nodeProvider, seed, list);
  };
  const refused = (code: string): unknown => expect.objectContaining({ code }) as unknown;

  it('is an entry signed by both keys, after which the chain and what was spent go on', async () => {
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    await recorded(keys[1], 'r3');
    await handOver(path, 'default', { from: keys[1], to: keys[2], at: 8 });
    await recorded(keys[2], 'r4');
    const { charges, keyChanges } = readLedger(await text(), keys[2]);
    expect(charges.map(({ roundId, sequence }) => [roundId, sequence])).toEqual([
      ['r1', 1],
      ['r2', 2],
      ['r3', 4],
      ['r4', 6],
    ]);
    expect(keyChanges).toMatchObject([
      { sequence: 3, from: keys[0].publicKey, to: keys[1].publicKey, at: 7 },
      { sequence: 5, from: keys[1].publicKey, to: keys[2].publicKey, at: 8 },
    ]);
    const ledger = await Ledger.open(path, 'default', keys[2]);
    const expected = epsilonFor([{ noiseMultiplier: 0.8, samplingRate: 0.02, steps: 4 }], 1e-5).epsilon;
    expect(ledger.spending.epsilon('record', 1e-5)).toBeCloseTo(expected, 12);
    await ledger.close();
  });

  it('made twice, as after a crash in between, is one', async () => {
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    const before = await text();
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 9 });
    expect(await text()).toBe(before);
  });

  it('leaves a ledger that was never written as it is', async () => {
    await writeFile(path, '');
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    await recorded(keys[1], 'r1');
    expect(await roundsUnder(keys[1])).toEqual(['r1']);
  });

  it('leaves nothing to the old key: it can neither open the ledger nor go on with it', async () => {
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    await expect(Ledger.open(path, 'default', keys[0])).rejects.toEqual(refused('ledger/key-changed'));
    const content = await text();
    expect(() => readLedger(content, keys[0])).toThrowError(refused('ledger/key-changed'));
  });

  it('torn by a power cut is cut off at any byte, and made again', async () => {
    const before = Buffer.byteLength(await text());
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    const whole = await readFile(path);
    for (let cut = before; cut < whole.length; cut += 31) {
      await writeFile(path, whole.subarray(0, cut));
      await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
      expect(await readFile(path)).toEqual(whole);
    }
  });

  it('from a key that is lost is vouched for by the federation, which has revoked it', async () => {
    const revocations = revoking(federation, keys[0], keys[2]);
    const from = { publicKey: keys[0].publicKey, revocations };
    await handOver(path, 'default', { from, to: keys[1], at: 7, federationKey });
    await recorded(keys[1], 'r3');
    expect(await roundsUnder(keys[1])).toEqual(['r1', 'r2', 'r3']);
    // Without the federation's key nobody can say.
    const content = await text();
    expect(() => readLedger(content, keys[1])).toThrowError(refused('ledger/tampered'));
    await expect(roundsUnder(keys[1], keys[2].publicKey)).rejects.toEqual(refused('ledger/tampered'));
  });

  it.each([
    ['a list of another federation', () => revoking(fromHex('33'.repeat(32)), keys[0])],
    ['a list without the old key', () => revoking(federation, keys[2])],
    ['nonsense', () => 'nonsense'],
  ])('attack: vouched for by %s, it is not made', async (_, list) => {
    const before = await text();
    const from = { publicKey: keys[0].publicKey, revocations: list() };
    await expect(handOver(path, 'default', { from, to: keys[1], at: 7, federationKey })).rejects.toEqual(
      refused('ledger/tampered'),
    );
    expect(await text()).toBe(before);
  });

  interface Line {
    entry: KeyChange;
    hash: string;
    signature: string;
    former?: Former;
  }

  it.each<[string, (change: Line, stranger: Identity) => void]>([
    ['without the old key’s consent', (change) => delete change.former],
    [
      'with a stranger’s consent',
      (change, stranger) => (change.former = { signature: toHex(stranger.sign(fromHex(change.hash))) }),
    ],
    ['with the consent of the new key only', (change) => (change.former = { signature: change.signature })],
    [
      'without the new key’s signature',
      (change) => (change.signature = (change.former as { signature: string }).signature),
    ],
    ['to another key', (change, stranger) => ((change.entry as { to: string }).to = stranger.publicKey)],
    ['from another key', (change, stranger) => ((change.entry as { from: string }).from = stranger.publicKey)],
  ])('attack: %s is found', async (_, change) => {
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    const lines = (await text()).split('\n').slice(0, -1);
    const line = JSON.parse(lines[2]) as Line;
    change(line, keys[2]);
    await writeFile(path, [...lines.slice(0, 2), JSON.stringify(line), ''].join('\n'));
    await expect(Ledger.open(path, 'default', keys[1], federationKey)).rejects.toEqual(refused('ledger/tampered'));
    await expect(roundsUnder(keys[1])).rejects.toEqual(refused('ledger/tampered'));
  });

  it('attack: a thief of the old key cannot change what was charged before', async () => {
    const thief = keys[0];
    await handOver(path, 'default', { from: keys[0], to: keys[1], at: 7 });
    await recorded(keys[1], 'r3');
    const honest = (await text()).split('\n');
    // A history of its own, with less noise charged, signed with the stolen key and handed over with the honest entry.
    await writeFile(path, '');
    const ledger = await Ledger.open(path, 'default', thief);
    await ledger.record(charge('r1', { noiseMultiplier: 80 }), 1);
    await ledger.record(charge('r2', { noiseMultiplier: 80 }), 1);
    await ledger.close();
    const forged = (await text()).split('\n').slice(0, 2);
    await writeFile(path, [...forged, ...honest.slice(2)].join('\n'));
    await expect(roundsUnder(keys[1])).rejects.toMatchObject({ code: 'ledger/tampered', details: { line: 3 } });
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

  it('of rounds with different terms adds up what each kind costs, in any order', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    const ledger = await Ledger.open(join(folder, 'l.jsonl'), 'default', await createIdentity(join(folder, 'k')));
    const kinds = [
      { noiseMultiplier: 0.8, samplingRate: 0.02 },
      { noiseMultiplier: 2, samplingRate: 0.3 },
      { noiseMultiplier: 0.8, samplingRate: 0.05 },
    ];
    for (const i of [0, 1, 0, 2, 1, 0]) await ledger.record(charge('r', kinds[i]), 1);
    const events = [3, 2, 1].map((steps, i) => ({ ...kinds[i], steps }));
    const { epsilon } = epsilonFor(events, 1e-5);
    expect(ledger.spending.epsilon('record', 1e-5)).toBeCloseTo(epsilon, 12);
    for (const event of events) expect(epsilon).toBeGreaterThan(epsilonFor([event], 1e-5).epsilon);
    await ledger.close();
  });

  it('of steps at home is that of as many record steps, adds up with them, and promises the organisation nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    const path = join(folder, 'l.jsonl');
    const identity = await createIdentity(join(folder, 'k'));
    const ledger = await Ledger.open(path, 'default', identity);
    await ledger.record(charge('r1', { unit: 'record-local', steps: 5 }), 1);
    await ledger.record(charge('r2'), 2);
    await ledger.close();
    const again = await Ledger.open(path, 'default', identity);
    const next = charge('r3', { unit: 'record-local', steps: 7 });
    const { epsilon } = epsilonFor([{ noiseMultiplier: 0.8, samplingRate: 0.02, steps: 5 + 1 + 7 }], 1e-5);
    expect(again.spending.epsilon('record', 1e-5, next)).toBeCloseTo(epsilon, 12);
    expect(outlook(alone(again), next, 1, 3).epsilon).toBeCloseTo(epsilon, 12);
    expect(again.spending.epsilon('client', 1e-5)).toBe(Infinity);
    await again.close();
  });

  it('of a period counts what was charged within it, and charges of the future, which a clock set back leaves behind', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ledger-'));
    const ledger = await Ledger.open(join(folder, 'l.jsonl'), 'default', await createIdentity(join(folder, 'k')));
    const day = 24 * 3600_000;
    for (const at of [1, 6 * day, 40 * day]) await ledger.record(charge(`r${at}`), at);
    const of = (steps: number) => epsilonFor([{ noiseMultiplier: 0.8, samplingRate: 0.02, steps }], 1e-5).epsilon;
    const inPeriod = (now: number) => outlook(alone(ledger), charge('next'), 5, now).epsilonInPeriod;
    expect(inPeriod(8 * day)).toBeCloseTo(of(3), 12);
    expect(inPeriod(11 * day)).toBeCloseTo(of(2), 12);
    expect(inPeriod(46 * day)).toBeCloseTo(of(1), 12);
    expect(outlook(alone(ledger), charge('next'), 5, 46 * day).epsilon).toBeCloseTo(of(4), 12);
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
