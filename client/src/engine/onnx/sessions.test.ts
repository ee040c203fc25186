import { describe, expect, it } from 'vitest';
import { profileOf } from './device.js';
import { GraphBuilder, type GraphFile } from './graph.js';
import { floats, hasNoMemory, Sessions, tensorOf } from './sessions.js';

/** x [n] -> y [n] = x + `added` */
function addition(added: number): GraphFile {
  const graph = new GraphBuilder(profileOf('cpu'));
  graph.output('y', graph.add(graph.input('x', 'float32', ['N']), graph.scalar(added)), 'float32', ['N']);
  return graph.build();
}

describe('Sessions', () => {
  it('makes a graph once where all stay ready, and anew after another where only the last does', async () => {
    for (const [ready, expected] of [
      ['all', 2],
      ['last', 3],
    ] as const) {
      const sessions = new Sessions(1, profileOf('cpu'), ready);
      let made = 0;
      const run = async (added: number): Promise<number> => {
        const build = (): GraphFile => {
          made++;
          return addition(added);
        };
        const feeds = new Map([['x', tensorOf(Float32Array.of(1), [1])]]);
        return floats(await sessions.run(`add ${added}`, build, feeds), 'y')[0];
      };
      const results = [await run(1), await run(1), await run(2), await run(1)];
      await sessions.close();
      expect(results).toEqual([2, 2, 3, 2]);
      expect(made, ready).toBe(expected);
    }
  });

  it('knows an allocation that failed from other errors', () => {
    expect(hasNoMemory(new Error('Failed to allocate memory for requested buffer of size 99'))).toBe(true);
    expect(hasNoMemory(new Error('std::bad_alloc'))).toBe(true);
    expect(hasNoMemory(new RangeError('Array buffer allocation failed'))).toBe(true);
    expect(hasNoMemory(new Error('Got invalid dimensions for input: x'))).toBe(false);
    expect(hasNoMemory('out of memory')).toBe(false);
  });
});
