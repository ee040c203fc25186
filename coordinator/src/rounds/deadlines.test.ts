import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Deadlines } from './deadlines.js';

it('a deadline never passes before its time, though timers of Node may be a millisecond early by the clock', async () => {
  const deadlines = new Deadlines(Date.now);
  const early: number[] = [];
  let passed = 0;
  for (let i = 0; i < 600; i += 1) {
    const at = Date.now() + 3;
    deadlines.arm(String(i), at, () => {
      passed += 1;
      if (Date.now() < at) early.push(at - Date.now());
    });
    if (i % 2 === 0) await wait(1);
  }
  while (passed < 600) await wait(1);
  expect(early).toEqual([]);
});

it('a deadline that is disarmed does not pass, and one that is armed anew passes once', async () => {
  const deadlines = new Deadlines(Date.now);
  const passed: string[] = [];
  deadlines.arm('disarmed', Date.now() + 5, () => passed.push('disarmed'));
  deadlines.arm('anew', Date.now() + 5, () => passed.push('before'));
  deadlines.arm('anew', Date.now() + 10, () => passed.push('after'));
  deadlines.disarm('disarmed');
  while (passed.length === 0) await wait(1);
  await wait(20);
  expect(passed).toEqual(['after']);
});
