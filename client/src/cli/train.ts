import { Command, Option } from 'commander';
import type { CliContext } from './context.js';
import { cacheOption, jsonOption, positiveNumber, several, wholeNumber } from './options.js';

interface Options {
  readonly base: string;
  readonly data: readonly string[];
  readonly out: string;
  readonly eval?: readonly string[];
  readonly rank: number;
  readonly alpha: number;
  readonly targetModules: string;
  readonly learningRate: number;
  readonly epochs: number;
  readonly steps?: number;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly warmupRatio: number;
  readonly seed: number;
  readonly quantization: 'none' | 'nf4';
  readonly threads: number;
  readonly cache: boolean;
  readonly json?: boolean;
}

const TENTHS = 10;

export function train(context: CliContext): Command {
  return new Command('train')
    .description('train an adapter alone on local rows (QLoRA, no rounds, no noise); writes a PEFT folder')
    .requiredOption('--base <dir>', 'folder of the base model')
    .requiredOption('--data <file>', 'file of rows; may be given several times', several)
    .requiredOption('--out <dir>', 'folder for adapter_config.json and adapter_model.safetensors')
    .option('--eval <file>', 'file to measure on afterwards; may be given several times', several)
    .option('--rank <r>', 'LoRA r', wholeNumber, 8)
    .option('--alpha <a>', 'lora_alpha', positiveNumber, 16)
    .option('--target-modules <names>', 'module suffixes, separated by commas, or all-linear', 'all-linear')
    .option('--learning-rate <x>', 'highest learning rate of AdamW', positiveNumber, 1e-3)
    .option('--epochs <n>', 'passes over the rows', positiveNumber, 1)
    .option('--steps <n>', 'steps, instead of --epochs', wholeNumber)
    .option('--batch-size <n>', 'rows a step', wholeNumber, 16)
    .option('--max-length <n>', 'longest example in tokens', wholeNumber, 512)
    .option('--warmup-ratio <x>', 'share of the steps in which the learning rate rises', Number, 0.03)
    .option('--seed <n>', 'seed of the initial adapter and the order of rows', wholeNumber, 0)
    .addOption(new Option('--quantization <kind>', 'how base weights are held').choices(['none', 'nf4']).default('nf4'))
    .option('--threads <n>', 'processor threads; 0 lets the engine choose', wholeNumber, 0)
    .addOption(cacheOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Example:
  fedlora train --base models/SmolLM2-135M --data rows.jsonl --out my-adapter --epochs 3 --eval held-out.jsonl`,
    )
    .action(async (options: Options) => {
      const { openBaseModel } = await import('../engine/weights/hugging-face.js');
      const { computedRopeTypes } = await import('../engine/onnx/rope.js');
      const { loadTokenizer } = await import('../data/tokenize.js');
      const { seededRandom } = await import('@fedlora/protocol/node');
      const { readExamples } = await import('../round/read-examples.js');
      const { evaluateFile, knownModules, openEngine } = await import('./local-model.js');
      const { shownQuantization } = await import('./shown-quantization.js');
      const { trainLocally, writeAdapter } = await import('./train-local.js');

      const base = await openBaseModel(options.base, { ropeTypes: computedRopeTypes });
      const examples = await readExamples(options.data, options.base, {
        format: 'alpaca',
        maximumLength: options.maxLength,
      });
      const lora = {
        r: options.rank,
        lora_alpha: options.alpha,
        use_rslora: false,
        target_modules: knownModules(options.targetModules.split(',').map((name) => name.trim())),
      };
      const nf4 = await shownQuantization(options.cache, context);
      const engine = await openEngine(base, lora, { ...options, nf4 });
      try {
        const steps = options.steps ?? Math.ceil((options.epochs * examples.length) / options.batchSize);
        const startedAt = performance.now();
        let recent = 0;
        await trainLocally(engine, examples, {
          steps,
          batchSize: options.batchSize,
          learningRate: options.learningRate,
          warmupRatio: options.warmupRatio,
          maximumGradientNorm: 1,
          tokensPerBatch: 8192,
          random: seededRandom(options.seed),
          onStep: (step, loss) => {
            recent = step === 1 ? loss : 0.9 * recent + 0.1 * loss;
            const seconds = (performance.now() - startedAt) / 1000;
            const left = Math.round((seconds / step) * (steps - step));
            // Where there is no terminal: a line after each tenth, and none beside the object of --json.
            const isTenth = Math.floor((TENTHS * step) / steps) > Math.floor((TENTHS * (step - 1)) / steps);
            const line = `step ${step}/${steps}  loss ${recent.toFixed(4)}  ${left} s left`;
            context.progress(line, isTenth && options.json !== true);
          },
        });
        context.progress('');
        await writeAdapter(options.out, engine, options.base);
        const seconds = (performance.now() - startedAt) / 1000;
        const evaluations = [];
        for (const file of options.eval ?? []) {
          evaluations.push(
            await evaluateFile({ base, engine, tokenizer: await loadTokenizer(options.base) }, file, options.maxLength),
          );
        }
        if (options.json === true) {
          context.out(
            JSON.stringify({
              out: options.out,
              rows: examples.length,
              steps,
              loss: recent,
              seconds,
              files: evaluations,
            }),
          );
          return;
        }
        context.out(
          `Trained on ${examples.length} rows for ${steps} steps in ${seconds.toFixed(1)} s; last loss ${recent.toFixed(4)}.`,
        );
        context.out(`Wrote ${options.out}.`);
        for (const one of evaluations) {
          context.out(
            `${one.file}: ${one.rows} rows, ${(100 * one.accuracy).toFixed(1)} % right, loss ${one.loss.toFixed(4)}`,
          );
        }
      } finally {
        await engine.close();
      }
    });
}
