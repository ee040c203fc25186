import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stackOf, stacksAfter, type Move } from './channel-history.js';

const promoted = (version: string): Move => ({ kind: 'promoted', version });
const revoked = (version: string): Move => ({ kind: 'revoked', version });
const rolledBack = (version: string): Move => ({ kind: 'rolled-back', version });
const removed: Move = { kind: 'removed', version: null };

describe('stackOf', () => {
  it.each<[string, Move[], string[]]>([
    ['nothing before the first promotion', [], []],
    ['what was promoted, newest last', [promoted('a'), promoted('b')], ['a', 'b']],
    ['the version before, after a roll-back', [promoted('a'), promoted('b'), rolledBack('b')], ['a']],
    [
      'one further back after each roll-back, and not the one that was left',
      [promoted('a'), promoted('b'), promoted('c'), rolledBack('c'), rolledBack('b')],
      ['a'],
    ],
    ['the version before, after the present one was revoked', [promoted('a'), promoted('b'), revoked('b')], ['a']],
    ['nothing, after its only version was revoked', [promoted('a'), revoked('a')], []],
    [
      'no revoked version to go back to',
      [promoted('a'), promoted('b'), promoted('c'), revoked('b'), rolledBack('c')],
      ['a'],
    ],
    [
      'one place where a revoked version stood between two of the same',
      [promoted('z'), promoted('a'), promoted('b'), promoted('a'), revoked('b'), rolledBack('a')],
      ['z'],
    ],
    ['nothing of before it was removed', [promoted('a'), removed, promoted('b')], ['b']],
  ])('has %s', (_what, moves, stack) => {
    expect(stackOf(moves)).toEqual(stack);
  });

  it('never has a revoked version, whatever is done, and agrees with the stack after the last move', () => {
    const version = fc.constantFrom('a', 'b', 'c');
    const move = fc.oneof(
      { weight: 4, arbitrary: version.map(promoted) },
      version.map(rolledBack),
      version.map(revoked),
      fc.constant(removed),
    );
    fc.assert(
      fc.property(fc.array(move, { minLength: 1, maxLength: 20 }), (moves) => {
        const steps = [...stacksAfter(moves)];
        for (const { move: one, after } of steps) if (one.kind === 'revoked') expect(after).not.toContain(one.version);
        expect(steps.at(-1)?.after).toEqual(stackOf(moves));
      }),
    );
  });
});
