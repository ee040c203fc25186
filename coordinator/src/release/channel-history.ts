/**
 * What a channel has, from everything that was done with it. A channel is a stack: a promotion puts a version on it, a roll-back takes
 * one off, a revocation takes out every place of a version. So after a roll-back another one goes further back, and does not return.
 */

import type { ChannelMoveKind } from '@fedlora/shared';

export interface Move {
  readonly kind: ChannelMoveKind;
  /** What was promoted, left by a roll-back, or revoked; `null` for the removal of the channel. */
  readonly version: string | null;
}

/** The versions of a channel after each of its moves, the present one last. */
export function* stacksAfter<Item extends Move>(
  moves: readonly Item[],
): Generator<{ readonly move: Item; readonly before: readonly string[]; readonly after: readonly string[] }> {
  let stack: readonly string[] = [];
  for (const move of moves) {
    const before = stack;
    stack = applied(before, move);
    yield { move, before, after: stack };
  }
}

/** The versions of a channel, the present one last. */
export function stackOf(moves: readonly Move[]): readonly string[] {
  return moves.reduce(applied, [] as readonly string[]);
}

function applied(stack: readonly string[], { kind, version }: Move): readonly string[] {
  switch (kind) {
    case 'promoted':
      return version === null ? stack : [...stack, version];
    case 'rolled-back':
      return stack.slice(0, -1);
    case 'revoked':
      // What stood on both sides of it is one place now: a roll-back must lead somewhere else.
      return stack.filter((one) => one !== version).filter((one, i, rest) => one !== rest[i - 1]);
    case 'removed':
      return [];
    default:
      return kind satisfies never;
  }
}
