import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer, type TrainingTokenizer } from './tokenize.js';

const fixtures = resolve(import.meta.dirname, '../../../test/fixtures/tokenizers');
const shared = resolve(import.meta.dirname, '../../../../shared/tokenizers');

/** Loads a tokenizer.json as a base model with a vocabulary of this size would have it. */
async function load(definition: object, vocab_size: number): Promise<TrainingTokenizer> {
  const directory = await mkdtemp(join(tmpdir(), 'fedlora-tokenizer-'));
  try {
    await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(definition));
    await writeFile(join(directory, 'config.json'), JSON.stringify({ vocab_size, eos_token_id: 0 }));
    return await loadTokenizer(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

interface Recorded {
  readonly tokenizer: { readonly model: { readonly vocab: readonly unknown[] | Readonly<Record<string, number>> } };
  readonly rows: readonly { readonly text: string; readonly ids: readonly number[]; readonly decoded: string }[];
}

describe('a tokenizer.json', () => {
  // Recorded from the Python library: a dozen scripts, digits, blanks, joined emoji, added tokens, control characters.
  it.each(['gpt2', 'llama3', 'qwen2', 'smollm2', 'llama2', 'mistral', 'gemma', 't5', 'albert'])(
    'of the family of %s gives the Python library’s ids and texts',
    async (family) => {
      const { tokenizer: definition, rows } = JSON.parse(
        readFileSync(join(fixtures, `${family}.json`), 'utf8'),
      ) as Recorded;
      const size = Object.keys(definition.model.vocab).length + 1; // One more: a token added after training.
      const tokenizer = await load(definition, size);
      expect(rows.length).toBeGreaterThan(20);
      for (const { text, ids, decoded } of rows) {
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
        expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
      }
    },
  );
});

describe.skipIf(!existsSync(shared))('../shared/tokenizers', () => {
  it('gives GPT-2’s ids for the texts that llama.cpp tests with', async () => {
    const vocab = JSON.parse(readFileSync(join(shared, 'gpt2-rasbt/encoder.json'), 'utf8')) as Record<string, number>;
    const [, ...lines] = readFileSync(join(shared, 'gpt2-rasbt/vocab.bpe'), 'utf8').split('\n');
    const merges = lines.filter((line) => line !== '').map((line) => line.split(' '));
    const tokenizer = await load(
      {
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
        post_processor: null,
        decoder: { type: 'ByteLevel' },
        model: { type: 'BPE', vocab, merges },
      },
      50_257,
    );
    const recorded = join(shared, 'llamacpp-vocab/ggml-vocab-gpt-2.gguf');
    const texts = readFileSync(`${recorded}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
    const ids = readFileSync(`${recorded}.out`, 'utf8').split('\n').slice(0, texts.length);
    expect(texts).toHaveLength(47);
    texts.forEach((text, i) => {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual((ids[i].match(/\d+/g) ?? []).map(Number));
    });
  });
});
