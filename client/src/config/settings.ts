/**
 * A YAML file of settings described by a table: the table is what reads the file, what `config show` prints and what documents
 * every key, so the three cannot disagree. Keys that the table does not name are errors.
 */

import { FedloraError } from '@fedlora/shared';
import { parse } from 'yaml';

/** One setting. `parse` gets what YAML read (or the environment's text) and returns the value or says what it should be. */
export interface Setting<Value> {
  /** Dotted, as nested in the file. */
  readonly key: string;
  readonly comment: string;
  readonly kind: Kind<Value>;
  /** Absent: the setting has no default and may stay unset, unless `required`. */
  readonly fallback?: Value;
  readonly required?: boolean;
  /** Environment variable that wins over the file. */
  readonly variable?: string;
}

/** A part of JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** How a value is read: returns it, or `undefined` when the input is not one. */
export interface Kind<Value> {
  readonly expected: string;
  /** The same as JSON Schema, for editors; `read` may know more. */
  readonly schema: JsonSchema;
  read(input: unknown): Value | undefined;
}

export type Source = 'default' | 'file' | 'environment' | 'unset';

/** The values that were read, by key, with where each comes from. */
export type ReadSettings = ReadonlyMap<string, { readonly value: unknown; readonly source: Source }>;

export const text: Kind<string> = {
  expected: 'a text',
  schema: { type: 'string', minLength: 1 },
  read: (input) => (typeof input === 'string' && input !== '' ? input : undefined),
};

export const texts: Kind<readonly string[]> = {
  expected: 'a list of texts',
  schema: { type: 'array', items: { type: 'string', minLength: 1 } },
  read: (input) => {
    const list = typeof input === 'string' ? input.split(',').map((part) => part.trim()) : input;
    return Array.isArray(list) && list.every((item) => typeof item === 'string' && item !== '')
      ? (list as string[])
      : undefined;
  },
};

export const flag: Kind<boolean> = {
  expected: 'true or false',
  schema: { type: 'boolean' },
  read: (input) =>
    input === true || input === 'true' ? true : input === false || input === 'false' ? false : undefined,
};

export function matching(pattern: RegExp, expected: string): Kind<string> {
  const schema = { type: 'string', pattern: pattern.source };
  return { expected, schema, read: (input) => (typeof input === 'string' && pattern.test(input) ? input : undefined) };
}

export function oneOf<const Choice extends string>(choices: readonly Choice[]): Kind<Choice> {
  return {
    expected: `one of ${choices.join(', ')}`,
    schema: { enum: choices },
    read: (input) => choices.find((choice) => choice === input),
  };
}

export function listOf<const Choice extends string>(choices: readonly Choice[]): Kind<readonly Choice[]> {
  return {
    expected: `a list of ${choices.join(', ')}`,
    schema: { type: 'array', items: { enum: choices } },
    read: (input) =>
      Array.isArray(input) && input.every((item) => choices.includes(item as Choice)) ? (input as Choice[]) : undefined,
  };
}

export function numberBetween(least: number, most: number): Kind<number> {
  return {
    expected: `a number from ${least} to ${most}`,
    schema: { type: 'number', minimum: least, maximum: most },
    read: (input) => {
      const value = typeof input === 'string' && input.trim() !== '' ? Number(input) : input;
      return typeof value === 'number' && value >= least && value <= most ? value : undefined;
    },
  };
}

export function wholeBetween(least: number, most: number): Kind<number> {
  const inner = numberBetween(least, most);
  return {
    expected: `a whole number from ${least} to ${most}`,
    schema: { type: 'integer', minimum: least, maximum: most },
    read: (input) => {
      const value = inner.read(input);
      return value !== undefined && Number.isInteger(value) ? value : undefined;
    },
  };
}

/**
 * Reads a file's text by a table.
 *
 * @throws FedloraError config/invalid: the text is not YAML, or a value has the wrong kind
 * @throws FedloraError config/unknown-key
 */
export function readSettings(
  table: readonly Setting<unknown>[],
  content: string,
  file: string,
  environment: NodeJS.ProcessEnv,
): ReadSettings {
  const given = flatten(parseYaml(content, file), new Set(table.map((setting) => setting.key)), file);
  const values = new Map<string, { value: unknown; source: Source }>();
  for (const setting of table) {
    const fromEnvironment = setting.variable === undefined ? undefined : environment[setting.variable];
    const input = fromEnvironment ?? given.get(setting.key);
    if (input === undefined || input === null) {
      if (setting.required === true) {
        throw new FedloraError('config/invalid', `"${setting.key}" is missing.`, {
          where: file,
          details: { key: setting.key },
        });
      }
      const source = setting.fallback === undefined ? 'unset' : 'default';
      values.set(setting.key, { value: setting.fallback, source });
      continue;
    }
    const value = setting.kind.read(input);
    if (value === undefined) {
      const where = fromEnvironment === undefined ? file : `the variable ${setting.variable}`;
      throw new FedloraError('config/invalid', `"${setting.key}" must be ${setting.kind.expected}.`, {
        where,
        details: { key: setting.key },
      });
    }
    values.set(setting.key, { value, source: fromEnvironment === undefined ? 'file' : 'environment' });
  }
  return values;
}

/** The table as JSON Schema. Keys of one section are an object. */
export function settingsSchema(table: readonly Setting<unknown>[], title: string): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  const sections = new Map<string, Record<string, JsonSchema>>();
  for (const { key, comment, kind, fallback } of table) {
    const [parent, name] = splitKey(key);
    if (parent !== '' && !sections.has(parent)) {
      sections.set(parent, {});
      properties[parent] = { type: 'object', additionalProperties: false, properties: sections.get(parent) };
    }
    const described = {
      ...kind.schema,
      description: comment,
      ...(fallback === undefined ? {} : { default: fallback }),
    };
    (sections.get(parent) ?? properties)[name] = described;
  }
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  return { $schema, title, type: 'object', additionalProperties: false, properties };
}

/** The table as a YAML file with a comment over every key; keys without value are commented out. */
export function printSettings(
  table: readonly Setting<unknown>[],
  values: ReadonlyMap<string, unknown>,
  heading: string,
): string {
  const lines = wrap(heading).map((line) => `# ${line}`);
  let section = '';
  for (const setting of table) {
    const [parent, name] = splitKey(setting.key);
    const indent = parent === '' ? '' : '  ';
    if (parent !== section || parent === '') lines.push('');
    if (parent !== section && parent !== '') lines.push(`${parent}:`);
    section = parent;
    lines.push(...wrap(setting.comment).map((line) => `${indent}# ${line}`));
    const value = values.get(setting.key) ?? setting.fallback;
    lines.push(value === undefined ? `${indent}# ${name}:` : `${indent}${name}: ${JSON.stringify(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

function parseYaml(content: string, file: string): unknown {
  try {
    return parse(content) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : 'it cannot be read';
    throw new FedloraError('config/invalid', `It is not YAML: ${reason}`, { where: file, cause });
  }
}

function flatten(input: unknown, keys: ReadonlySet<string>, file: string): Map<string, unknown> {
  const values = new Map<string, unknown>();
  if (input === null || input === undefined) return values;
  if (!isSection(input))
    throw new FedloraError('config/invalid', 'It must be a list of "key: value" lines.', { where: file });
  const known = [...keys];
  const visit = (section: Record<string, unknown>, prefix: string): void => {
    for (const [name, value] of Object.entries(section)) {
      const key = prefix + name;
      if (keys.has(key)) values.set(key, value);
      else if (known.some((one) => one.startsWith(`${key}.`)) && (isSection(value) || value === null)) {
        if (isSection(value)) visit(value, `${key}.`);
      } else
        throw new FedloraError('config/unknown-key', `"${key}" is not a setting.`, { where: file, details: { key } });
    }
  };
  visit(input, '');
  return values;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function splitKey(key: string): [parent: string, name: string] {
  const dot = key.indexOf('.');
  return dot < 0 ? ['', key] : [key.slice(0, dot), key.slice(dot + 1)];
}

function wrap(paragraph: string, width = 110): string[] {
  const lines: string[] = [];
  for (const word of paragraph.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
