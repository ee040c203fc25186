import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { inTurn, LANES } from './in-turn.js';

const many = Array.from({ length: 3 * LANES }, (_, i) => i);

describe('messages in turn', () => {
  it('go to everyone in order, a few at a time', async () => {
    const begun: number[] = [];
    let underWay = 0;
    let most = 0;
    await inTurn(many, async (receiver) => {
      begun.push(receiver);
      underWay += 1;
      most = Math.max(most, underWay);
      await wait(1);
      underWay -= 1;
    });
    expect(begun).toEqual(many);
    expect(most).toBe(LANES);
  });

  it('do not wait for ever for receivers that take nothing', async () => {
    const reached: number[] = [];
    const never = new Promise<void>(() => undefined);
    await inTurn(
      many,
      (receiver) => {
        reached.push(receiver);
        return receiver < LANES ? never : Promise.resolve();
      },
      20,
    );
    expect(reached).toEqual(many);
  });

  it('fail as the first that fails', async () => {
    const failing = inTurn(many, (receiver) =>
      receiver === 5 ? Promise.reject(new Error('five')) : Promise.resolve(),
    );
    await expect(failing).rejects.toThrow('five');
  });
});
