import { Command, Option } from 'commander';
import type { TrainingProgress } from '../engine/train.js';
import { givenFormats, type GivenFormatName } from '../data/row-formats.js';
import type { DeviceName, EngineName } from '../engine/open-engine.js';
import type { CliContext } from './context.js';
import { evaluationLine } from './eval.js';
import {
  cacheOption,
  deviceOption,
  engineOption,
  jsonOption,
  modelSizeOptions,
  numberAtLeastZero,
  planOptions,
  positiveNumber,
  rowFormatOption,
  several,
  shareBelowOne,
  threadsOption,
  trainingUse,
  type ModelSizeOptions,
  wholeNumber,
} from './options.js';
import { clockTime, trainingLine } from './training-line.js';

interface Options extends ModelSizeOptions {
  readonly base: string;
  readonly data: readonly string[];
  readonly format: GivenFormatName;
  readonly out: string;
  readonly eval?: readonly string[];
  readonly evalSteps?: number;
  readonly earlyStoppingPatience?: number;
  readonly loraAlpha: number;
  readonly useRslora?: boolean;
  readonly loraDropout: number;
  readonly init?: 'kaiming' | 'orthonormal';
  readonly learningRate: number;
  readonly lrSchedulerType: 'constant' | 'linear' | 'cosine';
  readonly warmupRatio: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly numTrainEpochs: number;
  readonly maxSteps?: number;
  readonly gradientAccumulationSteps: number;
  readonly seed: number;
  readonly threads: number;
  readonly engine: EngineName;
  readonly device: DeviceName;
  readonly cache: boolean;
  readonly json?: boolean;
}

const TENTHS = 10;

/** Calls of the engine that draw masks of their own before those of the next --seed begin. */
const DROPOUT_SEEDS = 1_000_000;

/** Tokens, padding included, in one call of the engine. */
const TOKENS_PER_BATCH = 8192;

export function train(context: CliContext): Command {
  const command = new Command('train')
    .description('train an adapter alone on local rows (QLoRA, no rounds, no noise); writes a PEFT folder')
    .requiredOption('--base <dir>', 'folder of the base model')
    .requiredOption('--data <file>', 'file of rows; may be given several times', several)
    .addOption(rowFormatOption())
    .requiredOption('--out <dir>', 'folder for adapter_config.json and adapter_model.safetensors')
    .option('--eval <file>', 'file to measure on afterwards; may be given several times', several)
    .option('--eval-steps <n>', 'measure on the --eval files every n steps too; the best adapter is kept', wholeNumber)
    .option('--early-stopping-patience <n>', 'stop after n measurements in a row that are no better', wholeNumber)
    .option('--alpha, --lora-alpha <a>', 'lora_alpha', positiveNumber, 16)
    .option('--use-rslora', 'scale by lora_alpha / sqrt(r), not lora_alpha / r')
    .option('--lora-dropout <p>', 'share of the inputs of A that a step ignores', shareBelowOne, 0)
    .addOption(
      new Option('--init <kind>', 'how A starts; B is zero (default: kaiming)').choices(['kaiming', 'orthonormal']),
    )
    .option('--learning-rate <x>', 'highest learning rate', positiveNumber, 1e-3)
    .addOption(
      new Option('--lr-scheduler-type <kind>', 'the learning rate after the warm-up')
        .choices(['constant', 'linear', 'cosine'])
        .default('linear'),
    )
    .option('--warmup-ratio <x>', 'share of the steps in which the learning rate rises', shareBelowOne, 0.03)
    .option('--weight-decay <x>', 'weight decay', numberAtLeastZero, 0)
    .option('--max-grad-norm <x>', 'longest gradient that a step follows; 0 for any', numberAtLeastZero, 1)
    .option('--epochs, --num-train-epochs <n>', 'passes over the rows', positiveNumber, 1)
    .option('--steps, --max-steps <n>', 'steps, instead of passes', wholeNumber)
    .option('--gradient-accumulation-steps <n>', 'batches of a step', wholeNumber, 1)
    .option('--seed <n>', 'seed of the initial adapter and the order of rows', wholeNumber, 0)
    .addOption(threadsOption())
    .addOption(engineOption())
    .addOption(deviceOption())
    .addOption(cacheOption())
    .addOption(jsonOption());
  for (const option of modelSizeOptions()) command.addOption(option);
  return command
    .addHelpText(
      'after',
      `
Options are named as in PEFT and transformers. Training that diverges stops, names the step and the row, and writes nothing.

Example:
  fedlora train --base models/SmolLM2-135M --data rows.jsonl --out my-adapter --epochs 3 --eval held-out.jsonl`,
    )
    .action(async (options: Options) => {
      const { FedloraError } = await import('@fedlora/shared');
      const { openBaseModel } = await import('../engine/weights/hugging-face.js');
      const { computedRopeTypes } = await import('../engine/onnx/rope.js');
      const { loadTokenizer } = await import('../data/tokenize.js');
      const { seededRandom } = await import('@fedlora/protocol/node');
      const { evaluateFile, knownModules, openLocalEngine } = await import('./local-model.js');
      const { shownEngine } = await import('./shown-engine.js');
      const { shownQuantization } = await import('./shown-quantization.js');
      const { readLocalRows, reportRows } = await import('./local-rows.js');
      const { planLines } = await import('./memory-table.js');
      const { checkFrozenRank, checkOutputFolder, trainLocally, writeAdapter } = await import('./train-local.js');

      const {
        evalSteps,
        earlyStoppingPatience: patience,
        batchSize,
        gradientAccumulationSteps: accumulation,
      } = options;
      const evaluationFiles = options.eval ?? [];
      if (evalSteps !== undefined && evaluationFiles.length === 0)
        throw new FedloraError('config/missing-value', '--eval-steps needs a file of --eval to measure on.');
      if (patience !== undefined && evalSteps === undefined)
        throw new FedloraError('config/missing-value', '--early-stopping-patience needs --eval-steps.');
      for (const [name, value] of Object.entries({
        rank: options.rank,
        'batch-size': batchSize,
        'eval-steps': evalSteps,
      })) {
        if (value === 0) throw new FedloraError('config/invalid', `--${name} must be at least 1.`);
      }
      if (accumulation === 0)
        throw new FedloraError('config/invalid', '--gradient-accumulation-steps must be at least 1.');
      if (options.trainFactor === 'R' && options.init !== undefined)
        throw new FedloraError(
          'config/invalid',
          '--init says how A starts; with --train-factor R, A and B are orthonormal and stay so.',
        );
      await checkOutputFolder(options.out);

      const base = await openBaseModel(options.base, { ropeTypes: computedRopeTypes });
      const tokenizer = await loadTokenizer(options.base);
      const limits = { format: givenFormats[options.format], maximumLength: options.maxLength };
      const rows = await readLocalRows(options.data, tokenizer, limits);
      reportRows(rows, options.maxLength, context);
      const { examples } = rows;
      const evaluation =
        evalSteps === undefined
          ? undefined
          : {
              examples: (await readLocalRows(evaluationFiles, tokenizer, limits)).examples,
              everySteps: evalSteps,
              patience: patience ?? 0,
            };
      const lora = {
        r: options.rank,
        lora_alpha: options.loraAlpha,
        use_rslora: options.useRslora === true,
        lora_dropout: options.loraDropout,
        target_modules: knownModules(options.targetModules.split(',').map((name) => name.trim())),
      };
      if (options.trainFactor === 'R') checkFrozenRank(base.config, lora);
      const nf4 = await shownQuantization(options.cache, context);
      const { fixed, availableBytes } = planOptions(options);
      const engine = await openLocalEngine(base, lora, {
        ...options,
        nf4,
        onOpened: shownEngine(context),
        plan: fixed,
        memory: {
          ...(availableBytes === undefined ? {} : { availableBytes }),
          use: trainingUse(options, base.config),
          onPlanned: (fitted, available) => planLines(fitted, base.config, available).forEach(context.error),
        },
      });
      try {
        const steps =
          options.maxSteps ?? Math.ceil((options.numTrainEpochs * examples.length) / (batchSize * accumulation));
        const meter = new Meter(context, options.json === true);
        const result = await trainLocally(engine, examples, {
          trained: options.trainFactor,
          init: options.trainFactor === 'R' ? 'frozen' : (options.init ?? 'kaiming'),
          steps,
          batchSize,
          accumulation,
          learningRate: options.learningRate,
          schedule: options.lrSchedulerType,
          warmupRatio: options.warmupRatio,
          weightDecay: options.weightDecay,
          maximumGradientNorm: options.maxGradNorm,
          optim: options.optim,
          dropoutSeed: options.seed * DROPOUT_SEEDS,
          ...(evaluation === undefined ? {} : { evaluation }),
          tokensPerBatch: TOKENS_PER_BATCH,
          random: seededRandom(options.seed),
          exampleName: rows.nameOf,
          onStep: (progress) => meter.show(progress),
        });
        context.progress('');
        const { loss, seconds, tokens, tokensPerSecond } = meter;
        await writeAdapter(options.out, engine, options.base);
        const files = [];
        for (const file of evaluationFiles)
          files.push(await evaluateFile({ base, engine, tokenizer }, file, options.maxLength, limits.format));
        if (options.json === true) {
          context.out(
            JSON.stringify({
              out: options.out,
              rows: examples.length,
              truncated: rows.truncated,
              leftOut: rows.leftOut.length,
              ...result,
              loss,
              seconds,
              tokens,
              tokensPerSecond,
              evaluations: meter.evaluations,
              files,
            }),
          );
          return;
        }
        context.out(
          `Trained on ${examples.length} rows for ${result.steps} steps in ${clockTime(seconds)}; ` +
            `last loss ${loss.toFixed(4)}, ${Math.round(tokensPerSecond)} tokens/s.`,
        );
        if (result.best !== undefined) {
          const { step, loss: bestLoss } = result.best;
          const ending = result.hasStoppedEarly ? 'Stopped early; kept' : 'Kept';
          context.out(`${ending} the adapter of step ${step}, whose loss on --eval was ${bestLoss.toFixed(4)}.`);
        }
        context.out(`Wrote ${options.out}.`);
        for (const one of files) context.out(evaluationLine(one));
      } finally {
        await engine.close();
      }
    });
}

/** Follows the steps of training and shows them. */
class Meter {
  /** Mean loss of recent steps, nats: the last ten or so count. */
  loss = 0;
  tokens = 0;
  readonly evaluations: { readonly step: number; readonly loss: number }[] = [];
  readonly #startedAt = performance.now();

  constructor(
    readonly context: CliContext,
    readonly isQuiet: boolean,
  ) {}

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  get tokensPerSecond(): number {
    return this.tokens / this.seconds;
  }

  show({ step, steps, loss, tokens, evaluationLoss }: TrainingProgress): void {
    this.loss = step === 1 ? loss : 0.9 * this.loss + 0.1 * loss;
    this.tokens += tokens;
    if (evaluationLoss !== undefined) this.evaluations.push({ step, loss: evaluationLoss });
    const line = trainingLine({
      step,
      steps,
      loss: this.loss,
      evaluationLoss: this.evaluations.at(-1)?.loss,
      tokensPerSecond: this.tokensPerSecond,
      secondsLeft: (this.seconds / step) * (steps - step),
    });
    // Where there is no terminal: a line after each tenth, and none beside the object of --json.
    const isTenth = Math.floor((TENTHS * step) / steps) > Math.floor((TENTHS * (step - 1)) / steps);
    this.context.progress(line, isTenth && !this.isQuiet);
  }
}
