import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { knownModel } from '../onnx/known-model.js';
import { siluAnswers as answers } from '../onnx/self-test-answers.js';
import { createTfjsEngine } from './engine.js';

const options = (backend: 'wasm' | 'cpu', quantization: 'nf4' | 'none') => ({
  base: knownModel(answers.config, answers.seed).base,
  lora: answers.lora,
  quantization,
  backend,
});

describe('before a backend is used it computes known answers', () => {
  it.each([
    ['wasm', 'none'],
    ['wasm', 'nf4'],
    ['cpu', 'nf4'],
  ] as const)('%s passes with weights in %s, and no tensor of the test stays', async (backend, quantization) => {
    const engine = await createTfjsEngine(options(backend, quantization));
    await engine.close();
    expect(tf.memory().numTensors).toBe(0);
  });

  it('one whose sigmoid is a little wrong is refused with the numbers, and again when asked again', async () => {
    const right = tf.getKernel('Sigmoid', 'cpu');
    tf.unregisterKernel('Sigmoid', 'cpu');
    tf.registerKernel({
      ...right,
      kernelFunc: (input) => {
        const exact = right.kernelFunc(input) as tf.TensorInfo;
        const values = tf.backend().readSync(exact.dataId) as Float32Array;
        values.forEach((value, i) => (values[i] = value * 1.001));
        return exact;
      },
    });
    const refusal = {
      code: 'engine/self-test-failed',
      message: expect.stringMatching(/tfjs cpu dense.*gradient \d\.\de-[34]/),
    };
    await expect(createTfjsEngine(options('cpu', 'none'))).rejects.toMatchObject(refusal);
    tf.unregisterKernel('Sigmoid', 'cpu');
    tf.registerKernel(right);
    await expect(createTfjsEngine(options('cpu', 'none'))).rejects.toMatchObject(refusal);
  });
});
