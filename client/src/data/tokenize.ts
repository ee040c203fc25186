/**
 * Texts to token ids, with the boundary between prompt and answer exact.
 *
 * Source     tokenizer.json as @huggingface/tokenizers reads it; which ids begin and end a text: config.json.
 * Divergence The library gives `undefined` as the id of a token outside the vocabulary, and byte-pair tokenizers drop what they
 *            cannot spell. Here the first is an error, and a vocabulary that could do the second is refused when loaded.
 * Secrets    Errors name no text and no token.
 */

import { FedloraError } from '@fedlora/shared';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GgufFile, isGguf } from '../engine/weights/gguf/gguf-file.js';
import type { RowFormat } from './row-formats.js';
import type { Row, RowOrigin } from './rows.js';
import { compileChatTemplate, promptAndAnswer, type ChatTemplate, type PromptAndAnswer } from './template.js';

/** What we use of the library, whose own declarations import without extensions and so do not resolve here. */
interface Tokenizer {
  encode(text: string, options?: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
  get_vocab(): Map<string, number>;
  token_to_id(token: string): number | undefined;
  get_added_tokens_decoder(): Map<number, { special: boolean }>;
}
// Safe: the members are those of @huggingface/tokenizers 0.2.0, which the package's version pins.
const Tokenizer = LibraryTokenizer as unknown as new (json: object, config: object) => Tokenizer;

/** A base model's tokenizer with what training needs to know of it. */
export interface TrainingTokenizer {
  /** Ids of a text, without a beginning or end. @throws FedloraError tokenizer/unknown-token */
  encode(text: string): readonly number[];
  /** The text of ids; beginnings, ends and padding are left out. */
  decode(ids: readonly number[]): string;
  /** Put before every text, or `null` for models that are trained without. */
  readonly beginId: number | null;
  /** Put after every answer. */
  readonly endId: number;
  /** All that end a text when the model says them; `endId` is among them. */
  readonly endIds: ReadonlySet<number>;
  /** Fills batches; its value has no effect on any result. */
  readonly padId: number;
  readonly vocabularySize: number;
  readonly specialIds: ReadonlySet<number>;
  readonly chatTemplate?: ChatTemplate;
}

/** Padded vocabularies are common (to a multiple of 64 or more); half-empty ones mean that the files do not belong together. */
const LEAST_VOCABULARY_USE = 0.8;

/** Tokenizers whose models begin without a mark, although their files name one. */
const CLASSES_WITHOUT_BEGIN = ['GPT2Tokenizer', 'GPT2TokenizerFast', 'Qwen2Tokenizer', 'Qwen2TokenizerFast'];

/**
 * Loads the tokenizer of a base model and checks it against config.json.
 *
 * Source     the folder of the model, or of the .gguf file: then what config.json and tokenizer_config.json would say comes from the
 *            file's metadata, as far as a tokenizer_config.json beside it does not say otherwise.
 * Begin      `add_bos_token` decides if present; else what tokenizer.json itself puts before a text; else none if
 *            tokenizer_config.json names no bos_token or is of a class that begins without; else config.json's bos_token_id.
 * End        config.json's eos_token_id; of several, the one that tokenizer_config.json names, else the first. config.json comes
 *            first because some tokenizers name an end that their model never saw (stories260K: 2, trained with 1).
 * @throws FedloraError tokenizer/not-found | tokenizer/invalid | tokenizer/mismatch
 */
export async function loadTokenizer(path: string): Promise<TrainingTokenizer> {
  const directory = isGguf(path) ? dirname(path) : path;
  const definition = await readObject(directory, 'tokenizer.json', true);
  const beside = await readObject(directory, 'tokenizer_config.json', false);
  const gguf = isGguf(path) ? await readGgufSettings(path) : undefined;
  const settings = gguf === undefined ? beside : { ...gguf.settings, ...beside };
  const config = gguf?.config ?? (await readObject(directory, 'config.json', true));
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(definition, settings);
  } catch (cause) {
    throw new FedloraError('tokenizer/invalid', undefined, { where: 'tokenizer.json', cause });
  }
  checkCoverage(definition, tokenizer);

  let largest = -1;
  for (const id of tokenizer.get_vocab().values()) largest = Math.max(largest, id);
  const vocabularySize = config['vocab_size'];
  if (typeof vocabularySize !== 'number')
    throw new FedloraError('tokenizer/mismatch', 'config.json has no vocab_size.');
  if (largest >= vocabularySize) {
    throw new FedloraError(
      'tokenizer/mismatch',
      `The tokenizer has token ${largest}, but the base model only ${vocabularySize} tokens.`,
    );
  }
  if (largest + 1 < LEAST_VOCABULARY_USE * vocabularySize) {
    throw new FedloraError(
      'tokenizer/mismatch',
      `The tokenizer has ${largest + 1} tokens, the base model ${vocabularySize}.`,
    );
  }

  const endId = endOf(config, settings, tokenizer);
  const beginId = beginOf(config, settings, tokenizer);
  const padId = isId(config['pad_token_id'], vocabularySize) ? config['pad_token_id'] : endId;
  const outside = [endId, beginId ?? endId].find((id) => id < 0 || id >= vocabularySize);
  if (outside !== undefined) {
    throw new FedloraError(
      'tokenizer/mismatch',
      `Token ${outside} begins or ends texts, but is not in the base model's vocabulary.`,
    );
  }
  const specialIds = new Set(
    [...tokenizer.get_added_tokens_decoder()].filter(([, token]) => token.special).map(([id]) => id),
  );
  const chatTemplate = await chatTemplateOf(directory, settings);
  return {
    encode(text) {
      const { ids } = tokenizer.encode(text, { add_special_tokens: false });
      checkIds(ids, vocabularySize);
      return ids;
    },
    decode(ids) {
      const texts = ids.filter((id) => id !== beginId && id !== endId && id !== padId);
      return texts.length === 0 ? '' : tokenizer.decode(texts, { skip_special_tokens: true });
    },
    beginId,
    endId,
    endIds: new Set([endId, ...(await otherEnds(directory, config, vocabularySize))]),
    padId,
    vocabularySize,
    specialIds,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  };
}

/** One row in tokens. */
export interface Example {
  /** Beginning (if the model has one), prompt, answer, end. */
  readonly ids: Int32Array;
  /** Index of the first token of the answer; never 0, since a token is predicted from its left. */
  readonly answerStart: number;
  /** Index of the row that it was made of. */
  readonly row: number;
}

export interface TokenizeProblem extends RowOrigin {
  readonly code: 'data/too-long' | 'data/malformed-row' | 'tokenizer/unknown-token';
  readonly reason: string;
}

export interface TokenizedRows {
  readonly examples: readonly Example[];
  /** Rows whose input was shortened to fit. They are among the examples. */
  readonly truncated: number;
  /** Rows left out: one problem each. */
  readonly problems: readonly TokenizeProblem[];
}

/**
 * Tokenizes rows for training.
 *
 * Guarantee  An answer is learnt whole, with its end, or its row is left out and reported: never cut.
 * Edge cases too long -> an Alpaca row's input loses its end until all fits, and is counted as truncated; a row that would be
 *            too long even without its input, a text and a chat are left out | no beginning and no prompt -> the first token
 *            is not learnt, having nothing to its left
 */
export function tokenizeRows(
  rows: readonly Row[],
  tokenizer: TrainingTokenizer,
  { maximumLength }: { readonly maximumLength: number },
): TokenizedRows {
  const examples: Example[] = [];
  const problems: TokenizeProblem[] = [];
  let truncated = 0;
  rows.forEach((row, index) => {
    const report = (code: TokenizeProblem['code'], reason: string): void => {
      problems.push({ file: row.file, line: row.line, code, reason });
    };
    try {
      const whole = tokenizeParts(promptAndAnswer(row, tokenizer.chatTemplate), tokenizer);
      const fitting = whole.ids.length <= maximumLength ? whole : shortened(row, tokenizer, maximumLength);
      if (fitting === undefined) report('data/too-long', `has ${whole.ids.length} tokens, over ${maximumLength}`);
      else {
        if (fitting !== whole) truncated++;
        examples.push({ ...fitting, row: index });
      }
    } catch (error) {
      if (!(error instanceof FedloraError)) throw error;
      if (error.code !== 'data/malformed-row' && error.code !== 'tokenizer/unknown-token') throw error;
      report(error.code, error.summary);
    }
  });
  return { examples, truncated, problems };
}

/** The ids that a model is asked to continue: beginning and prompt. */
export function tokenizePrompt(
  parts: Pick<PromptAndAnswer, 'prompt' | 'hasOwnStart'>,
  tokenizer: TrainingTokenizer,
): number[] {
  const begin = parts.hasOwnStart || tokenizer.beginId === null ? [] : [tokenizer.beginId];
  return parts.prompt === '' ? begin : [...begin, ...tokenizer.encode(parts.prompt)];
}

/**
 * Ids that end an answer: the model's ends of text, and in a chat what its template puts after the assistant's words.
 *
 * @throws FedloraError data/no-chat-template | data/malformed-row: the template refuses a question with its answer
 */
export function answerEnds(format: RowFormat, tokenizer: TrainingTokenizer): ReadonlySet<number> {
  if (format !== 'messages') return tokenizer.endIds;
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ];
  const { ids } = tokenizeParts(
    promptAndAnswer({ file: '', line: 0, format, messages }, tokenizer.chatTemplate),
    tokenizer,
  );
  return new Set([...tokenizer.endIds, ...ids.slice(-1)]);
}

function tokenizeParts(parts: PromptAndAnswer, tokenizer: TrainingTokenizer): Omit<Example, 'row'> {
  const prompt = tokenizePrompt(parts, tokenizer);
  const answer = tokenizer.encode(parts.answer);
  const closing = parts.closing === '' ? [] : tokenizer.encode(parts.closing);
  const mark = closing.findIndex((id) => tokenizer.specialIds.has(id));
  const end = mark < 0 ? [tokenizer.endId] : closing.slice(0, mark + 1);
  const ids = Int32Array.from([...prompt, ...answer, ...end]);
  return { ids, answerStart: Math.max(1, prompt.length) };
}

/** The row with as much of the beginning of its input as fits, or `undefined` if even none of it does. */
function shortened(row: Row, tokenizer: TrainingTokenizer, maximumLength: number): Omit<Example, 'row'> | undefined {
  if (row.format !== 'alpaca' || row.input === '') return undefined;
  const withInput = (length: number): Omit<Example, 'row'> => {
    // Not within a surrogate pair.
    const end = /[\ud800-\udbff]/.test(row.input.charAt(length - 1)) ? length - 1 : length;
    return tokenizeParts(promptAndAnswer({ ...row, input: row.input.slice(0, end) }), tokenizer);
  };
  let fits = withInput(0);
  if (fits.ids.length > maximumLength) return undefined;
  // The most that fits, by bisection: token counts grow with the text but for a token or two.
  let low = 0;
  let high = row.input.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const attempt = withInput(middle);
    if (attempt.ids.length <= maximumLength) [low, fits] = [middle, attempt];
    else high = middle;
  }
  return fits;
}

function beginOf(config: JsonObject, settings: JsonObject, tokenizer: Tokenizer): number | null {
  const own = tokenizer.encode('').ids;
  const named = tokenName(settings['bos_token']);
  const id = isInteger(config['bos_token_id'])
    ? config['bos_token_id']
    : named === undefined
      ? undefined
      : tokenizer.token_to_id(named);
  if (settings['add_bos_token'] === false || id === undefined) return null;
  if (settings['add_bos_token'] === true || own[0] === id) return id;
  if (settings['bos_token'] === null) return null;
  return CLASSES_WITHOUT_BEGIN.includes(String(settings['tokenizer_class'])) ? null : id;
}

function endOf(config: JsonObject, settings: JsonObject, tokenizer: Tokenizer): number {
  const named = tokenName(settings['eos_token']);
  const namedId = named === undefined ? undefined : tokenizer.token_to_id(named);
  const ends: unknown = config['eos_token_id'];
  const configured: unknown[] = Array.isArray(ends) ? ends : [ends];
  const end = configured.find((id) => id === namedId) ?? configured.find(isInteger) ?? namedId;
  if (!isInteger(end))
    throw new FedloraError(
      'tokenizer/invalid',
      'Neither config.json nor tokenizer_config.json names the token that ends a text.',
    );
  return end;
}

/** What config.json and generation_config.json list as ends of a text: chat models often have several. */
async function otherEnds(directory: string, config: JsonObject, vocabularySize: number): Promise<number[]> {
  const generation = await readObject(directory, 'generation_config.json', false);
  const listed: unknown[] = [config['eos_token_id'], generation['eos_token_id']].flat();
  return listed.filter((id) => isId(id, vocabularySize));
}

/** A byte-pair tokenizer without fallback silently drops what it cannot spell; so it must be able to spell every byte. */
function checkCoverage(definition: JsonObject, tokenizer: Tokenizer): void {
  const model = isObject(definition['model']) ? definition['model'] : {};
  if (model['type'] !== 'BPE' || model['byte_fallback'] === true || typeof model['unk_token'] === 'string') return;
  for (let byte = 0; byte < 256; byte++) {
    if (tokenizer.token_to_id(byteCharacter(byte)) === undefined && byte < 0xf5 && byte !== 0xc0 && byte !== 0xc1) {
      throw new FedloraError(
        'tokenizer/invalid',
        `The vocabulary cannot spell byte ${byte} and would drop it silently.`,
        { where: 'tokenizer.json' },
      );
    }
  }
}

/** GPT-2's character for a byte: itself where printable, else the next of U+0100 on. */
function byteCharacter(byte: number): string {
  const printable = (value: number): boolean =>
    (value >= 33 && value <= 126) || (value >= 161 && value <= 255 && value !== 173);
  if (printable(byte)) return String.fromCharCode(byte);
  let rank = 0;
  for (let lower = 0; lower < byte; lower++) if (!printable(lower)) rank++;
  return String.fromCharCode(256 + rank);
}

/** The library's types say number; its results may be undefined. */
function checkIds(ids: readonly unknown[], vocabularySize: number): void {
  const at = ids.findIndex((id) => !isId(id, vocabularySize));
  if (at >= 0)
    throw new FedloraError('tokenizer/unknown-token', `Token ${at} of the text is not in the vocabulary.`, {
      details: { index: at },
    });
}

async function chatTemplateOf(directory: string, settings: JsonObject): Promise<ChatTemplate | undefined> {
  const inline = settings['chat_template'];
  const list: unknown[] = Array.isArray(inline) ? inline : [];
  const listed = list.filter(isObject).find(({ name }) => name === 'default')?.['template'];
  const source =
    typeof inline === 'string' ? inline : (listed ?? (await readOptional(directory, 'chat_template.jinja')));
  if (typeof source !== 'string') return undefined;
  const specials: Record<string, string> = {};
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'pad_token']) {
    const token = tokenName(settings[name]);
    if (token !== undefined) specials[name] = token;
  }
  return compileChatTemplate(source, specials);
}

type JsonObject = Readonly<Record<string, unknown>>;

async function readObject(directory: string, name: string, isRequired: boolean): Promise<JsonObject> {
  const text = await readOptional(directory, name);
  if (text === undefined) {
    if (isRequired) throw new FedloraError('tokenizer/not-found', `${name} is missing.`, { where: directory });
    return {};
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FedloraError('tokenizer/invalid', 'It is no JSON.', { where: name, cause });
  }
  if (!isObject(value)) throw new FedloraError('tokenizer/invalid', 'It is no JSON object.', { where: name });
  return value;
}

async function readOptional(directory: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(directory, name), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new FedloraError('tokenizer/not-found', `${name} cannot be read.`, { where: directory, cause: error });
  }
}

/** What the metadata of a GGUF file say in place of config.json and tokenizer_config.json. */
async function readGgufSettings(path: string): Promise<{ readonly config: JsonObject; readonly settings: JsonObject }> {
  const { header } = await GgufFile.open(path);
  const value = (name: string): unknown => header.metadata.get(`tokenizer.${name}`);
  const present = (fields: JsonObject): JsonObject =>
    Object.fromEntries(Object.entries(fields).filter(([, field]) => field !== undefined));
  return {
    config: present({
      vocab_size: header.tensors.get('token_embd.weight')?.shape[0],
      bos_token_id: value('ggml.bos_token_id'),
      eos_token_id: value('ggml.eos_token_id'),
      pad_token_id: value('ggml.padding_token_id'),
    }),
    settings: present({ add_bos_token: value('ggml.add_bos_token'), chat_template: value('chat_template') }),
  };
}

/** A token is named by its text, or by an object with it. */
function tokenName(value: unknown): string | undefined {
  const text = isObject(value) ? value['content'] : value;
  return typeof text === 'string' ? text : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown): value is number {
  return Number.isInteger(value);
}

function isId(value: unknown, vocabularySize: number): value is number {
  return isInteger(value) && value >= 0 && value < vocabularySize;
}
