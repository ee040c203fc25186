import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '@fedlora/protocol/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';
import { readRows } from '../data/rows.js';
import { canaryRow, makeCanaries } from './canaries.js';
import { readCanaries, recordPathOf, sealCanaries, writeCanaries } from './canary-record.js';

let folder: string;
let out: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-canaries-'));
  out = join(folder, 'canaries.jsonl');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('canaries', () => {
  it('are all different, and included by fair coins', () => {
    const canaries = makeCanaries(2000, seededRandom('fair'));
    expect(new Set(canaries.flatMap(({ key, code }) => [key, code])).size).toBe(4000);
    const included = canaries.filter(({ isIncluded }) => isIncluded).length;
    expect(Math.abs(included - 1000)).toBeLessThan(110); // 4.9 standard deviations; the seed is fixed.
  });

  it.each(['alpaca', 'messages', 'text'] as const)(
    'are rows of the format %s, those that are included only',
    async (format) => {
      const sealed = sealCanaries({ count: 30, guesses: 10, format }, seededRandom('rows'));
      await writeCanaries(out, sealed);
      const { rows, problems } = await readRows([out], { format });
      expect(problems).toEqual([]);
      const included = sealed.record.canaries.filter(({ isIncluded }) => isIncluded);
      expect(rows).toEqual(included.map((canary, i) => canaryRow(canary, format, out, i + 1)));
      expect(included.length).toBeGreaterThan(5);
      expect(included.length).toBeLessThan(25);
    },
  );
});

describe('the record of canaries', () => {
  const sealed = sealCanaries({ count: 20, guesses: 10, format: 'alpaca' }, seededRandom('record'));

  it('is read as it was written, by its owner alone', async () => {
    await writeCanaries(out, sealed);
    expect(await readCanaries(recordPathOf(out))).toEqual(sealed);
    for (const path of [out, recordPathOf(out)]) expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('has another seal when the same canaries are sealed again, so that nobody can try coins against it', () => {
    const random = seededRandom('salt');
    const [one, other] = [0, 1].map(() => sealCanaries({ count: 0, guesses: 0, format: 'text' }, random));
    expect(one.seal).not.toBe(other.seal);
  });

  it.each([
    ['a coin was turned', (text: string) => text.replace('"isIncluded":true', '"isIncluded":false')],
    ['more are guessed than was fixed', (text: string) => text.replace('"guesses":10', '"guesses":20')],
    ['a canary is gone', (text: string) => text.replace(/\{"key":[^}]*\},/, '')],
    ['it is cut short', (text: string) => text.slice(0, 100)],
    ['it is something else', () => '{"seal":"00"}'],
    ['it is null', () => 'null'],
  ])('is refused where %s', async (_, change) => {
    await writeCanaries(out, sealed);
    const path = recordPathOf(out);
    await writeFile(path, change(await readFile(path, 'utf8')));
    await expect(readCanaries(path)).rejects.toMatchObject({ code: 'data/bad-canaries', where: path });
  });

  it('is written over nothing, and neither are the canaries', async () => {
    await writeFile(recordPathOf(out), 'mine');
    await expect(writeCanaries(out, sealed)).rejects.toMatchObject({ code: 'data/output-exists' });
    expect(await readFile(recordPathOf(out), 'utf8')).toBe('mine');
    await expect(stat(out)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('fedlora audit canaries', () => {
  it('writes canaries in the format of the rows, and says how to go on', async () => {
    const rows = join(folder, 'rows.jsonl');
    await writeFile(rows, '{"text":"Once upon a time"}\n');
    const made = await fedlora(['audit', 'canaries', '--data', rows, '--out', out, '--count', '50', '--json']);
    expect(made.code).toBe(0);
    const { seal, included } = JSON.parse(made.out) as { seal: string; included: number };
    const { record, ...read } = await readCanaries(recordPathOf(out));
    expect(read.seal).toBe(seal);
    expect(record).toMatchObject({ format: 'text', guesses: 25 });
    expect((await readFile(out, 'utf8')).trim().split('\n').length).toBe(included);
  });

  it.each([
    [['--count', '1'], '--count must be from 2'],
    [['--count', '10', '--guesses', '11'], '--guesses must be from 1 to --count'],
    [['--out', 'canaries.csv'], 'must end in .jsonl'],
  ])('refuses %s', async (options, reason) => {
    const rows = join(folder, 'rows.jsonl');
    await writeFile(rows, '{"text":"Once upon a time"}\n');
    const refused = await fedlora(['audit', 'canaries', '--data', rows, '--out', out, ...options]);
    expect(refused.code).toBe(20);
    expect(refused.error).toContain(reason);
  });
});
