import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { detectTfjsBackend, useBackend } from './backend.js';

describe('detectTfjsBackend', () => {
  it('takes the fastest that works, and says why not the ones before it', async () => {
    const handlers = (): number =>
      process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection');
    const before = handlers();
    const { backend, reason, tried } = await detectTfjsBackend();
    expect(handlers(), 'handlers of uncaught errors, which are for the program to set').toBe(before);
    expect(['node-gpu', 'wasm']).toContain(backend);
    expect(reason).not.toBe('');
    if (backend === 'node-gpu') return; // a machine with the native library
    expect(tried).toEqual([{ backend: 'node-gpu', whyNot: expect.stringMatching(/tfjs/) }]);
    expect(tf.getBackend()).toBe('wasm');
  });

  it('tries no other than the one asked for', async () => {
    expect(await detectTfjsBackend('cpu')).toEqual({ backend: 'cpu', reason: 'cpu was asked for', tried: [] });
    expect(tf.getBackend()).toBe('cpu');
  });

  it('a backend that is asked for and does not work is an error', async () => {
    await expect(detectTfjsBackend('node')).rejects.toMatchObject({ code: 'config/invalid' });
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
