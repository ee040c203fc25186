import { Command } from 'commander';
import { givenFormats, type GivenFormatName } from '../data/row-formats.js';
import type { CliContext } from './context.js';
import { anonymise } from './data-anonymise.js';
import { homeOption, jsonOption, rowFormatOption, several, wholeNumber } from './options.js';

interface Options {
  readonly home?: string;
  readonly data?: readonly string[];
  readonly base?: string;
  readonly format?: GivenFormatName;
  readonly maxLength: number;
  readonly show?: number;
  readonly json?: boolean;
}

export function data(context: CliContext): Command {
  return new Command('data').description('the owner’s rows').addCommand(check(context)).addCommand(anonymise(context));
}

function check(context: CliContext): Command {
  return new Command('check')
    .description(
      'which rows can be used, which cannot and why; how long they are, which repeat, and what personal data they have',
    )
    .addOption(homeOption())
    .option('--data <file>', 'file of rows; may be given several times (default: the configured ones)', several)
    .option('--base <dir>', 'base model whose tokenizer counts (default: the configured one)')
    .addOption(rowFormatOption().default(undefined, 'the configured one; auto with --data'))
    .option('--max-length <n>', 'longest example in tokens', wholeNumber, 1024)
    .option(
      '--show <n>',
      'show up to n findings of each kind, with what they are; else no word of any row',
      wholeNumber,
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExample:\n  fedlora data check --data rows.jsonl --base models/SmolLM2-135M --max-length 512',
    )
    .action(async (options: Options) => {
      const { checkData, printDataReport } = await import('./data-report.js');
      const { FedloraError } = await import('@fedlora/shared');
      const { base, files, format } = await sources(options, context);
      if (options.show !== undefined)
        context.error(
          'warning: what follows shows personal data of your rows; mind who looks at this screen, and logs of it.',
        );
      const report = await checkData(files, base, givenFormats[format], options.maxLength, options.show);
      if (options.json === true) context.out(JSON.stringify(report));
      else for (const line of printDataReport(report)) context.out(line);
      if (report.usable === 0) throw new FedloraError('data/empty');
    });
}

/** What was given on the command line, completed from the configuration. */
async function sources(
  options: Options,
  context: CliContext,
): Promise<{ base: string | undefined; files: readonly string[]; format: GivenFormatName }> {
  if (options.data !== undefined) return { base: options.base, files: options.data, format: options.format ?? 'auto' };
  const { homeFrom } = await import('../config/home.js');
  const { readConfig } = await import('../config/client-config.js');
  const { config } = await readConfig(homeFrom(options.home, context.environment).config, context.environment);
  const { files, format } = config.dataset;
  return { base: options.base ?? config.base, files, format: options.format ?? format };
}
