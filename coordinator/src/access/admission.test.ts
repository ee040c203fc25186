import type { FedloraError } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { Admission } from './admission.js';

const bounds = { atOnce: 2, waiting: 3, ofEach: 2, retryAfterMs: 1500 };

/** Work that ends when it is told to, and remembers in which order it began. */
class Works {
  readonly begun: string[] = [];
  private readonly ends = new Map<string, (error?: Error) => void>();

  of(name: string): () => Promise<string> {
    return () => {
      this.begun.push(name);
      return new Promise((resolve, reject) =>
        this.ends.set(name, (error) => (error === undefined ? resolve(name) : reject(error))),
      );
    };
  }

  end(name: string, error?: Error): void {
    this.ends.get(name)?.(error);
  }
}

const busy = { code: 'coordinator/busy', details: { retryAfterMs: 1500 } } as unknown as FedloraError;

describe('admission', () => {
  it('begins as much as may go on at once, and the rest in the order in which it came', async () => {
    const [admission, works] = [new Admission(bounds), new Works()];
    const names = ['a', 'b', 'c', 'd', 'e'];
    const done = names.map((name) => admission.take(name, works.of(name)));
    expect(works.begun).toEqual(['a', 'b']);
    works.end('b');
    await done[1];
    expect(works.begun).toEqual(['a', 'b', 'c']);
    works.end('a');
    works.end('c');
    await Promise.all([done[0], done[2]]);
    await expect.poll(() => works.begun).toEqual(names);
    works.end('d');
    works.end('e');
    expect(await Promise.all(done)).toEqual(names);
  });

  it('asks whoever comes when all places are taken to come again, and has room when one has ended', async () => {
    const [admission, works] = [new Admission(bounds), new Works()];
    const done = ['a', 'b', 'c', 'd', 'e'].map((name) => admission.take(name, works.of(name)));
    await expect(admission.take('f', works.of('f'))).rejects.toMatchObject(busy);
    expect(works.begun).not.toContain('f');
    works.end('a');
    await done[0];
    const late = admission.take('f', works.of('f'));
    for (const name of ['b', 'c', 'd', 'e', 'f']) {
      await expect.poll(() => works.begun).toContain(name);
      works.end(name);
    }
    expect(await late).toBe('f');
  });

  it('gives one asker only its places, so that the others find room', async () => {
    const [admission, works] = [new Admission(bounds), new Works()];
    const greedy = [admission.take('a', works.of('first')), admission.take('a', works.of('second'))];
    await expect(admission.take('a', works.of('third'))).rejects.toMatchObject(busy);
    const other = admission.take('b', works.of('other'));
    works.end('first');
    await expect.poll(() => works.begun).toContain('other');
    works.end('other');
    works.end('second');
    await Promise.all([...greedy, other]);
    const again = admission.take('a', works.of('again'));
    works.end('again');
    expect(await again).toBe('again');
  });

  it('gives the place of work that fails to the next', async () => {
    const [admission, works] = [new Admission({ ...bounds, atOnce: 1 }), new Works()];
    const failing = admission.take('a', works.of('a'));
    const next = admission.take('b', works.of('b'));
    works.end('a', new Error('broken'));
    await expect(failing).rejects.toThrow('broken');
    await expect.poll(() => works.begun).toEqual(['a', 'b']);
    works.end('b');
    expect(await next).toBe('b');
  });
});
