import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';
import { aManifest } from '../../../test/support/a-manifest.js';
import { readExamples } from './read-examples.js';
import { exampleTerms } from './round-example.js';

const base = fileURLToPath(new URL('../../../deploy/demo/base', import.meta.url));

const key = new Uint8Array(32).fill(7);

describe('readExamples', () => {
  it('says that a data set of another format is not what the run learns from', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'fedlora-rows-')), 'rows.csv');
    await writeFile(file, 'text\nOnce upon a time\n');
    const read = (format: 'auto' | 'text') =>
      readExamples({ files: [file], format }, base, exampleTerms(aManifest()), key);
    for (const format of ['auto', 'text'] as const)
      await expect(read(format)).rejects.toMatchObject({
        code: 'data/other-format',
        summary: 'The run learns from rows of format alpaca; those of this data set are text.',
      });
  });

  it('holds no canary out from training, whatever share of the rows is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-rows-'));
    const [rows, canaries] = [join(folder, 'rows.csv'), join(folder, 'canaries.csv')];
    for (const file of [rows, canaries]) await writeFile(file, 'text\nroute the desk\n');
    const terms = exampleTerms(
      aManifest({
        data: { format: 'text', template: 'plain', maximumLength: 64 },
        metrics: { weight: 0.1, lossBound: 8, evaluation: { fraction: 0.999999999 } },
      }),
    );
    const examples = await readExamples({ files: [rows, canaries], format: 'text', canaries }, base, terms, key);
    expect(examples.map(({ isHeldOut }) => isHeldOut)).toEqual([true, false]);
  });

  it('reads texts for a run of texts', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'fedlora-rows-')), 'rows.csv');
    await writeFile(file, 'text\nroute the desk\ndesk staff\n');
    const terms = exampleTerms(aManifest({ data: { format: 'text', template: 'plain', maximumLength: 64 } }));
    const examples = await readExamples({ files: [file], format: 'text' }, base, terms, key);
    expect(examples.map(({ row, answerStart }) => [row, answerStart])).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });

  it('reads chats for a run of chats, only where the base model has the template that the run names', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-rows-'));
    const file = join(folder, 'rows.jsonl');
    const messages = [
      { role: 'user', content: 'route' },
      { role: 'assistant', content: 'desk' },
    ];
    await writeFile(file, JSON.stringify({ messages }));
    for (const name of ['config.json', 'tokenizer.json']) await copyFile(join(base, name), join(folder, name));
    const settings = JSON.parse(await readFile(join(base, 'tokenizer_config.json'), 'utf8')) as object;
    const source =
      '{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}';
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ ...settings, chat_template: source }));
    // SPEC §13.9, by hand: names in the order of their letters.
    const tokens = '{"bos_token":"<s>","eos_token":"</s>","pad_token":"<pad>"}';
    const template = createHash('sha256')
      .update(`fedlora/chat-template/v1\n{"source":${JSON.stringify(source)},"tokens":${tokens}}`)
      .digest('hex');
    const read = (directory: string, digest: string) =>
      readExamples(
        { files: [file], format: 'auto' },
        directory,
        exampleTerms(aManifest({ data: { format: 'messages', template: digest, maximumLength: 64 } })),
        key,
      );
    expect(await read(folder, template)).toHaveLength(1);
    const mismatch = { code: 'base-model/chat-template-mismatch' };
    await expect(read(folder, 'a'.repeat(64))).rejects.toMatchObject(mismatch);
    await expect(read(base, template)).rejects.toMatchObject(mismatch);
    const printed = await fedlora(['base', 'digest', '--chat-template', folder]);
    expect(printed.out).toBe(template);
    expect((await fedlora(['base', 'digest', '--chat-template', base])).error).toContain('data/no-chat-template');
  });

  it('marks the rows that the terms hold out, whichever rows could not be read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-rows-'));
    const rows = Array.from({ length: 60 }, (_, i) => ({ instruction: `route ${i}`, input: '', output: 'desk' }));
    const file = join(folder, 'rows.jsonl');
    const write = (lines: readonly unknown[]): Promise<void> =>
      writeFile(file, lines.map((line) => JSON.stringify(line)).join('\n'));
    const evaluation = { fraction: 0.3 };
    const terms = exampleTerms(aManifest({ metrics: { ...aManifest().metrics, evaluation } }));
    expect(terms.heldOutFraction).toBe(0.3);

    await write(rows);
    const all = await readExamples({ files: [file], format: 'auto' }, base, { ...terms, maximumLength: 128 }, key);
    const heldOut = all.filter((example) => example.isHeldOut).map(({ ids }) => ids.join());
    expect(heldOut.length).toBeGreaterThan(6);
    expect(heldOut.length).toBeLessThan(36);

    // A row that cannot be read in front of the others moves their numbers, and no side.
    await write([{ instruction: 7 }, ...rows]);
    const shifted = await readExamples({ files: [file], format: 'auto' }, base, { ...terms, maximumLength: 128 }, key);
    expect(shifted.filter((example) => example.isHeldOut).map(({ ids }) => ids.join())).toEqual(heldOut);

    const none = await readExamples(
      { files: [file], format: 'auto' },
      base,
      { ...exampleTerms(aManifest()), maximumLength: 128 },
      key,
    );
    expect(none.some((example) => example.isHeldOut)).toBe(false);
  });
});
