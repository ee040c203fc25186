import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { dequantizeNf4, quantizeNf4 } from '../weights/nf4.js';
import { detectTfjsBackend } from './backend.js';
import { checkUnpacking, nf4Weight } from './frozen-weight.js';

describe.each(['wasm', 'cpu'] as const)('NF4 on %s', (backend) => {
  it('unpacks in the process to the very values of dequantizeNf4', async () => {
    await detectTfjsBackend(backend);
    const before = tf.memory().numTensors;
    for (const [rows, columns] of [
      [24, 16],
      [7, 11],
      [96, 80],
    ] as const) {
      const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * i + rows) * (1 + (i % 5)));
      const weight = nf4Weight(quantizeNf4(values), [rows, columns], 'process');
      const unpacked = weight.unpack();
      expect(unpacked.shape).toEqual([rows, columns]);
      expect(await unpacked.data()).toEqual(dequantizeNf4(quantizeNf4(values), values.length));
      // Half a byte a value and four a block, whose last may be filled up.
      expect(weight.sizeBytes).toBeLessThanOrEqual(Math.ceil(values.length / 64) * 36);
      unpacked.dispose();
      weight.dispose();
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  it('passes its own check in the process', async () => {
    await detectTfjsBackend(backend);
    await expect(checkUnpacking('process')).resolves.toBeUndefined();
  });
});
