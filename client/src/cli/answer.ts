/** What a model answers to a prompt, shown while it is being said. */

import { FedloraError } from '@fedlora/shared';
import type { RowFormat } from '../data/row-formats.js';
import { alpacaPrompt } from '../data/template.js';
import { answerEnds, tokenizePrompt, type TrainingTokenizer } from '../data/tokenize.js';
import { generateTokens, type GenerationOptions } from '../engine/generate.js';
import type { LocalModel } from './local-model.js';

/** What is asked, and in which form. */
export interface Question {
  readonly format: RowFormat;
  readonly instruction: string;
  /** Empty for none. */
  readonly input: string;
  /** First message of a chat; empty for none. */
  readonly system: string;
}

export interface Answer {
  readonly text: string;
  readonly promptTokens: number;
  readonly tokens: number;
  /** Tokens over the time from the first of them to the last; of the model alone, not of its loading. */
  readonly tokensPerSecond: number;
}

/**
 * The ids of a question as its format has it, answer still to come.
 *
 * Edge cases text -> the instruction, followed by the input, is continued as it stands
 * @throws FedloraError data/no-chat-template | data/malformed-row: the chat template refuses the messages
 */
export function questionIds(question: Question, tokenizer: TrainingTokenizer): number[] {
  const { format, instruction, input, system } = question;
  const joined = input === '' ? instruction : `${instruction}\n\n${input}`;
  switch (format) {
    case 'alpaca':
      return tokenizePrompt({ prompt: alpacaPrompt(question), hasOwnStart: false }, tokenizer);
    case 'text':
      return tokenizePrompt({ prompt: joined, hasOwnStart: false }, tokenizer);
    case 'messages': {
      if (tokenizer.chatTemplate === undefined) throw new FedloraError('data/no-chat-template');
      const messages = [
        ...(system === '' ? [] : [{ role: 'system', content: system }]),
        { role: 'user', content: joined },
      ];
      const prompt = tokenizer.chatTemplate.render(messages, { addGenerationPrompt: true });
      return tokenizePrompt({ prompt, hasOwnStart: true }, tokenizer);
    }
    default:
      return format satisfies never;
  }
}

/**
 * Answers a question. `onText` is given the text piece by piece.
 *
 * @throws FedloraError data/question-too-long: the question leaves no position for an answer
 */
export async function answerQuestion(
  { engine, tokenizer }: Pick<LocalModel, 'engine' | 'tokenizer'>,
  question: Question,
  options: Omit<GenerationOptions, 'endIds'>,
  onText: (piece: string) => void = () => {},
): Promise<Answer> {
  const prompt = questionIds(question, tokenizer);
  if (prompt.length >= engine.maximumLength) {
    throw new FedloraError(
      'data/question-too-long',
      `The question has ${prompt.length} tokens; the base model takes ${engine.maximumLength}, the answer included.`,
    );
  }
  const endIds = answerEnds(question.format, tokenizer);
  const ids: number[] = [];
  let shown = '';
  let firstAt = performance.now();
  for await (const id of generateTokens(engine, prompt, { ...options, endIds })) {
    if (ids.length === 0) firstAt = performance.now();
    ids.push(id);
    const text = tokenizer.decode(ids);
    // A character may be spread over several tokens; until the last of them it shows as U+FFFD.
    if (text.endsWith('\ufffd') || !text.startsWith(shown)) continue;
    onText(text.slice(shown.length));
    shown = text;
  }
  const text = ids.length === 0 ? '' : tokenizer.decode(ids);
  onText(text.slice(shown.length));
  const seconds = (performance.now() - firstAt) / 1000;
  const tokensPerSecond = ids.length < 2 || seconds === 0 ? 0 : (ids.length - 1) / seconds;
  return { text, promptTokens: prompt.length, tokens: ids.length, tokensPerSecond };
}
