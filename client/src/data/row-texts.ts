/** The texts of a row, in one place for whoever reads or changes all of them. */

import type { Row } from './rows.js';

/** In the order in which they are learned. */
export function textsOf(row: Row): readonly string[] {
  switch (row.format) {
    case 'alpaca':
      return [row.instruction, row.input, row.output];
    case 'text':
      return [row.text];
    case 'messages':
      return row.messages.map(({ content }) => content);
    default:
      return row satisfies never;
  }
}

/** The row with each text changed; what is left has the members of its format only. */
export function mapTexts<R extends Row>(row: R, change: (text: string) => string): R;
export function mapTexts(row: Row, change: (text: string) => string): Row {
  switch (row.format) {
    case 'alpaca':
      return { ...row, instruction: change(row.instruction), input: change(row.input), output: change(row.output) };
    case 'text':
      return { ...row, text: change(row.text) };
    case 'messages':
      return { ...row, messages: row.messages.map(({ role, content }) => ({ role, content: change(content) })) };
    default:
      return row satisfies never;
  }
}
