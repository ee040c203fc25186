import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileChatTemplate } from '../data/template.js';
import type { TrainingTokenizer } from '../data/tokenize.js';
import type { Batch } from '../engine/engine.js';
import { answerQuestion, questionIds } from './answer.js';
import { openLocalModel, type LocalModel } from './local-model.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Ids are bytes; 1 begins and 2 ends. */
const bytes: TrainingTokenizer = {
  encode: (value) => [...encoder.encode(value)],
  decode: (ids) => decoder.decode(Uint8Array.from(ids)),
  beginId: 1,
  endId: 2,
  endIds: new Set([2]),
  padId: 0,
  vocabularySize: 256,
  specialIds: new Set([1, 2]),
};

/** Says a text, byte by byte, whatever it is asked. */
function parrot(text: string, promptLength: number): Pick<LocalModel, 'engine' | 'tokenizer'> {
  const says = [...encoder.encode(text), 2];
  const engine = {
    maximumLength: 64,
    logits: async (_: Batch, lengths: Int32Array) =>
      new Float32Array(256).fill(1, says[lengths[0] - promptLength], says[lengths[0] - promptLength] + 1),
  };
  return { engine: engine as unknown as LocalModel['engine'], tokenizer: bytes };
}

const question = { format: 'text', instruction: 'abc', input: '', system: '' } as const;

describe('answerQuestion', () => {
  it('shows only whole characters, and in the end the whole answer', async () => {
    const pieces: string[] = [];
    const answer = await answerQuestion(parrot('né 😀!', 4), question, { maximumTokens: 30 }, (piece) =>
      pieces.push(piece),
    );
    expect(answer).toMatchObject({ text: 'né 😀!', promptTokens: 4, tokens: 9 });
    expect(pieces.filter((piece) => piece !== '')).toEqual(['n', 'é', ' ', '😀', '!']);
  });

  it('refuses a question that leaves no room for an answer', async () => {
    const long = { ...question, instruction: 'a'.repeat(63) };
    await expect(answerQuestion(parrot('x', 64), long, { maximumTokens: 3 })).rejects.toMatchObject({
      code: 'data/question-too-long',
      message: expect.stringMatching(/64 tokens/),
    });
  });
});

describe('questionIds', () => {
  const asked = { instruction: 'do', input: 'it', system: 'be brief' };

  it('puts a question as its format has it', () => {
    const chatTemplate = compileChatTemplate(
      '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}',
      {},
    );
    const text = (format: 'alpaca' | 'text' | 'messages'): string =>
      bytes.decode(questionIds({ ...asked, format }, { ...bytes, chatTemplate }));
    expect(text('alpaca')).toBe('\x01### Instruction:\ndo\n\n### Input:\nit\n\n### Response:\n');
    expect(text('text')).toBe('\x01do\n\nit');
    expect(text('messages')).toBe('<system>be brief<user>do\n\nit<assistant>');
  });

  it('refuses a chat with a model that has no chat template', () => {
    expect(() => questionIds({ ...asked, format: 'messages' }, bytes)).toThrowError(
      expect.objectContaining({ code: 'data/no-chat-template' }),
    );
  });
});

const stories = join(resolve(import.meta.dirname, '../../../../shared'), 'models/stories260K/hf');

describe.skipIf(!existsSync(stories))('stories260K (skipped where the model is absent)', () => {
  let model: LocalModel;
  beforeAll(async () => {
    model = await openLocalModel(stories, undefined, {
      quantization: 'none',
      threads: 1,
      engine: 'onnx',
      device: 'cpu',
    });
  });
  afterAll(() => model.engine.close());

  it('tells the story that transformers recorded, taking the likeliest token each time', async () => {
    const { greedy } = JSON.parse(readFileSync(join(stories, 'golden.json'), 'utf8')) as {
      greedy: { prompt_ids: number[]; ids: number[] };
    };
    expect(greedy.prompt_ids).toEqual([model.tokenizer.beginId]);
    const wanted = greedy.ids.slice(1);
    const { text } = await answerQuestion(model, { ...question, instruction: '' }, { maximumTokens: wanted.length });
    expect(text).toBe(model.tokenizer.decode(wanted));
    expect(text.length).toBeGreaterThan(100);
  });
});
