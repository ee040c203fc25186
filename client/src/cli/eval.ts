import { Command, Option } from 'commander';
import type { CliContext } from './context.js';
import { cacheOption, jsonOption, several, wholeNumber } from './options.js';

interface Options {
  readonly base: string;
  readonly adapter?: string;
  readonly data: readonly string[];
  readonly quantization: 'none' | 'nf4';
  readonly maxLength?: number;
  readonly threads: number;
  readonly cache: boolean;
  readonly json?: boolean;
}

export function evaluateCommand(context: CliContext): Command {
  return new Command('eval')
    .description('measure a base model, with an adapter or without, on files of rows')
    .requiredOption('--base <dir>', 'folder of the base model')
    .option('--adapter <dir>', 'PEFT folder (default: the base model alone)')
    .requiredOption('--data <file>', 'file of rows; may be given several times', several)
    .addOption(new Option('--quantization <kind>', 'how base weights are held').choices(['none', 'nf4']).default('nf4'))
    .option('--max-length <n>', 'longest example in tokens', wholeNumber)
    .option('--threads <n>', 'processor threads; 0 lets the engine choose', wholeNumber, 0)
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
      const { shownQuantization } = await import('./shown-quantization.js');
      const nf4 = await shownQuantization(options.cache, context);
      const model = await openLocalModel(options.base, options.adapter, { ...options, nf4 });
      try {
        const files = [];
        for (const file of options.data) {
          context.progress(`evaluating ${file} ...`);
          const result = await evaluateFile(model, file, options.maxLength);
          context.progress('');
          files.push(result);
          if (options.json !== true) {
            context.out(
              `${file}: ${result.rows} rows, ${(100 * result.accuracy).toFixed(1)} % right, loss ${result.loss.toFixed(4)}`,
            );
          }
        }
        if (options.json === true) context.out(JSON.stringify({ files }));
      } finally {
        await model.engine.close();
      }
    });
}
