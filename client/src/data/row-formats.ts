/** How rows may be written, as the command line, config.yaml and messages call it. */

export type RowFormat = 'alpaca' | 'text' | 'messages';

export const rowFormats = { alpaca: 'alpaca', chat: 'messages', text: 'text' } as const satisfies Record<
  string,
  RowFormat
>;

export type FormatName = keyof typeof rowFormats;

/** `auto`: that of the first row that has one; the others must have the same. */
export const givenFormats = { auto: 'auto', ...rowFormats } as const;

export type GivenFormatName = keyof typeof givenFormats;

export const givenFormatNames = Object.keys(givenFormats) as GivenFormatName[]; // Safe: the object has no other keys.

/** A format, or the wish to find it out. */
export type GivenFormat = RowFormat | 'auto';

export function nameOfFormat(format: GivenFormat): GivenFormatName {
  return format === 'messages' ? 'chat' : format;
}

/** Every field that a row of some format has; others are ignored. */
export const rowFields: readonly string[] = ['instruction', 'input', 'output', 'messages', 'text'];

/** The format whose fields a row has, whatever stands in them. */
export function formatOf(fields: ReadonlyMap<string, unknown>): RowFormat | undefined {
  if (fields.has('messages')) return 'messages';
  if (fields.has('instruction')) return 'alpaca';
  return fields.has('text') ? 'text' : undefined;
}
