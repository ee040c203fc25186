/** Answers of Google's HararyGraphParameterFinder. */

import { describe, expect, it } from 'vitest';
import vectors from '../../vectors/graph-parameters.json' with { type: 'json' };
import { ProtocolError } from '../errors.js';
import { choiceBits, findGraphParameters, isGraphPrivate, type GraphSetting } from './graph-parameters.js';

type Row = (typeof vectors.rows)[number];

/** The peer's allowance for rates that are no exact binary fractions. */
const SMALL = 1e-14;

function settingOf(row: Row): GraphSetting {
  return {
    participants: row.participants,
    colluders: Math.floor((row.adversarialRate + SMALL) * row.participants),
    dropouts: Math.floor((row.dropoutRate + SMALL) * row.participants),
    lists: row.server === 'SEMI_MALICIOUS_SERVER' ? 'may-differ' : 'consistent',
  };
}

describe('findGraphParameters agrees with HararyGraphParameterFinder', () => {
  for (const row of vectors.rows) {
    const { participants, adversarialRate, dropoutRate, server, neighbours, threshold } = row;
    it(`for ${participants} participants, ${adversarialRate} colluding, ${dropoutRate} dropping out, ${server}`, () => {
      expect(findGraphParameters(settingOf(row))).toEqual({ neighbours, threshold });
    });
  }
});

describe('graph parameters', () => {
  const setting: GraphSetting = { participants: 1000, colluders: 50, dropouts: 50, lists: 'consistent' };

  it('that were found are private; one share or, where colluders drop out too, two neighbours fewer are not', () => {
    const found = findGraphParameters(setting)!;
    expect(isGraphPrivate(setting, found)).toBe(true);
    expect(isGraphPrivate(setting, { ...found, threshold: found.threshold - 1 })).toBe(false);
    const sparse = { ...setting, dropouts: 450 };
    expect(isGraphPrivate(sparse, { neighbours: 10, threshold: 11 })).toBe(false);
  });

  it('cost more neighbours for more security', () => {
    const more = findGraphParameters(setting, { securityBits: 60, correctnessBits: 20 })!;
    expect(more.neighbours).toBeGreaterThan(findGraphParameters(setting)!.neighbours);
  });

  it('do not exist where more collude and drop out than any graph bears', () => {
    expect(findGraphParameters({ participants: 20, colluders: 10, dropouts: 9, lists: 'may-differ' })).toBeUndefined();
  });

  it('of impossible counts are refused', () => {
    for (const bent of [{ colluders: -1 }, { dropouts: 1001 }, { participants: 1.5 }]) {
      expect(() => findGraphParameters({ ...setting, ...bent })).toThrow(ProtocolError);
    }
  });

  it('pay for participants that may stay silent', () => {
    expect(choiceBits(1000, 0)).toBe(0);
    expect(choiceBits(1000, 1)).toBeCloseTo(Math.log2(1001), 9);
    expect(choiceBits(1000, 2)).toBeCloseTo(Math.log2(1 + 1000 + 499500), 9);
  });
});
