import { describe, expect, it } from 'vitest';
import { createId } from './keys.js';

describe('a fresh name for a row', () => {
  it('can be an argument of a command, whatever chance says: it never begins with a hyphen', () => {
    const ids = Array.from({ length: 2000 }, createId);
    expect(ids.filter((id) => !/^[0-9a-f]{12}$/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
