/**
 * How a row becomes a prompt, which is given, and an answer, which is learnt.
 *
 * Every organisation of a run must use the same template to the byte, and so must whoever uses the adapter afterwards.
 */

import { createHash } from 'node:crypto';
import { canonicalJson } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { Template } from '@huggingface/jinja';
import type { AlpacaRow, Message, Row } from './rows.js';

/** The two texts of a row. They are tokenized apart, so that no token belongs to both. */
export interface PromptAndAnswer {
  readonly prompt: string;
  readonly answer: string;
  /** What a chat template puts after the answer; learnt up to its first special token, which ends the answer. */
  readonly closing: string;
  /** The prompt brings its own beginning of text, so that none is put before it. */
  readonly hasOwnStart: boolean;
}

/**
 * The Alpaca prompt, without its preamble. The answer follows directly.
 *
 * Edge cases empty input -> no input section
 */
export function alpacaPrompt({ instruction, input }: Pick<AlpacaRow, 'instruction' | 'input'>): string {
  const section = input === '' ? '' : `### Input:\n${input}\n\n`;
  return `### Instruction:\n${instruction}\n\n${section}### Response:\n`;
}

/** Stands for an answer; in characters for private use, so that no template looks for it. */
const STAND_IN = '\ue0f0\ue0f1\ue0f0';

/** A base model's own chat template. */
export interface ChatTemplate {
  /** Hex SHA-256 by which a run names it. SPEC §13.9 */
  readonly digest: string;
  render(messages: readonly Message[], options: { readonly addGenerationPrompt: boolean }): string;
}

/** Compiles the `chat_template` of a tokenizer_config.json. @throws FedloraError tokenizer/invalid */
export function compileChatTemplate(source: string, specialTokens: Readonly<Record<string, string>>): ChatTemplate {
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw new FedloraError('tokenizer/invalid', 'The chat template cannot be compiled.', { cause });
  }
  const digest = createHash('sha256')
    .update('fedlora/chat-template/v1\n')
    .update(canonicalJson({ source, tokens: specialTokens }))
    .digest('hex');
  return {
    digest,
    render(messages, { addGenerationPrompt }) {
      try {
        return template.render({ ...specialTokens, messages, add_generation_prompt: addGenerationPrompt });
      } catch {
        // The template's own complaint may quote the messages.
        throw new FedloraError(
          'data/malformed-row',
          'The model’s chat template refuses the messages, perhaps their order of roles.',
        );
      }
    },
  };
}

/**
 * The prompt and answer of a row.
 *
 * Edge cases text -> an empty prompt: all of it is learnt | messages -> the last message is the answer; what the template puts
 *            before it (such as an empty thought) belongs to the answer, what it puts after it to `closing`, since some
 *            templates open another turn there even when they are asked not to (Llama 3's first one)
 * @throws FedloraError data/no-chat-template | data/malformed-row: the template refuses the messages, or rewrites the prompt
 *         or answer, so that the two cannot be told apart
 */
export function promptAndAnswer(row: Row, chatTemplate?: ChatTemplate): PromptAndAnswer {
  switch (row.format) {
    case 'alpaca':
      return { prompt: alpacaPrompt(row), answer: row.output, closing: '', hasOwnStart: false };
    case 'text':
      return { prompt: '', answer: row.text, closing: '', hasOwnStart: false };
    case 'messages': {
      if (chatTemplate === undefined) throw new FedloraError('data/no-chat-template');
      const prompt = chatTemplate.render(row.messages.slice(0, -1), { addGenerationPrompt: true });
      const whole = chatTemplate.render(row.messages, { addGenerationPrompt: false });
      // What follows the answer is seen with a stand-in for it: the answer's own words may occur there.
      const standIn = [...row.messages.slice(0, -1), { role: 'assistant', content: STAND_IN }];
      const [, closing] = chatTemplate.render(standIn, { addGenerationPrompt: false }).split(STAND_IN);
      if (closing === undefined || !whole.startsWith(prompt) || !whole.slice(prompt.length).endsWith(closing)) {
        throw new FedloraError('data/malformed-row', 'The model’s chat template changes the prompt or the answer.');
      }
      return { prompt, answer: whole.slice(prompt.length, whole.length - closing.length), closing, hasOwnStart: true };
    }
    default:
      return row satisfies never;
  }
}
