import { describe, expect, it } from 'vitest';
import { groupsOf } from './disjoint-rosters.js';

const member = (name: string, identity = `key of ${name}`) => ({ name, identity });

describe('groupsOf', () => {
  it('tells runs apart that have no organisation in common', () => {
    const groups = groupsOf(
      new Map([
        ['a', [member('bank'), member('clinic')]],
        ['b', [member('school')]],
        ['c', [member('clinic'), member('shop')]],
      ]),
    );
    expect(groups.get('a')).toBe(groups.get('c'));
    expect(groups.get('a')).not.toBe(groups.get('b'));
  });

  it('joins runs through a third that has an organisation of each', () => {
    const groups = groupsOf(
      new Map([
        ['a', [member('bank')]],
        ['b', [member('school')]],
        ['c', [member('school'), member('bank')]],
      ]),
    );
    expect(new Set(groups.values()).size).toBe(1);
  });

  it('sees the same organisation in one that changed its key, and in one that changed its name', () => {
    const rotated = groupsOf(
      new Map([
        ['a', [member('bank')]],
        ['b', [member('bank', 'another')]],
      ]),
    );
    expect(rotated.get('a')).toBe(rotated.get('b'));
    const renamed = groupsOf(
      new Map([
        ['a', [member('bank', 'k')]],
        ['b', [member('savings', 'k')]],
      ]),
    );
    expect(renamed.get('a')).toBe(renamed.get('b'));
  });
});
