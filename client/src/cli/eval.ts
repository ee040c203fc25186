import { Command, Option } from 'commander';
import type { DeviceName, EngineName } from '../engine/open-engine.js';
import type { CliContext } from './context.js';
import type { FileEvaluation } from './local-model.js';
import {
  cacheOption,
  deviceOption,
  engineOption,
  formatOption,
  jsonOption,
  rowFormats,
  several,
  wholeNumber,
  type FormatName,
} from './options.js';

interface Options {
  readonly base: string;
  readonly adapter?: string;
  readonly data: readonly string[];
  readonly format: FormatName;
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
    .addOption(formatOption('how rows are written'))
    .addOption(new Option('--quantization <kind>', 'how base weights are held').choices(['none', 'nf4']).default('nf4'))
    .option('--max-length <n>', 'longest example in tokens', wholeNumber)
    .option('--threads <n>', 'processor threads; 0 lets the engine choose', wholeNumber, 0)
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
          const result = await evaluateFile(model, file, options.maxLength, rowFormats[options.format]);
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
