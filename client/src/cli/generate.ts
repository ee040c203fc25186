import { Command, Option } from 'commander';
import type { CliContext } from './context.js';
import { cacheOption, jsonOption, wholeNumber } from './options.js';

interface Options {
  readonly base: string;
  readonly adapter?: string;
  readonly instruction: string;
  readonly input: string;
  readonly maxTokens: number;
  readonly quantization: 'none' | 'nf4';
  readonly threads: number;
  readonly cache: boolean;
  readonly json?: boolean;
}

export function generate(context: CliContext): Command {
  return new Command('generate')
    .description('answer one instruction, taking the likeliest token each time')
    .requiredOption('--base <dir>', 'folder of the base model')
    .option('--adapter <dir>', 'PEFT folder (default: the base model alone)')
    .requiredOption('--instruction <text>', 'what to do')
    .option('--input <text>', 'what to do it with', '')
    .option('--max-tokens <n>', 'longest answer', wholeNumber, 128)
    .addOption(new Option('--quantization <kind>', 'how base weights are held').choices(['none', 'nf4']).default('nf4'))
    .option('--threads <n>', 'processor threads; 0 lets the engine choose', wholeNumber, 0)
    .addOption(cacheOption())
    .addOption(jsonOption())
    .action(async (options: Options) => {
      const { generateText, openLocalModel } = await import('./local-model.js');
      const { shownQuantization } = await import('./shown-quantization.js');
      const nf4 = await shownQuantization(options.cache, context);
      const model = await openLocalModel(options.base, options.adapter, { ...options, nf4 });
      try {
        const text = await generateText(model, options, options.maxTokens);
        context.out(options.json === true ? JSON.stringify({ text }) : text);
      } finally {
        await model.engine.close();
      }
    });
}
