import { Command } from 'commander';
import { givenFormats, type GivenFormatName } from '../data/row-formats.js';
import type { DeviceName, EngineName } from '../engine/open-engine.js';
import type { CliContext } from './context.js';
import type { FileEvaluation } from './local-model.js';
import {
  cacheOption,
  deviceOption,
  engineOption,
  jsonOption,
  quantizationOption,
  rowFormatOption,
  several,
  threadsOption,
  wholeNumber,
} from './options.js';

interface Options {
  readonly base: string;
  readonly adapter?: string;
  readonly data: readonly string[];
  readonly format: GivenFormatName;
  readonly quantization: 'none' | 'nf4';
  readonly maxLength?: number;
  readonly threads: number;
  readonly engine: EngineName;
  readonly device: DeviceName;
  readonly cache: boolean;
  readonly json?: boolean;
}

/** One file's result as a line. */
export function evaluationLine({ file, rows, accuracy, loss, leftOut }: FileEvaluation): string {
  const missing = leftOut === 0 ? '' : ` (${leftOut} left out)`;
  return `${file}: ${rows} rows${missing}, ${(100 * accuracy).toFixed(1)} % right, loss ${loss.toFixed(4)}`;
}

export function evaluateCommand(context: CliContext): Command {
  return new Command('eval')
    .description('measure a base model, with an adapter or without, on files of rows')
    .requiredOption('--base <dir>', 'folder of the base model')
    .option('--adapter <dir>', 'PEFT folder (default: the base model alone)')
    .requiredOption('--data <file>', 'file of rows; may be given several times', several)
    .addOption(rowFormatOption())
    .addOption(quantizationOption())
    .option('--max-length <n>', 'longest example in tokens', wholeNumber)
    .addOption(threadsOption())
    .addOption(engineOption())
    .addOption(deviceOption())
    .addOption(cacheOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
For each file: rows; accuracy, the share of rows whose whole answer is right under greedy decoding; loss, the mean over rows of the
mean cross-entropy over the answer's tokens, in nats.

Example:
  fedlora eval --base models/demo-base --adapter adapters/4f… --data held-out.jsonl --json`,
    )
    .action(async (options: Options) => {
      const { evaluateFile, openLocalModel } = await import('./local-model.js');
      const { shownEngine } = await import('./shown-engine.js');
      const { shownQuantization } = await import('./shown-quantization.js');
      const nf4 = await shownQuantization(options.cache, context);
      const model = await openLocalModel(options.base, options.adapter, {
        ...options,
        nf4,
        onOpened: shownEngine(context),
      });
      try {
        const files = [];
        for (const file of options.data) {
          context.progress(`evaluating ${file} ...`);
          const result = await evaluateFile(model, file, options.maxLength, givenFormats[options.format]);
          context.progress('');
          files.push(result);
          if (options.json !== true) {
            context.out(evaluationLine(result));
          }
        }
        if (options.json === true) context.out(JSON.stringify({ files }));
      } finally {
        await model.engine.close();
      }
    });
}
