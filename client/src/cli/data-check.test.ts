import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';
import { plantedRows } from '../../../test/support/planted-rows.js';
import { findingKinds } from '../data/personal/detectors.js';
import { findPersonalData } from '../data/personal/find.js';
import { Pseudonyms } from '../data/personal/pseudonyms.js';
import type { DataReport } from './data-report.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-data-'));
});
const write = async (name: string, rows: readonly object[]): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
};
const textRow = (text: string) => ({ text });
const CARD = '4111 1111 1111 1111';

describe('fedlora data check', () => {
  const check = (path: string, ...args: string[]) =>
    fedlora(['data', 'check', '--data', path, '--format', 'text', ...args]);
  const report = async (path: string): Promise<DataReport> =>
    JSON.parse((await check(path, '--json')).out) as DataReport;

  it('counts findings and rows of each kind, repeated rows and languages', async () => {
    const path = await write('rows.jsonl', [
      textRow(`Ana paid with ${CARD} and then with ${CARD}`),
      textRow('Write to ana@example.com, please, and do it today'),
      textRow('Necesito ayuda con mi cuenta del banco, por favor'),
      textRow('necesito ayuda con mi cuenta del banco por favor'),
      textRow('yes'),
    ]);
    const { personal, duplicates, languages } = await report(path);
    expect(personal.kinds).toEqual({ 'payment-card': { findings: 2, rows: 1 }, email: { findings: 1, rows: 1 } });
    expect(personal.rows).toBe(2);
    expect(duplicates).toEqual({ exact: 1, near: 0, examples: [[2, 3]] });
    expect(languages).toMatchObject({ es: 2, en: 2, unknown: 1 });
    const { out } = await check(path);
    expect(out).toMatch(/payment-card +2 in 1 rows: replace, and ask where it comes from/);
    expect(out).toContain('a row that stands twice is protected half as well');
    expect(out).toContain('fedlora data anonymise');
  });

  it('shows no word of any row, unless it is asked to, and then warns', async () => {
    const rows = findingKinds.map((kind) => plantedRows(kind, 3));
    const path = await write(
      'rows.jsonl',
      rows.flat().map(({ text }) => textRow(text)),
    );
    const values = rows.flat().map(({ text, start, end }) => text.slice(start, end));
    const plain = await check(path);
    for (const value of values) expect(plain.out + plain.error).not.toContain(value);
    expect((await report(path)).personal.examples).toEqual([]);
    const shown = await check(path, '--show', '1');
    expect(shown.error).toContain('warning: what follows shows personal data');
    expect(shown.out).toContain(JSON.stringify(values[0]));
    expect(shown.out.split('\n').filter((line) => /^ {4}\S+:\d+ {2}"/.test(line))).toHaveLength(findingKinds.length);
  });

  it.each([
    ['rows.csv', 'Instruction,Output\n"ask, please",say\n', 'alpaca'],
    ['rows.json', '[{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}]', 'chat'],
    ['rows.jsonl', '{"id":7}\n{"text":"once"}\n', 'text'],
  ])('tells the format of %s by itself', async (name, content, format) => {
    const path = join(folder, name);
    await writeFile(path, content);
    const { out } = await fedlora(['data', 'check', '--data', path]);
    expect(out).toContain(`read as ${format}, 1 usable`);
    const other = format === 'chat' ? 'text' : 'chat';
    const wrong = await fedlora(['data', 'check', '--data', path, '--format', other]);
    expect(wrong.error).toMatch(new RegExp(`${name}:\\d+ (has no list|lacks).*data/too-many-bad-rows`, 's'));
  });

  it('draws how long rows are', async () => {
    const base = join(import.meta.dirname, '../../../deploy/demo/base');
    const path = await write(
      'rows.jsonl',
      [1, 2, 4, 8, 30].map((words) => textRow('desk staff '.repeat(words))),
    );
    const { tokens } = JSON.parse((await check(path, '--base', base, '--json')).out) as DataReport;
    expect(tokens?.histogram.reduce((sum, { rows }) => sum + rows, 0)).toBe(5);
    expect(tokens?.histogram.at(-1)?.upTo).toBeGreaterThanOrEqual(tokens?.longest ?? 0);
    expect((await check(path, '--base', base)).out).toMatch(/up to +\d+ {2}█+ \d/);
  });
});

describe('fedlora data anonymise', () => {
  const anonymise = (data: string, out: string, ...args: string[]) =>
    fedlora(['data', 'anonymise', '--data', data, '--out', join(folder, out), '--format', 'text', ...args]);
  const texts = async (name: string): Promise<string[]> =>
    (await readFile(join(folder, name), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text);

  it('gives the same value the same pseudonym, in all rows and at another time with the same key, and none without it', async () => {
    const data = await write('rows.jsonl', [
      textRow('Ana is ana@example.com'),
      textRow('ANA@EXAMPLE.COM wrote'),
      textRow('bob@example.com wrote'),
    ]);
    const key = join(folder, 'key');
    const { out } = await anonymise(data, 'a.jsonl', '--key', key);
    expect(out).toMatch(/Wrote 3 rows .* 0 could not be read/);
    expect(out).toMatch(/email +3 replaced/);
    const [first, second, third] = await texts('a.jsonl');
    expect(first).toMatch(/^Ana is \[EMAIL-[a-z]{10}\]$/);
    expect(second.split(' ')[0]).toBe(first.slice('Ana is '.length));
    expect(third).not.toContain(first.slice('Ana is '.length));
    await anonymise(data, 'b.jsonl', '--key', key);
    expect(await texts('b.jsonl')).toEqual(await texts('a.jsonl'));
    await anonymise(data, 'c.jsonl');
    expect(await texts('c.jsonl')).not.toEqual(await texts('a.jsonl'));
    expect((await stat(key)).mode & 0o777).toBe(0o600);
  });

  it('leaves nothing that data check would find, whatever stands beside each other (property)', () => {
    const planted = findingKinds.flatMap((kind) => plantedRows(kind, 10));
    const parts = fc.array(
      fc.oneof(fc.constantFrom(...planted.map(({ text }) => text)), fc.string({ maxLength: 12 })),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    fc.assert(
      fc.property(parts, fc.constantFrom(' ', '', '\n', ', ', '-'), (list, glue) => {
        const changed = new Pseudonyms(new Uint8Array(32)).in(list.join(glue));
        expect(findPersonalData(changed)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('changes nothing else, and keeps the roles of messages', async () => {
    const data = await write('m.jsonl', [
      {
        messages: [
          { role: 'user', content: 'My card is 4111111111111111, thanks — ¡olé!' },
          { role: 'assistant', content: 'Thank you.' },
        ],
      },
    ]);
    await fedlora(['data', 'anonymise', '--data', data, '--out', join(folder, 'o.jsonl'), '--format', 'chat']);
    const { messages } = JSON.parse(await readFile(join(folder, 'o.jsonl'), 'utf8')) as {
      messages: { role: string; content: string }[];
    };
    expect(messages[0].content).toMatch(/^My card is \[CARD-[a-z]{10}\], thanks — ¡olé!$/);
    expect(messages[1]).toEqual({ role: 'assistant', content: 'Thank you.' });
  });

  it('overwrites nothing, and writes nothing when it cannot read, or the key is none', async () => {
    const data = await write('rows.jsonl', [textRow('a text')]);
    const before = await readFile(data, 'utf8');
    expect((await anonymise(data, 'rows.jsonl')).error).toContain('data/output-exists');
    expect(await readFile(data, 'utf8')).toBe(before);
    expect((await anonymise(join(folder, 'none.jsonl'), 'x.jsonl')).error).toContain('data/not-found');
    const bad = join(folder, 'bad.key');
    await writeFile(bad, 'hello');
    expect((await anonymise(data, 'x.jsonl', '--key', bad)).error).toContain('data/bad-key');
    await writeFile(join(folder, 'empty.jsonl'), '');
    expect((await anonymise(join(folder, 'empty.jsonl'), 'x.jsonl')).error).toContain('data/empty');
    expect((await readdir(folder)).sort()).toEqual(['bad.key', 'empty.jsonl', 'rows.jsonl']);
  });

  it('writes no file over that comes while it begins: of many at once, one writes', async () => {
    const data = await write('rows.jsonl', [textRow('a text of ana@example.com')]);
    const endings = await Promise.all(Array.from({ length: 8 }, () => anonymise(data, 'o.jsonl')));
    expect(endings.filter(({ error }) => error.includes('data/output-exists'))).toHaveLength(7);
    expect(await texts('o.jsonl')).toEqual([expect.stringMatching(/^a text of \[EMAIL-[a-z]{10}\]$/)]);
  });
});
