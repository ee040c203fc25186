import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseModelConfig } from '../engine/weights/model-config.js';
import { fitModel } from '../engine/onnx/memory-plan.js';
import { memoryTable, planLines } from './memory-table.js';
import { runCommand } from './program.js';

const base = resolve(import.meta.dirname, '../../../deploy/demo/base');

/** The largest that is supported: what is widest in a table. */
const llama70b = parseModelConfig(
  JSON.stringify({
    model_type: 'llama',
    hidden_size: 8192,
    intermediate_size: 28672,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    vocab_size: 128256,
  }),
);
const lora = { r: 16, lora_alpha: 16, use_rslora: false, target_modules: ['all-linear'] };

async function doctor(...args: readonly string[]): Promise<{ code: number; out: string[]; error: string }> {
  const out: string[] = [];
  const error: string[] = [];
  const code = await runCommand(['doctor', '--model', base, ...args], {
    out: (line) => out.push(line),
    write: (text) => out.push(text),
    error: (line) => error.push(line),
    progress: () => undefined,
    environment: {},
    readInput: async () => '',
    askSecret: async () => undefined,
    ask: async () => undefined,
  });
  return { code, out, error: error.join('\n') };
}

describe('fedlora doctor --model', () => {
  it('shows what is held, the sum and what is free, in at most 100 columns', async () => {
    const { code, out } = await doctor('--max-memory', '2000');
    expect(code).toBe(0);
    expect(out).toContainEqual(expect.stringMatching(/^ {2}linear weights, f32 +2\.8$/));
    expect(out).toContainEqual(expect.stringMatching(/^ {2}in all +\d+ {3}of it the base at rest 6\.1$/));
    expect(out).toContainEqual(expect.stringMatching(/^ {2}free +2000$/));
    expect(out.slice(-2)).toEqual(['It fits:', '  f32 weights, merged, one graph, 768 tokens at a time']);
    const fitted = fitModel({ config: llama70b }, lora, 'none', { availableBytes: 2 ** 40 });
    const lines = [...out, ...memoryTable(fitted, llama70b, 2 ** 44), ...planLines(fitted, llama70b, 2 ** 44)];
    for (const line of lines.filter((one) => one !== base)) expect(line.length, line).toBeLessThanOrEqual(100);
  });

  it('says what would take less where nothing fits, and ends with the code of that', async () => {
    const { code, out, error } = await doctor('--max-memory', '8');
    expect(code).toBe(21);
    expect(error).toMatch(/MiB are needed beside the program itself, and 8 MiB are free/);
    expect(out.find((line) => line.startsWith('It does not fit:'))).toBeDefined();
    expect(out).toContainEqual(expect.stringMatching(/^ {2}--max-length 128 +\d+ MiB {3}(fits|not enough alone)$/));
  });

  it('gives the same in JSON, the sum being that of the parts', async () => {
    const { code, out } = await doctor('--json', '--batch-size', '2');
    expect(code).toBe(0);
    const { fits, bytes, totalBytes, plan, remedies } = JSON.parse(out.join('')) as {
      fits: boolean;
      bytes: Record<string, number>;
      totalBytes: number;
      plan: { structure: string };
      remedies: unknown[];
    };
    expect(fits).toBe(true);
    expect(plan.structure).toBe('whole');
    expect(remedies).toEqual([]);
    expect(Object.values(bytes).reduce((sum, value) => sum + value, 0)).toBe(totalBytes);
  });

  it('plans for the options of training', async () => {
    const total = async (...args: string[]): Promise<number> => {
      const { out } = await doctor('--json', ...args);
      return (JSON.parse(out.join('')) as { totalBytes: number }).totalBytes;
    };
    const plain = await total();
    for (const less of [
      ['--max-length', '64'],
      ['--optim', 'adamw_8bit'],
      ['--target-modules', 'q_proj'],
      ['--rank', '2'],
    ])
      expect(await total(...less), less.join(' ')).toBeLessThan(plain);
    expect(await total('--gradient-checkpointing')).toBeLessThan(plain);
  });
});
