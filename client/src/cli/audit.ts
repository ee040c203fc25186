import { Command } from 'commander';
import { auditMeasure } from './audit-measure.js';
import type { CliContext } from './context.js';
import { givenFormats, type GivenFormatName } from '../data/row-formats.js';
import { homeOption, jsonOption, rowFormatOption, several, wholeNumber } from './options.js';

interface CanariesOptions {
  readonly home?: string;
  readonly data?: readonly string[];
  readonly format?: GivenFormatName;
  readonly out: string;
  readonly count: number;
  readonly guesses?: number;
  readonly json?: boolean;
}

export function audit(context: CliContext): Command {
  return new Command('audit')
    .description('find out with canaries how much a released adapter tells about single rows')
    .addCommand(canaries(context))
    .addCommand(auditMeasure(context));
}

function canaries(context: CliContext): Command {
  return new Command('canaries')
    .description('make made-up rows, half of which, by fair coins, are to be learned from beside the real ones')
    .addOption(homeOption())
    .option('--data <file>', 'file of rows whose format they get (default: the configured ones)', several)
    .addOption(rowFormatOption().default(undefined, 'the configured one; auto with --data'))
    .requiredOption('--out <file>', 'where those that are to be learned from go, one JSON object a line (.jsonl)')
    .option('--count <n>', 'how many; the more, the smaller a leak that they can show', wholeNumber, 200)
    .option(
      '--guesses <n>',
      'how many will be guessed; the others are abstained from (default: half of them)',
      wholeNumber,
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Writes two files, over nothing: the canaries that are to be learned from, and beside it one ending in .record with all of them and what
their coins said. Keep the record to yourself until the audit is over; its seal may be told, and shows that nothing was changed.

The canaries are learned from in rounds if the owner says so in two places: canaries: "allowed" in policy.yaml, and the file as
dataset.canaries in config.yaml. Alone, give \`fedlora train\` the file as another --data.

Example:
  fedlora audit canaries --out canaries.jsonl
  fedlora audit measure --record canaries.jsonl.record --base models/SmolLM2-135M --adapter adapters/4f…`,
    )
    .action(async (options: CanariesOptions) => {
      const { MOST_CANARIES } = await import('@fedlora/protocol');
      const { systemRandom } = await import('@fedlora/protocol/node');
      const { FedloraError } = await import('@fedlora/shared');
      const { recordPathOf, sealCanaries, writeCanaries } = await import('../audit/canary-record.js');
      const { formatOfRows } = await import('../data/rows.js');
      const { count, out, guesses = Math.ceil(count / 2) } = options;
      if (count < 2 || count > MOST_CANARIES)
        throw new FedloraError('config/invalid', `--count must be from 2 to ${MOST_CANARIES}.`);
      if (guesses < 1 || guesses > count)
        throw new FedloraError('config/invalid', '--guesses must be from 1 to --count.');
      if (!out.endsWith('.jsonl'))
        throw new FedloraError('config/invalid', '--out must end in .jsonl, which is what is written.');
      const rows = await sources(options, context);
      const format = await formatOfRows(rows.files, givenFormats[rows.format]);
      const sealed = sealCanaries({ count, guesses, format }, systemRandom());
      await writeCanaries(out, sealed);
      const included = sealed.record.canaries.filter(({ isIncluded }) => isIncluded).length;
      if (options.json === true) {
        context.out(JSON.stringify({ out, record: recordPathOf(out), seal: sealed.seal, count, included, guesses }));
        return;
      }
      context.out(`Wrote ${included} of ${count} canaries to ${out}, and which they are to ${recordPathOf(out)}.`);
      context.out(`Seal    ${sealed.seal}`);
      context.out(`Guesses ${guesses}, of those that look most and least as if they were learned.`);
    });
}

/** What was given on the command line, or else the configured rows. */
async function sources(
  options: CanariesOptions,
  context: CliContext,
): Promise<{ files: readonly string[]; format: GivenFormatName }> {
  if (options.data !== undefined) return { files: options.data, format: options.format ?? 'auto' };
  const { homeFrom } = await import('../config/home.js');
  const { readConfig } = await import('../config/client-config.js');
  const { config } = await readConfig(homeFrom(options.home, context.environment).config, context.environment);
  const { files, format } = config.dataset;
  return { files, format: options.format ?? format };
}
