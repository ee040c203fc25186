import { describe, expect, it } from 'vitest';
import { composeReleases, type RunRelease } from './compose.js';

const release = (runId: string, epsilon: number, change: Partial<RunRelease> = {}): RunRelease => ({
  runId,
  unit: 'record',
  epsilon,
  delta: 1e-6,
  group: 0,
  ...change,
});
const NOTHING = { unit: 'none', epsilon: null, delta: null };

describe('composeReleases', () => {
  it('adds up what runs spent that may have an organisation in common', () => {
    expect(composeReleases([release('a', 2), release('b', 3), release('c', 0.5)])).toEqual({
      unit: 'record',
      epsilon: 5.5,
      delta: 1e-6 + 1e-6 + 1e-6,
    });
  });

  it('counts one run once, with its newest version', () => {
    expect(composeReleases([release('a', 2), release('a', 3.5), release('a', 1)])).toMatchObject({
      epsilon: 3.5,
      delta: 1e-6,
    });
  });

  it('takes the largest of runs that have no organisation in common', () => {
    const apart = [release('a', 2), release('b', 3, { group: 1, delta: 1e-7 }), release('c', 4, { group: 1 })];
    expect(composeReleases(apart)).toEqual({ unit: 'record', epsilon: 7, delta: 1.1e-6 });
    expect(composeReleases([release('a', 8, { delta: 1e-9 }), ...apart.slice(1)])).toMatchObject({
      epsilon: 8,
      delta: 1.1e-6,
    });
  });

  it('promises nothing where one release promises nothing', () => {
    expect(composeReleases([release('a', 2), release('b', 0, { unit: 'none', epsilon: null, delta: null })])).toEqual(
      NOTHING,
    );
    expect(composeReleases([release('a', 2, { epsilon: null })])).toEqual(NOTHING);
    expect(composeReleases([])).toEqual(NOTHING);
  });

  it('promises about a record what units that differ promise', () => {
    expect(composeReleases([release('a', 2, { unit: 'client' }), release('b', 3, { unit: 'client' })]).unit).toBe(
      'client',
    );
    expect(composeReleases([release('a', 2, { unit: 'client' }), release('b', 3, { unit: 'record-local' })])).toEqual({
      unit: 'record',
      epsilon: 5,
      delta: 2e-6,
    });
  });
});
