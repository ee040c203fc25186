import { describe, expect, it } from 'vitest';
import { isOpenAt, timeZoneKind, windowsKind } from './hours.js';

describe('the hours in which rounds may begin', () => {
  const open = (windows: readonly string[], at: string, timeZone = 'UTC') =>
    isOpenAt({ windows, timeZone }, Date.parse(at));

  it('are all hours where no window is named', () => expect(open([], '2026-11-25T12:00:00Z')).toBe(true));

  // 25 November 2026 is a Wednesday.
  it.each([
    ['Mon-Fri 08:00-18:00', '2026-11-25T08:00:00Z', true],
    ['Mon-Fri 08:00-18:00', '2026-11-25T07:59:59Z', false],
    ['Mon-Fri 08:00-18:00', '2026-11-25T18:00:00Z', false],
    ['Mon-Fri 08:00-18:00', '2026-11-28T12:00:00Z', false],
    ['Sat,Sun 00:00-24:00', '2026-11-29T23:59:59Z', true],
    ['Fri-Mon 00:00-24:00', '2026-11-30T12:00:00Z', true],
    ['Fri-Mon 00:00-24:00', '2026-12-01T12:00:00Z', false],
    ['daily 19:30-07:00', '2026-11-25T06:59:00Z', true],
    ['daily 19:30-07:00', '2026-11-25T07:00:00Z', false],
  ])('with %s at %s: %s', (window, at, isOpen) => expect(open([window], at)).toBe(isOpen));

  it('of a night belong to the day on which it begins', () => {
    expect(open(['Fri 20:00-06:00'], '2026-11-28T05:59:00Z')).toBe(true);
    expect(open(['Fri 20:00-06:00'], '2026-11-27T05:59:00Z')).toBe(false);
  });

  it('follow the clock of their time zone, through its change to summer time', () => {
    const night = ['daily 02:00-04:00'];
    expect(open(night, '2026-03-28T01:30:00Z', 'Europe/Madrid')).toBe(true); // 02:30
    expect(open(night, '2026-03-29T01:30:00Z', 'Europe/Madrid')).toBe(true); // 03:30, an hour later than the day before
    expect(open(night, '2026-03-29T02:30:00Z', 'Europe/Madrid')).toBe(false); // 04:30
  });

  it.each([
    ['mon 08:00-09:00'],
    ['Mon-Tue-Wed 08:00-09:00'],
    ['Mon 8:00-09:00'],
    ['Mon 24:00-09:00'],
    ['Mon 08:60-09:00'],
    ['Mon 08:00-24:01'],
    ['Mon 08:00-08:00'],
    ['Mon'],
    ['always'],
  ])('cannot be written as %j', (window) => expect(windowsKind.read([window])).toBeUndefined());

  it('know the time zones that the machine knows, and no others', () => {
    expect(timeZoneKind.read('Asia/Tokyo')).toBe('Asia/Tokyo');
    expect(timeZoneKind.read('Europe/Nowhere')).toBeUndefined();
  });
});
