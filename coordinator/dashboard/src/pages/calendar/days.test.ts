import { describe, expect, it } from 'vitest';
import { daysOf, step } from './days.js';

describe('the days of a calendar', () => {
  it('are whole weeks from Monday on, each day after the other without a gap, also where clocks change', () => {
    for (let month = 0; month < 12; month += 1) {
      const days = daysOf('month', new Date(2026, month, 15).getTime());
      expect(days.length % 7).toBe(0);
      expect(new Date(days[0].from).getDay()).toBe(1);
      expect(days.filter(({ isInMonth }) => isInMonth)).toHaveLength(new Date(2026, month + 1, 0).getDate());
      days.slice(1).forEach((day, i) => expect(day.from).toBe(days[i].to));
    }
  });

  it('of a week are seven, also over the end of a month', () => {
    const days = daysOf('week', new Date(2026, 3, 1).getTime());
    expect(days.map(({ from }) => new Date(from).getDate())).toEqual([30, 31, 1, 2, 3, 4, 5]);
  });

  it('of the next view follow those of this one', () => {
    const january = new Date(2026, 0, 31).getTime();
    expect(new Date(step('month', january, 1)).getMonth()).toBe(1);
    const week = daysOf('week', january);
    expect(daysOf('week', step('week', january, 1))[0].from).toBe(week[6].to);
    expect(daysOf('week', step('week', january, -1))[6].to).toBe(week[0].from);
  });
});
