import { describe, expect, it } from 'vitest';
import { datasetFingerprint } from './fingerprint.js';
import type { AlpacaRow } from './rows.js';
import { isHeldOut, splitRows } from './split.js';

const rows = Array.from({ length: 2000 }, (_, i): AlpacaRow => ({
  format: 'alpaca',
  file: 'a.json',
  line: i,
  instruction: 'name it',
  input: `${i}`,
  output: 'x',
}));

describe('splitRows', () => {
  it('keeps back about the fraction, and loses none', () => {
    const { train, evaluation } = splitRows(rows, 0.1);
    expect(train.length + evaluation.length).toBe(2000);
    expect(Math.abs(evaluation.length - 200)).toBeLessThan(70); // five standard deviations
    expect(splitRows(rows, 0).evaluation).toEqual([]);
    expect(splitRows(rows, 1).train).toEqual([]);
  });

  it('leaves every row on its side when others come, go or move', () => {
    const side = new Set(splitRows(rows, 0.2).evaluation);
    const fewer = splitRows(
      [...rows].reverse().filter(({ line }) => line % 3 !== 0),
      0.2,
    ).evaluation;
    for (const row of fewer) expect(side.has(row as AlpacaRow)).toBe(true);
  });

  it('keeps back, of a larger fraction, what it kept of a smaller one and more', () => {
    for (const row of rows.filter((one) => isHeldOut(one, 0.1))) expect(isHeldOut(row, 0.3)).toBe(true);
    expect(rows.some((row) => isHeldOut(row, 0.3) && !isHeldOut(row, 0.1))).toBe(true);
  });

  it('puts equal prompts on one side, whatever their answers and places', () => {
    for (const row of rows.slice(0, 100)) {
      const { train, evaluation } = splitRows([row, { ...row, line: 9999, file: 'b.json', output: 'y' }], 0.5);
      expect([train.length, evaluation.length]).toContain(2);
    }
  });
});

describe('datasetFingerprint', () => {
  it('follows from name and places, not from their order or the rows', () => {
    const print = datasetFingerprint('clinic', ['/data/a.json', '/data/b.json']);
    expect(print).toMatch(/^[0-9a-f]{64}$/);
    expect(datasetFingerprint('clinic', ['/data/x/../b.json', '/data/a.json'])).toBe(print);
    expect(datasetFingerprint('clinic', ['/data/a.json'])).not.toBe(print);
    expect(datasetFingerprint('bank', ['/data/a.json', '/data/b.json'])).not.toBe(print);
  });
});
