import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { repositoryOfRun, repositoryOfTitle, repositoryPattern } from './repository.js';

describe('repositoryPattern', () => {
  it.each(['fedlora/support', 'a/b', 'city-hospital/triage_v2.1'])('takes %s', (name) => {
    expect(name).toMatch(repositoryPattern);
  });

  it.each([
    'support',
    'a/b/c',
    'Upper/case',
    'a--b/c',
    'a/b..c',
    '-a/b',
    'a/b.',
    '../x',
    'a/b\n',
    `a/${'x'.repeat(49)}`,
  ])('refuses %j', (name) => {
    expect(name).not.toMatch(repositoryPattern);
  });
});

describe('repositoryOfTitle', () => {
  it('is what a title says, without what no name may have', () => {
    expect(repositoryOfTitle('Support adapter, 2nd try')).toBe('fedlora/support-adapter-2nd-try');
    expect(repositoryOfTitle('Krankenhäuser')).toBe('fedlora/krankenhauser');
    expect(repositoryOfTitle('適応')).toBe('fedlora/adapter');
  });

  it('is a name for any title, with and without its run', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 200 }),
        fc.stringMatching(/^run-[0-9a-f]{12}$/),
        (title, run) => {
          expect(repositoryOfTitle(title)).toMatch(repositoryPattern);
          expect(repositoryOfRun(title, run)).toMatch(repositoryPattern);
        },
      ),
    );
  });
});
