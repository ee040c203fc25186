import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fedlora as run } from '../../../test/support/command-line.js';

const root = resolve(import.meta.dirname, '../../..');
const base = join(root, 'deploy/demo/base');

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'fedlora-train-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Rows that teach to say the colour of a thing. */
function rows(name: string, count: number, from = 0): string {
  const colours = ['red', 'green', 'blue'];
  const lines = Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      instruction: 'Name the colour.',
      input: `thing ${(from + i) % 30}`,
      output: colours[(from + i) % 3],
    }),
  );
  const path = join(directory, name);
  writeFileSync(path, lines.join('\n'));
  return path;
}

const fedlora = (...args: readonly string[]) => run(args);

const training = (data: string, out: string, ...more: readonly string[]): string[] => [
  ...['train', '--base', base, '--data', data, '--out', out, '--threads', '1', '--batch-size', '6', ...more],
];

describe('fedlora train', () => {
  it('computes on the engine and device that are asked for, says so, and refuses those that are not there', async () => {
    const data = rows('rows.jsonl', 6);
    const out = join(directory, 'adapter');
    const steps = ['--steps', '1', '--quantization', 'none'];
    const right = await fedlora(...training(data, out, ...steps, '--engine', 'onnx', '--device', 'cpu'));
    expect(right.error).toContain('engine onnx on cpu: cpu was asked for');
    expect(right.code).toBe(0);

    const pair = await fedlora(
      ...training(data, join(directory, 'b'), ...steps, '--engine', 'tfjs', '--device', 'cuda'),
    );
    expect(pair.error).toContain('The engine tfjs has no device "cuda"');
    expect(pair.code).toBe(20);
    expect(existsSync(join(directory, 'b'))).toBe(false);

    const unknown = await fedlora(...training(data, join(directory, 'b'), '--device', 'abacus'));
    expect(unknown.code).toBe(2);
  });

  it('lowers the loss on rows it has not seen, and writes a PEFT folder that eval measures alike', async () => {
    const held = rows('held.jsonl', 6, 100);
    const out = join(directory, 'adapter');
    const arguments_ = ['--steps', '12', '--learning-rate', '0.02', '--eval', held, '--eval-steps', '6', '--json'];
    const { code, out: printed } = await fedlora(...training(rows('rows.jsonl', 40), out, ...arguments_));
    expect(code).toBe(0);
    const report = JSON.parse(printed) as {
      steps: number;
      tokensPerSecond: number;
      evaluations: { step: number; loss: number }[];
      best: { loss: number };
      files: { loss: number }[];
    };
    expect(report.evaluations.map(({ step }) => step)).toEqual([6, 12]);
    expect(report.tokensPerSecond).toBeGreaterThan(0);
    expect(report.files[0].loss).toBeCloseTo(report.best.loss, 5);

    const measured = async (...adapter: readonly string[]): Promise<number> => {
      const result = await fedlora('eval', '--base', base, ...adapter, '--data', held, '--threads', '1', '--json');
      return (JSON.parse(result.out) as { files: { loss: number }[] }).files[0].loss;
    };
    expect(await measured('--adapter', out)).toBeCloseTo(report.best.loss, 4);
    expect(report.best.loss).toBeLessThan(0.8 * (await measured()));
  });

  it('writes what was used into adapter_config.json', async () => {
    const out = join(directory, 'adapter');
    const knobs = ['--r', '4', '--alpha', '12', '--use-rslora', '--target-modules', 'q_proj,v_proj'];
    const { code } = await fedlora(
      ...training(rows('rows.jsonl', 6), out, ...knobs, '--lora-dropout', '0.1', '--steps', '2'),
    );
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(join(out, 'adapter_config.json'), 'utf8'))).toMatchObject({
      r: 4,
      lora_alpha: 12,
      use_rslora: true,
      lora_dropout: 0.1,
      target_modules: ['q_proj', 'v_proj'],
    });
  });

  it('trains r x r between frozen factors, and writes what plain LoRA reads', async () => {
    const held = rows('held.jsonl', 6, 100);
    const out = join(directory, 'adapter');
    const arguments_ = ['--train-factor', 'R', '--r', '16', '--steps', '12', '--learning-rate', '0.5', '--json'];
    const { code, out: printed } = await fedlora(
      ...training(rows('rows.jsonl', 40), out, ...arguments_, '--eval', held),
    );
    expect(code).toBe(0);
    const [{ loss }] = (JSON.parse(printed) as { files: { loss: number }[] }).files;
    const measured = async (...adapter: readonly string[]): Promise<number> => {
      const result = await fedlora('eval', '--base', base, ...adapter, '--data', held, '--threads', '1', '--json');
      return (JSON.parse(result.out) as { files: { loss: number }[] }).files[0].loss;
    };
    expect(await measured('--adapter', out)).toBeCloseTo(loss, 4);
    expect(loss).toBeLessThan(0.9 * (await measured()));
  });

  it('that diverges names the step and the row, and leaves the output folder as it was', async () => {
    const data = rows('rows.jsonl', 12);
    const out = join(directory, 'adapter');
    const { code, error } = await fedlora(...training(data, out, '--steps', '5', '--learning-rate', '1e30'));
    expect(code).toBe(1);
    expect(error).toMatch(/rows\.jsonl:\d+: In step \d the loss is not a finite number\./);
    expect(error).toContain('[engine/diverged]');
    expect(existsSync(out)).toBe(false);
  });

  it('counts rows whose input is shortened and rows that are left out, and names them', async () => {
    const data = join(directory, 'long.jsonl');
    const words = 'word '.repeat(60);
    writeFileSync(
      data,
      [
        { instruction: 'a', input: '', output: 'b' },
        { instruction: 'a', input: words, output: 'b' },
        { instruction: 'a', input: '', output: words },
      ]
        .map((row) => JSON.stringify(row))
        .join('\n'),
    );
    const arguments_ = training(data, join(directory, 'adapter'), '--steps', '1', '--max-length', '48', '--json');
    const { out, error } = await fedlora(...arguments_);
    expect(JSON.parse(out)).toMatchObject({ rows: 2, truncated: 1, leftOut: 1 });
    expect(error).toContain('1 rows over 48 tokens lost the end of their input; their answers are whole.');
    expect(error).toMatch(/long\.jsonl:3 has \d+ tokens, over 48/);
  });

  it.each([
    [['--eval-steps', '5'], '--eval-steps needs a file of --eval'],
    [['--early-stopping-patience', '2'], '--early-stopping-patience needs --eval-steps'],
    [['--lora-dropout', '1'], 'below 1'],
    [['--rank', '0'], '--rank must be at least 1'],
    [['--gradient-accumulation-steps', '0'], 'must be at least 1'],
    [['--train-factor', 'R', '--init', 'kaiming'], 'A and B are orthonormal and stay so'],
    [['--train-factor', 'R', '--rank', '500'], '--rank must be at most 128, the smaller side of q_proj'],
    [['--target-modules', 'q_proj,nothing'], 'no linear layer called nothing'],
  ])('refuses %j and says why', async (more, reason) => {
    const { code, error } = await fedlora(...training(rows('rows.jsonl', 3), join(directory, 'adapter'), ...more));
    expect(code).toBeGreaterThan(1);
    expect(error).toContain(reason);
  });

  it('refuses a file as output folder before it trains', async () => {
    const data = rows('rows.jsonl', 3);
    const { error } = await fedlora(...training(data, data));
    expect(error).toContain('The output must be a folder');
  });

  it('says how the model will be computed, and refuses what does not fit before it reads weights', async () => {
    const data = rows('rows.jsonl', 12);
    const out = join(directory, 'adapter');
    const few = await fedlora(...training(data, out, '--steps', '1', '--gradient-checkpointing'));
    expect(few.code).toBe(0);
    expect(few.error).toMatch(
      /^plan: .*a graph per block, activations of 0 of 4 blocks kept.*\nmemory: about \d+ MiB; \d+ MiB are free$/m,
    );
    const none = await fedlora(...training(data, join(directory, 'other'), '--steps', '1', '--max-memory', '5'));
    expect(none.code).toBe(21);
    expect(none.error).toMatch(/At least \d+ MiB are needed beside the program itself, and 5 MiB are free/);
    expect(none.error).toContain('[engine/out-of-memory]');
    expect(existsSync(join(directory, 'other'))).toBe(false);
  });
});
