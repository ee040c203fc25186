import { describe, expect, it } from 'vitest';
import { findPhones, type FirstPhone } from './phones.js';

const found = (text: string): string[] => [...findPhones(text)].map(({ start, end }) => text.slice(start, end));

describe('findPhones', () => {
  it.each([
    ['a list of numbers', '212-555-0100 213-345-4678\n(212) 555-0102', 3],
    ['its country before it, in brackets or after 00', 'at +34 612 345 678, (+34) 612 345 678 or 0034612345678', 3],
    ['a word for it before a bare number', 'Teléfono: 612345678; Handy 015112345678', 2],
  ])('finds %s', (_name, text, count) => expect(found(text)).toHaveLength(count));

  it.each([
    'Immobile, 2020-2019, 36 of 40',
    'order 2125550100 of today',
    '(12) (13) (14) (15) (16)',
    '212-555-01009', // one digit too many
  ])('finds none in %s', (text) => expect(found(text)).toEqual([]));

  /** What libphonenumber is asked about a text: how often, and how many characters in all. */
  function workOf(text: string): { calls: number; characters: number } {
    const work = { calls: 0, characters: 0 };
    const count: FirstPhone = (candidate) => {
      work.calls += 1;
      work.characters += candidate.length;
      return undefined;
    };
    expect([...findPhones(text, count)]).toEqual([]);
    return work;
  }

  it.each([
    ['one long run of digits', '1234567890'],
    ['digits and spaces', '12 34 5 '],
    ['brackets', '(12) '],
    ['what looks like a number at every place', '212-555-0100 '],
    ['a prefix at every place', '+1 001 '],
    ['a word at every place', 'call 1 tel 2 '],
  ])('asks about no more than a fixed multiple of a text of %s', (_name, part) => {
    const text = part.repeat(Math.ceil(20_000 / part.length));
    const { calls, characters } = workOf(text);
    expect(calls).toBeLessThanOrEqual(2 * text.length);
    expect(characters).toBeLessThanOrEqual(40 * text.length);
    const twice = workOf(text + text);
    expect(twice.calls).toBeLessThanOrEqual(2 * calls + 100);
    expect(twice.characters).toBeLessThanOrEqual(2 * characters + 5_000);
  });

  it('asks nothing about digits that are not written like a number', () => {
    expect(workOf('1234567890'.repeat(10_000))).toEqual({ calls: 0, characters: 0 });
  });
});
