import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { detectTfjsBackend, restoreUtil, useBackend } from './backend.js';

describe('detectTfjsBackend', () => {
  it('takes the fastest that works, and says why not the ones before it', async () => {
    const handlers = (): number =>
      process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection');
    const before = handlers();
    const { backend, reason, tried } = await detectTfjsBackend();
    expect(handlers(), 'handlers of uncaught errors, which are for the program to set').toBe(before);
    const order = ['node-gpu', 'node', 'wasm'];
    expect([...tried.map((one) => one.backend), backend]).toEqual(order.slice(0, tried.length + 1));
    expect(reason).not.toBe('');
    for (const { whyNot } of tried) expect(whyNot).toMatch(/npm run gpu:tensorflow|sees no GPU/);
    expect(tf.getBackend()).toBe(backend === 'wasm' ? 'wasm' : 'tensorflow');
  });

  it('a backend that is asked for and does not work is an error that says why', async () => {
    const { tried } = await detectTfjsBackend();
    for (const { backend, whyNot } of tried) {
      const cause = { code: 'engine/device-unavailable', message: expect.stringContaining(`${backend}: ${whyNot}`) };
      await expect(detectTfjsBackend(backend)).rejects.toMatchObject(cause);
    }
  });

  it('tries no other than the one asked for', async () => {
    expect(await detectTfjsBackend('cpu')).toEqual({ backend: 'cpu', reason: 'cpu was asked for', tried: [] });
    expect(tf.getBackend()).toBe('cpu');
  });
});

describe('useBackend', () => {
  it('takes effect before it returns', async () => {
    await detectTfjsBackend('wasm');
    await detectTfjsBackend('cpu');
    useBackend('wasm');
    expect(tf.getBackend()).toBe('wasm');
    useBackend('cpu');
    expect(tf.getBackend()).toBe('cpu');
  });
});

describe('restoreUtil', () => {
  it('adds what tfjs-node calls and Node 23 has no more', () => {
    const util: Record<string, unknown> = { inspect: 'kept' };
    restoreUtil(util);
    expect(util).toEqual({ inspect: 'kept', isNullOrUndefined: expect.any(Function), isArray: Array.isArray });
    const { isNullOrUndefined } = util as { isNullOrUndefined: (value: unknown) => boolean };
    expect([undefined, null, 0, ''].map(isNullOrUndefined)).toEqual([true, true, false, false]);
  });
});
