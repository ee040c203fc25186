import { Command } from 'commander';
import { rowFormats, type FormatName } from '../data/row-formats.js';
import type { DeviceName, EngineName } from '../engine/open-engine.js';
import type { CliContext } from './context.js';
import {
  cacheOption,
  deviceOption,
  engineOption,
  jsonOption,
  numberAtLeastZero,
  quantizationOption,
  questionFormatOption,
  threadsOption,
  wholeNumber,
} from './options.js';

interface Options {
  readonly base: string;
  readonly adapter?: string;
  readonly instruction: string;
  readonly input: string;
  readonly system: string;
  readonly format: FormatName;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly quantization: 'none' | 'nf4';
  readonly threads: number;
  readonly engine: EngineName;
  readonly device: DeviceName;
  readonly cache: boolean;
  readonly json?: boolean;
}

export function generate(context: CliContext): Command {
  return new Command('generate')
    .description('answer one instruction: the likeliest token each time, or drawn with --temperature')
    .requiredOption('--base <dir>', 'folder of the base model')
    .option('--adapter <dir>', 'PEFT folder (default: the base model alone)')
    .requiredOption('--instruction <text>', 'what to do')
    .option('--input <text>', 'what to do it with', '')
    .option('--system <text>', 'with --format chat, what the model is told first', '')
    .addOption(questionFormatOption('how the instruction is put to the model; text continues it as it stands'))
    .option('--max-tokens, --max-new-tokens <n>', 'longest answer', wholeNumber, 128)
    .option(
      '--temperature <x>',
      '0 for the likeliest token; more draws less likely ones more often',
      numberAtLeastZero,
      0,
    )
    .option('--top-k <n>', 'draw among this many of the likeliest; 0 for all', wholeNumber, 0)
    .option('--top-p <x>', 'draw among the fewest likeliest with this probability together', numberAtLeastZero, 1)
    .option('--seed <n>', 'seed of what is drawn', wholeNumber, 0)
    .addOption(quantizationOption())
    .addOption(threadsOption())
    .addOption(engineOption())
    .addOption(deviceOption())
    .addOption(cacheOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The answer appears as it is made; tokens per second go to the error output. A large model answers faster with --quantization none,
if its weights fit into memory: in 4 bits they are unpacked for every token.

Example:
  fedlora generate --base models/demo-base --adapter my-adapter --instruction "Which desk?" --input "I lost my card."`,
    )
    .action(async (options: Options) => {
      const { seededRandom } = await import('@fedlora/protocol/node');
      const { answerQuestion } = await import('./answer.js');
      const { openLocalModel } = await import('./local-model.js');
      const { shownEngine } = await import('./shown-engine.js');
      const { shownQuantization } = await import('./shown-quantization.js');

      const { temperature, topK: top_k, topP: top_p } = options;
      const sampling = { temperature, top_k, top_p, random: seededRandom(options.seed) };
      const nf4 = await shownQuantization(options.cache, context);
      const model = await openLocalModel(options.base, options.adapter, {
        ...options,
        nf4,
        onOpened: shownEngine(context),
      });
      try {
        const answer = await answerQuestion(
          model,
          { ...options, format: rowFormats[options.format] },
          { maximumTokens: options.maxNewTokens, ...(temperature === 0 ? {} : { sampling }) },
          options.json === true ? undefined : context.write,
        );
        if (options.json === true) {
          context.out(JSON.stringify(answer));
          return;
        }
        context.out('');
        context.error(
          `${answer.tokens} tokens after ${answer.promptTokens}, ${answer.tokensPerSecond.toFixed(1)} tokens/s`,
        );
      } finally {
        await model.engine.close();
      }
    });
}
