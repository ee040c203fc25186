import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRows, type ReadOptions } from './rows.js';

const shared = resolve(import.meta.dirname, '../../../../shared');

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-rows-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function read(name: string, content: string | Uint8Array, options: Partial<ReadOptions> = {}) {
  const path = join(directory, name);
  await writeFile(path, content);
  return readRows([path], { format: 'alpaca', maximumBadFraction: 1, ...options });
}

const row = (n: number): string => JSON.stringify({ instruction: `ask ${n}`, output: `say ${n}` });

describe('readRows', () => {
  it('reads an array and lines alike, with the line each row begins on', async () => {
    const array = await read(
      'a.json',
      `[\n  ${row(1)},\n${row(2)}, ${row(3)}\n\n, {\n"instruction": "ask 4",\n"output": "[{\\"]}"}\n]\n`,
    );
    expect(array.rows.map(({ line }) => line)).toEqual([2, 3, 3, 5]);
    expect(array.rows[3]).toMatchObject({ instruction: 'ask 4', input: '', output: '[{"]}' });
    const lines = await read('a.jsonl', `${row(1)}\n\n  \n${row(2)}\r\n${row(3)}`);
    expect(lines.rows.map(({ line }) => line)).toEqual([1, 4, 5]);
    expect(lines.rows.at(-1)).toMatchObject({ output: 'say 3' });
  });

  it('skips a byte order mark in both kinds of file', async () => {
    expect((await read('a.json', `\ufeff[${row(1)}]`)).rows).toHaveLength(1);
    expect((await read('a.jsonl', `\ufeff${row(1)}\n`)).rows).toHaveLength(1);
  });

  it('says UTF-16 of a file that is', async () => {
    await expect(read('a.json', Buffer.from(`\ufeff[${row(1)}]`, 'utf16le'))).rejects.toThrow(/save it as UTF-8/);
  });

  it('keeps characters that stand across the edge of two chunks', async () => {
    const long = '😀ü'.repeat(200_000); // 1.2 MB, over one chunk
    for (const [name, content] of [
      ['a.json', `[{"instruction":"${long}","output":"x"}]`],
      ['a.jsonl', `{"instruction":"${long}","output":"x"}`],
    ]) {
      expect((await read(name, content)).rows[0]).toMatchObject({ instruction: long });
    }
  });

  it('reports bad rows by file, line and field', async () => {
    const { rows, problems } = await read(
      'a.jsonl',
      [
        row(1),
        '{"instruction": "my secret',
        '[]',
        '{"instruction":"q"}',
        '{"instruction":"q","output":3}',
        '{"instruction":" ","output":"a"}',
        row(2),
      ].join('\n'),
    );
    expect(rows).toHaveLength(2);
    expect(problems.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'is no valid JSON'],
      [3, 'is no JSON object'],
      [4, 'lacks `output`'],
      [5, 'has no text in `output`'],
      [6, 'has an empty `instruction`'],
    ]);
  });

  it('never repeats a word of a bad row', async () => {
    const bad = [
      '{"instruction": "diagnosis", "output": diagnosis}',
      '{"instruction": {"diagnosis": 1}}',
      '"diagnosis"',
      'diagnosis',
    ];
    const seen: unknown[] = [(await read('a.jsonl', bad.join('\n') + `\n${row(1)}`)).problems];
    for (const attempt of [
      () => read('a.jsonl', bad.join('\n'), { maximumBadFraction: 0 }),
      () => read('a.json', '[{"diagnosis": "'),
    ]) {
      seen.push(await attempt().catch((error: Error) => [error.message, error.stack, String(error.cause), error]));
    }
    expect(JSON.stringify(seen)).not.toContain('diagnosis');
  });

  it('reports a row that is not UTF-8', async () => {
    const latin = Buffer.concat([
      Buffer.from('{"instruction":"'),
      Buffer.from([0xe9]),
      Buffer.from('","output":"x"}\n'),
      Buffer.from(row(1)),
    ]);
    expect((await read('a.jsonl', latin)).problems).toMatchObject([{ line: 1, reason: 'is not UTF-8' }]);
  });

  it('passes over a row beyond the limit and goes on after it', async () => {
    const huge = `{"instruction":"${'x'.repeat(3_000_000)}","output":"y"}`;
    for (const [name, content] of [
      ['a.json', `[${row(1)},\n${huge},\n${row(2)}]`],
      ['a.jsonl', `${row(1)}\n${huge}\n${row(2)}`],
    ]) {
      const { rows, problems } = await read(name, content, { maximumRowBytes: 2_000_000 });
      expect(rows.map(({ line }) => line)).toEqual([1, 3]);
      expect(problems).toMatchObject([{ line: 2, code: 'data/row-too-large' }]);
    }
  });

  it('refuses files with too many bad rows, and lists ten', async () => {
    const content = Array.from({ length: 100 }, (_, i) => (i < 12 ? '{}' : row(i))).join('\n');
    const error: unknown = await read('a.jsonl', content, { maximumBadFraction: 0.1 }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({
      code: 'data/too-many-bad-rows',
      summary: '12 of 100 rows are bad for the format alpaca.',
    });
    expect((error as Error).message.match(/a\.jsonl:\d+ lacks `instruction`/g)).toHaveLength(10);
    expect((await read('a.jsonl', content, { maximumBadFraction: 0.12 })).rows).toHaveLength(88);
  });

  it.each([
    ['[{"instruction":"q"', /cut short/],
    ['[{"instruction":"q","output":"a"},', /cut short/],
    ['{"instruction":"q","output":"a"}', /name it \.jsonl/],
    ['instruction,output', /does not begin/],
    ['[] []', /after its closing bracket/],
  ])('refuses the .json %s as a whole', async (content, reason) => {
    await expect(read('a.json', content)).rejects.toThrow(reason);
    await expect(read('a.json', content)).rejects.toMatchObject({ code: 'data/malformed-file' });
  });

  it('counts the empty row before a stray comma', async () => {
    const { rows, problems } = await read('a.json', `[,${row(1)},]`);
    expect([rows.length, problems.length]).toEqual([1, 2]);
  });

  it.each([
    ['a.json', ''],
    ['a.json', '[]'],
    ['a.jsonl', ''],
    ['a.jsonl', '\n\n'],
  ])('says of %s with %j that it is empty', async (name, content) => {
    await expect(read(name, content)).rejects.toMatchObject({ code: 'data/empty' });
  });

  it('says of a missing file and an unknown kind what they are', async () => {
    await expect(readRows([join(directory, 'none.json')], { format: 'alpaca' })).rejects.toMatchObject({
      code: 'data/not-found',
    });
    await expect(read('a.xlsx', 'x')).rejects.toMatchObject({ code: 'data/unknown-format' });
  });

  it('reads texts, and chats that end with an answer', async () => {
    expect((await read('a.jsonl', '{"text":"Once"}\n{"text":""}', { format: 'text' })).rows).toMatchObject([
      { text: 'Once' },
    ]);
    const chat = (...roles: string[]): string =>
      JSON.stringify({ messages: roles.map((role) => ({ role, content: 'x' })) });
    const { rows, problems } = await read(
      'b.jsonl',
      [chat('user', 'assistant'), chat('user'), chat('robot', 'assistant'), '{"messages":{}}'].join('\n'),
      {
        format: 'messages',
      },
    );
    expect(rows).toHaveLength(1);
    expect(problems).toHaveLength(3);
  });

  it('of format auto, takes the format of the first row that has one, and says where others do not have it', async () => {
    const { rows, problems } = await read(
      'a.jsonl',
      ['{"id":1}', '{"text":"Once","id":2}', row(1), '{"text":"twice"}'].join('\n'),
      { format: 'auto' },
    );
    expect(rows).toMatchObject([{ format: 'text', text: 'Once' }, { text: 'twice' }]);
    expect(problems.map(({ line, reason }) => [line, reason])).toEqual([
      [1, 'has the fields of no format: `instruction` and `output`, `messages`, or `text`'],
      [3, 'lacks `text`'],
    ]);
  });

  it('of format auto, is refused where another file has another format', async () => {
    await writeFile(join(directory, 'b.jsonl'), '{"text":"Once"}\n');
    await writeFile(join(directory, 'a.jsonl'), row(1));
    const both = readRows([join(directory, 'a.jsonl'), join(directory, 'b.jsonl')], { format: 'auto' });
    await expect(both).rejects.toThrow(/1 of 2 rows are bad for the format alpaca.*b\.jsonl:1|b\.jsonl:1.*alpaca/s);
  });

  it('says what is wrong where every row is bad, however many may be', async () => {
    await expect(read('a.jsonl', '{"id":1}\n', { format: 'auto' })).rejects.toMatchObject({
      code: 'data/too-many-bad-rows',
    });
  });

  it.each([
    ['system after a question', ['user', 'system', 'assistant'], 'has a system message that is not the first'],
    ['no question', ['system', 'assistant'], 'has no message of a user'],
    ['no answer', ['system', 'user'], 'has `messages` that do not end with an answer of the assistant'],
  ])('refuses a chat with %s', async (_name, roles, reason) => {
    const messages = roles.map((role) => ({ role, content: 'x' }));
    const good = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: 'y' },
    ];
    const lines = [{ messages }, { messages: good }].map((line) => JSON.stringify(line)).join('\n');
    expect((await read('a.jsonl', lines, { format: 'messages' })).problems).toMatchObject([{ line: 1, reason }]);
  });

  it('gives a row named like a prototype no power', async () => {
    const { problems } = await read('a.jsonl', `{"__proto__":{"instruction":"q","output":"a"}}\n${row(1)}`);
    expect(problems).toMatchObject([{ reason: 'lacks `instruction`' }]);
  });
});

describe.skipIf(!existsSync(shared))('readRows on ../shared/data', () => {
  it('reads the demo and a larger set without a bad row', async () => {
    for (const path of ['data/demo/clinic.train.json', 'data/rasbt-instruct1100/instruction-data.json']) {
      const { rows, problems } = await readRows([join(shared, path)], { format: 'alpaca' });
      expect(rows.length).toBeGreaterThan(100);
      expect(problems.length / rows.length).toBeLessThan(0.01);
    }
  });
});
