import { describe, expect, it } from 'vitest';
import { recordFingerprint } from './record-fingerprint.js';
import type { Row } from './rows.js';

const key = new Uint8Array(32).fill(3);
const at = { file: 'a.jsonl', line: 1 };
const alpaca = (instruction: string, input: string, output: string): Row => ({
  ...at,
  format: 'alpaca',
  instruction,
  input,
  output,
});
const print = (row: Row): bigint => recordFingerprint(row, key);
const record = print(alpaca('Pay my bill', 'of May', 'Desk 3'));

describe('recordFingerprint', () => {
  it.each<[string, Row]>([
    ['at another place', { ...alpaca('Pay my bill', 'of May', 'Desk 3'), file: 'b.csv', line: 900 }],
    ['with other case and spaces', alpaca(' pay  my\nbill', 'of MAY ', 'desk 3')],
    ['as text', { ...at, format: 'text', text: 'Pay my bill\nof May\nDesk 3' }],
    [
      'as messages',
      {
        ...at,
        format: 'messages',
        messages: [
          { role: 'user', content: 'Pay my bill\n\nof May' },
          { role: 'assistant', content: 'Desk 3' },
        ],
      },
    ],
  ])('knows a record again %s', (_how, row) => expect(print(row)).toBe(record));

  it('tells records apart that differ in a word', () => {
    for (const other of [alpaca('Pay my bill', 'of June', 'Desk 3'), alpaca('Pay my bill', 'of May', 'Desk 4')])
      expect(print(other)).not.toBe(record);
  });

  it('tells nothing to whoever lacks the key', () => {
    expect(recordFingerprint(alpaca('Pay my bill', 'of May', 'Desk 3'), new Uint8Array(32))).not.toBe(record);
  });
});
