import { describe, expect, it } from 'vitest';
import { ArgumentError, parseDemoArguments } from './arguments.js';
import { resultTable, summarise } from './table.js';

describe('resultTable', () => {
  const perSet = (accuracy: number, loss: number) => ({
    north: { accuracy, loss, rows: 10 },
    south: { accuracy: accuracy / 2, loss: 2 * loss, rows: 10 },
  });

  it('counts every set the same in the macro mean', () => {
    const result = summarise('base', perSet(0.5, 1));
    expect(result.macroAccuracy).toBeCloseTo(0.375, 12);
    expect(result.macroLoss).toBeCloseTo(1.5, 12);
  });

  it('stays within 100 columns with five organisations', () => {
    const names = ['clinic', 'bank', 'council', 'school', 'museum'];
    const sets = Object.fromEntries(names.map((name) => [name, { accuracy: 1, loss: 10, rows: 5 }]));
    const columns = [...names, 'new words', 'shared'].map((title) => ({ title, sets: ['clinic'] }));
    const table = resultTable([summarise('local:council', sets)], columns);
    for (const line of table.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });
});

describe('parseDemoArguments', () => {
  it('refuses an organisation count outside 2 to 5 and says so', () => {
    expect(() => parseDemoArguments(['--orgs', '9'], 'state')).toThrow(/2 to 5/);
  });

  it('refuses data without an organisation, twice the same, or of one organisation only', () => {
    expect(() => parseDemoArguments(['--data', 'rows.jsonl'], 'state')).toThrow(ArgumentError);
    expect(() => parseDemoArguments(['--data', 'a=x', '--data', 'a=y'], 'state')).toThrow(/twice/);
    expect(() => parseDemoArguments(['--data', 'a=x'], 'state')).toThrow(/two organisations/);
  });

  it('refuses an unknown option and points to the help', () => {
    expect(() => parseDemoArguments(['--speed', '9'], 'state')).toThrow(/--help/);
  });
});
