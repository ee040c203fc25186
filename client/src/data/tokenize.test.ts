import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AlpacaRow, MessagesRow, TextRow } from './rows.js';
import { alpacaPrompt, compileChatTemplate } from './template.js';
import { answerEnds, loadTokenizer, tokenizePrompt, tokenizeRows, type TrainingTokenizer } from './tokenize.js';

const shared = resolve(import.meta.dirname, '../../../../shared');
const demo = join(shared, 'models/demo-base');
const stories = join(shared, 'models/stories260K/hf');

const origin = { file: 'rows.json', line: 1 };
const alpaca = (instruction: string, input: string, output: string): AlpacaRow => ({
  ...origin,
  format: 'alpaca',
  instruction,
  input,
  output,
});
const text = (value: string): TextRow => ({ ...origin, format: 'text', text: value });

/** A tokenizer of characters, whose ids are their codes; 1 begins, 2 ends, and `|` is special. */
const characters: TrainingTokenizer = {
  encode: (value) => [...value].map((character) => character.codePointAt(0)!),
  decode: (ids) => String.fromCodePoint(...ids),
  beginId: 1,
  endId: 2,
  endIds: new Set([2]),
  padId: 0,
  vocabularySize: 0x110000,
  specialIds: new Set([1, 2, '|'.charCodeAt(0)]),
};

describe('answerEnds', () => {
  it('are the ends of a text, and in a chat also what the template puts after the assistant', () => {
    const source =
      '{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}' +
      '{% if add_generation_prompt %}assistant:{% endif %}';
    const tokenizer = { ...characters, chatTemplate: compileChatTemplate(source, {}) };
    expect(answerEnds('alpaca', tokenizer)).toEqual(new Set([2]));
    expect(answerEnds('messages', tokenizer)).toEqual(new Set([2, '|'.charCodeAt(0)]));
  });
});

describe('alpacaPrompt', () => {
  it('has an input section only where there is an input', () => {
    expect(alpacaPrompt({ instruction: 'i', input: 'x' })).toBe(
      '### Instruction:\ni\n\n### Input:\nx\n\n### Response:\n',
    );
    expect(alpacaPrompt({ instruction: 'i', input: '' })).toBe('### Instruction:\ni\n\n### Response:\n');
  });
});

describe('tokenizeRows', () => {
  it('marks the answer from its first token', () => {
    const { examples } = tokenizeRows([alpaca('i', '', 'yes')], characters, { maximumLength: 100 });
    const { ids, answerStart } = examples[0];
    expect(ids[0]).toBe(1);
    expect(characters.decode([...ids.subarray(answerStart, -1)])).toBe('yes');
    expect(ids.at(-1)).toBe(2);
    expect(ids.subarray(0, answerStart)).toEqual(
      Int32Array.from(
        tokenizePrompt({ prompt: alpacaPrompt({ instruction: 'i', input: '' }), hasOwnStart: false }, characters),
      ),
    );
  });

  it('shortens an input to exactly the limit, and never an answer', () => {
    const row = alpaca('sort', 'x'.repeat(500), 'the whole answer');
    const { examples, truncated, problems } = tokenizeRows([row], characters, { maximumLength: 120 });
    expect([truncated, problems.length]).toEqual([1, 0]);
    const { ids, answerStart } = examples[0];
    expect(ids).toHaveLength(120);
    expect(characters.decode([...ids.subarray(answerStart, -1)])).toBe('the whole answer');
    expect(characters.decode([...ids.subarray(0, answerStart)])).toMatch(/x\n\n### Response:\n$/);
  });

  it('does not cut an input within a character', () => {
    for (let maximumLength = 70; maximumLength < 90; maximumLength++) {
      const { examples } = tokenizeRows([alpaca('sort', '😀'.repeat(100), 'a')], characters, { maximumLength });
      for (const { ids } of examples) expect(ids.some((id) => id >= 0xd800 && id < 0xe000)).toBe(false);
    }
  });

  it('leaves out and reports what does not fit without cutting its answer', () => {
    const rows = [
      alpaca('i', 'x', 'y'.repeat(200)),
      alpaca('z'.repeat(200), '', 'y'),
      text('t'.repeat(200)),
      text('fits'),
    ];
    const { examples, truncated, problems } = tokenizeRows(rows, characters, { maximumLength: 100 });
    expect(examples.map(({ row }) => row)).toEqual([3]);
    expect(truncated).toBe(0);
    expect(problems.map(({ code }) => code)).toEqual(['data/too-long', 'data/too-long', 'data/too-long']);
  });

  it('learns all of a text but a first token with nothing to its left', () => {
    expect(tokenizeRows([text('ab')], characters, { maximumLength: 9 }).examples[0]).toMatchObject({
      ids: Int32Array.of(1, 97, 98, 2),
      answerStart: 1,
    });
    const without = { ...characters, beginId: null };
    expect(tokenizeRows([text('ab')], without, { maximumLength: 9 }).examples[0]).toMatchObject({
      ids: Int32Array.of(97, 98, 2),
      answerStart: 1,
    });
  });

  it('uses the model’s own chat template, whose marks end the answer', () => {
    const source =
      '{% for m in messages %}<{{ m.role }}>{{ m.content }}|\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}';
    const row: MessagesRow = {
      ...origin,
      format: 'messages',
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: 'a' },
      ],
    };
    const chat = { ...characters, chatTemplate: compileChatTemplate(source, {}) };
    const { ids, answerStart } = tokenizeRows([row], chat, { maximumLength: 99 }).examples[0];
    expect(characters.decode([...ids])).toBe('<user>q|\n<assistant>a|');
    expect(answerStart).toBe('<user>q|\n<assistant>'.length);
    expect(() => tokenizeRows([row], characters, { maximumLength: 99 })).toThrow(
      expect.objectContaining({ code: 'data/no-chat-template' }),
    );
  });

  it('does not learn to open the next turn where a template always does', () => {
    const source = '{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}|{% endfor %}<assistant>';
    const row: MessagesRow = {
      ...origin,
      format: 'messages',
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: ' a ' },
      ],
    };
    const chat = { ...characters, chatTemplate: compileChatTemplate(source, {}) };
    const { ids, answerStart } = tokenizeRows([row], chat, { maximumLength: 99 }).examples[0];
    expect(characters.decode([...ids.subarray(answerStart)])).toBe('a|');
  });

  it('ends a chat as any other text where the template puts no mark', () => {
    const source =
      '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}';
    const messages = [
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ];
    const chat = { ...characters, chatTemplate: compileChatTemplate(source, {}) };
    const { examples } = tokenizeRows([{ ...origin, format: 'messages', messages }], chat, { maximumLength: 99 });
    expect([...examples[0].ids.subarray(examples[0].answerStart)]).toEqual(['a'.charCodeAt(0), 2]);
    const hidden = { ...characters, chatTemplate: compileChatTemplate('{{ messages[0].content }}', {}) };
    expect(
      tokenizeRows([{ ...origin, format: 'messages', messages }], hidden, { maximumLength: 99 }).problems,
    ).toHaveLength(1);
  });

  it('reports a chat that the template refuses, without its words', () => {
    const chat = {
      ...characters,
      chatTemplate: compileChatTemplate("{{ raise_exception('no: ' + messages[0].content) }}", {}),
    };
    const row: MessagesRow = {
      ...origin,
      format: 'messages',
      messages: [
        { role: 'user', content: 'diagnosis' },
        { role: 'assistant', content: 'a' },
      ],
    };
    const { problems } = tokenizeRows([row], chat, { maximumLength: 99 });
    expect(problems).toHaveLength(1);
    expect(JSON.stringify(problems)).not.toContain('diagnosis');
  });
});

describe.skipIf(!existsSync(shared))('loadTokenizer on ../shared/models', () => {
  it('gives the ids recorded for demo-base', async () => {
    const tokenizer = await loadTokenizer(demo);
    const golden = JSON.parse(readFileSync(join(demo, 'golden.json'), 'utf8')) as { text: string; ids: number[] }[];
    expect(golden.length).toBeGreaterThan(0);
    for (const { text: value, ids } of golden) expect([tokenizer.beginId, ...tokenizer.encode(value)]).toEqual(ids);
    expect(tokenizer).toMatchObject({ beginId: 1, endId: 2, padId: 0, vocabularySize: 1024 });
  });

  it('gives the ids recorded for stories260K, and ends with token 1, which it was trained with', async () => {
    const tokenizer = await loadTokenizer(stories);
    const golden = JSON.parse(readFileSync(join(stories, 'golden.json'), 'utf8')) as {
      encode: { text: string; ids: number[] }[];
    };
    for (const { text: value, ids } of golden.encode)
      expect([tokenizer.beginId, ...tokenizer.encode(value)], value).toEqual(ids);
    expect(tokenizer.endId).toBe(1);
  });

  it('gives the tokens and the boundary recorded with the PEFT training fixture', async () => {
    const tokenizer = await loadTokenizer(stories);
    const golden = JSON.parse(readFileSync(join(shared, 'fixtures/stories260K-peft-r4/golden_train.json'), 'utf8')) as {
      examples: { instruction: string; input: string; output: string }[];
      prompt_ids: number[][];
      response_ids: number[][];
    };
    const rows = golden.examples.map(({ instruction, input, output }) => alpaca(instruction, input, output));
    const { examples } = tokenizeRows(rows, tokenizer, { maximumLength: 512 });
    examples.forEach(({ ids, answerStart }, i) => {
      expect([...ids.subarray(0, answerStart)]).toEqual(golden.prompt_ids[i]);
      expect([...ids.subarray(answerStart)]).toEqual(golden.response_ids[i]);
    });
  });

  it('spells every text it decodes back, in any script', async () => {
    const tokenizer = await loadTokenizer(demo);
    for (const value of ['café naïve 😀', '你好 123', ' two  spaces\n\ttab', 'Ā\u0000\u007f']) {
      expect(tokenizer.decode([1, ...tokenizer.encode(value), 2, 0, 0])).toBe(value);
    }
  });
});

describe('loadTokenizer of a GGUF file', () => {
  const folder = resolve(import.meta.dirname, '../../../test/fixtures/gguf/qwen2');

  it('takes beginning, end and vocabulary from the file, and gives the ids of the original folder', async () => {
    const original = await loadTokenizer(folder);
    const tokenizer = await loadTokenizer(join(folder, 'model.gguf'));
    expect(tokenizer.encode('a b v1')).toEqual(original.encode('a b v1'));
    expect(tokenizer).toMatchObject({ beginId: 1, endId: 2, padId: 2, vocabularySize: 48 });
    expect(original).toMatchObject({ beginId: 1, endId: 2, padId: 2, vocabularySize: 48 });
  });

  it('asks for the tokenizer.json beside it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'fedlora-tokenizer-'));
    await copyFile(join(folder, 'model.gguf'), join(directory, 'model.gguf'));
    await expect(loadTokenizer(join(directory, 'model.gguf'))).rejects.toThrow(/tokenizer.json is missing/);
    await rm(directory, { recursive: true });
  });
});

describe.skipIf(!existsSync(shared))('loadTokenizer', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'fedlora-tokenizer-'));
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'config.json'])
      await copyFile(join(demo, name), join(directory, name));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });
  const change = async (name: string, change: (value: Record<string, unknown>) => void): Promise<void> => {
    const value = JSON.parse(await readFile(join(directory, name), 'utf8')) as Record<string, unknown>;
    change(value);
    await writeFile(join(directory, name), JSON.stringify(value));
  };

  it.each([[1000], [2000]])('refuses a base model of %i tokens for a tokenizer of 1024', async (vocab_size) => {
    await change('config.json', (config) => (config['vocab_size'] = vocab_size));
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer/mismatch' });
  });

  it('accepts a vocabulary that the base model pads', async () => {
    await change('config.json', (config) => (config['vocab_size'] = 1088));
    await loadTokenizer(directory);
  });

  it('refuses a byte-pair vocabulary that would silently drop a byte', async () => {
    await change('tokenizer.json', (tokenizer) => {
      const { vocab } = tokenizer['model'] as { vocab: Record<string, number> };
      vocab['Ā?'] = vocab['a'];
      delete vocab['a'];
    });
    await expect(loadTokenizer(directory)).rejects.toThrow(/cannot spell byte 97/);
  });

  it('refuses to give an id to a word outside a vocabulary of words', async () => {
    await writeFile(
      join(directory, 'tokenizer.json'),
      JSON.stringify({
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: { type: 'WhitespaceSplit' },
        post_processor: null,
        decoder: null,
        model: { type: 'WordLevel', vocab: { a: 0, b: 1, c: 2 }, unk_token: '[UNK]' },
      }),
    );
    await change('config.json', (config) => (config['vocab_size'] = 3));
    const tokenizer = await loadTokenizer(directory);
    expect(tokenizer.encode('a c')).toEqual([0, 2]);
    expect(() => tokenizer.encode('a diagnosis')).toThrow(
      expect.objectContaining({
        code: 'tokenizer/unknown-token',
        summary: 'Token 1 of the text is not in the vocabulary.',
      }),
    );
  });

  it('begins texts as the files say', async () => {
    await change('tokenizer_config.json', (settings) => (settings['add_bos_token'] = false));
    expect((await loadTokenizer(directory)).beginId).toBeNull();
    await change('tokenizer_config.json', (settings) =>
      Object.assign(settings, { add_bos_token: undefined, tokenizer_class: 'GPT2Tokenizer' }),
    );
    expect((await loadTokenizer(directory)).beginId).toBeNull();
    await change('tokenizer_config.json', (settings) =>
      Object.assign(settings, { bos_token: null, tokenizer_class: 'Other' }),
    );
    expect((await loadTokenizer(directory)).beginId).toBeNull();
  });

  it('takes of several ends the one that the tokenizer names', async () => {
    await change('config.json', (config) => (config['eos_token_id'] = [0, 2]));
    expect((await loadTokenizer(directory)).endId).toBe(2);
    await change('config.json', (config) => (config['eos_token_id'] = 4096));
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer/mismatch' });
  });

  it('knows every end that config.json and generation_config.json list', async () => {
    await change('config.json', (config) => (config['eos_token_id'] = [0, 2]));
    await writeFile(join(directory, 'generation_config.json'), '{"eos_token_id":[2,7,999999]}');
    expect([...(await loadTokenizer(directory)).endIds].sort()).toEqual([0, 2, 7]);
  });

  it('says what is missing or broken', async () => {
    await writeFile(join(directory, 'tokenizer.json'), '{"model":');
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer/invalid' });
    await writeFile(join(directory, 'tokenizer.json'), '{}');
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer/invalid' });
    await rm(join(directory, 'tokenizer.json'));
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer/not-found' });
  });
});
