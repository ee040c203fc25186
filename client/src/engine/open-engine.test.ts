import { describe, expect, it } from 'vitest';
import { probeDevice } from './onnx/device-probe.js';
import { knownModel } from './onnx/known-model.js';
import { siluAnswers as answers } from './onnx/self-test-answers.js';
import { openEngine, type OpenedEngine, type OpenEngineOptions } from './open-engine.js';

const options = {
  base: knownModel(answers.config, answers.seed).base,
  lora: answers.lora,
  quantization: 'none',
} as const;

async function opened(choice: Pick<OpenEngineOptions, 'engine' | 'device'>): Promise<OpenedEngine[]> {
  const seen: OpenedEngine[] = [];
  const engine = await openEngine({ ...options, ...choice, onOpened: (one) => seen.push(one) });
  expect(engine.name).toBe(choice.engine);
  await engine.close();
  return seen;
}

describe('openEngine', () => {
  it('says once what it opened, and why', async () => {
    expect(await opened({ engine: 'onnx', device: 'auto' })).toEqual([
      { engine: 'onnx', device: 'cpu', reason: expect.stringContaining('small'), tried: [] },
    ]);
    expect(await opened({ engine: 'tfjs', device: 'cpu' })).toEqual([
      { engine: 'tfjs', device: 'cpu', reason: 'cpu was asked for', tried: [] },
    ]);
  });

  it('a device of the other engine is refused with those that there are', async () => {
    await expect(openEngine({ ...options, engine: 'tfjs', device: 'webgpu' })).rejects.toMatchObject({
      code: 'config/invalid',
      message: expect.stringContaining('it has auto, node-gpu, node, wasm, cpu'),
    });
    await expect(openEngine({ ...options, engine: 'onnx', device: 'wasm' })).rejects.toMatchObject({
      code: 'config/invalid',
    });
  });

  it('a memory plan is refused with tfjs, which would not follow it', async () => {
    const plan = { structure: 'blocks' } as const;
    await expect(openEngine({ ...options, engine: 'tfjs', device: 'cpu', plan })).rejects.toMatchObject({
      code: 'config/invalid',
      message: expect.stringContaining('belong to onnx'),
    });
  });

  it('a device that this machine lacks is refused with what it lacks', async () => {
    const found = await probeDevice('cuda');
    if ('milliseconds' in found) return; // A machine that has it.
    await expect(openEngine({ ...options, engine: 'onnx', device: 'cuda' })).rejects.toMatchObject({
      code: 'engine/device-unavailable',
      message: expect.stringContaining(found.whyNot),
    });
  });
});

describe('probeDevice', () => {
  it('times the processor, once in a process', async () => {
    const first = await probeDevice('cpu');
    expect(first).toEqual({ device: 'cpu', milliseconds: expect.any(Number) });
    expect(await probeDevice('cpu')).toBe(first);
  });
});
