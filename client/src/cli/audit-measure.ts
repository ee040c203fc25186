import { Command } from 'commander';
import { givenFormats, type GivenFormatName } from '../data/row-formats.js';
import type { DeviceName, EngineName } from '../engine/open-engine.js';
import type { CliContext } from './context.js';
import {
  cacheOption,
  deviceOption,
  engineOption,
  jsonOption,
  numberAtLeastZero,
  positiveNumber,
  quantizationOption,
  rowFormatOption,
  several,
  threadsOption,
  wholeNumber,
} from './options.js';

interface MeasureOptions {
  readonly record: string;
  readonly base: string;
  readonly adapter: string;
  readonly reference?: readonly string[];
  readonly members?: string;
  readonly others?: string;
  readonly format: GivenFormatName;
  readonly epsilon?: number;
  readonly delta?: number;
  readonly quantization: 'none' | 'nf4';
  readonly maxLength?: number;
  readonly threads: number;
  readonly engine: EngineName;
  readonly device: DeviceName;
  readonly cache: boolean;
  readonly json?: boolean;
}

export function auditMeasure(context: CliContext): Command {
  return new Command('measure')
    .description('guess by an adapter’s losses which canaries were learned from, and what that says of its epsilon')
    .requiredOption('--record <file>', 'the record that `fedlora audit canaries` wrote')
    .requiredOption('--base <dir>', 'folder of the base model')
    .requiredOption('--adapter <dir>', 'the adapter: a PEFT folder')
    .option(
      '--reference <dir>',
      'an adapter that learned from no canary, such as an earlier version; may be given several times',
      several,
    )
    .option('--members <file>', 'rows that were learned from: how well are they told from --others?')
    .option('--others <file>', 'rows of the same kind that were not learned from')
    .addOption(rowFormatOption())
    .option('--epsilon <e>', 'what is promised of one row, in the place of what manifest.json says', positiveNumber)
    .option('--delta <d>', 'the delta of --epsilon', numberAtLeastZero)
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
The lower bound holds in 19 of 20 audits (Steinke, Nasr, Jagielski 2023). Above the promised epsilon the promise is contradicted, and the
command ends with code 21. Below it nothing is shown: an audit finds what these canaries betray, and no more.

Nothing leaves this machine. \`fedlora admin versions audit\` sends counts of guesses to a coordinator, and nothing else: for the release gate.

Example:
  fedlora audit measure --record canaries.jsonl.record --base models/SmolLM2-135M --adapter adapters/4f… --json > audit.json`,
    )
    .action(async (options: MeasureOptions) => {
      const { FedloraError } = await import('@fedlora/shared');
      const { auditAdapter, auditLines } = await import('./audit-report.js');
      const { shownEngine } = await import('./shown-engine.js');
      const { shownQuantization } = await import('./shown-quantization.js');
      if ((options.epsilon === undefined) !== (options.delta === undefined))
        throw new FedloraError('config/missing-value', '--epsilon and --delta go together.');
      if ((options.members === undefined) !== (options.others === undefined))
        throw new FedloraError('config/missing-value', '--members and --others go together.');
      const { epsilon, delta, members, others } = options;
      const report = await auditAdapter({
        ...options,
        references: options.reference ?? [],
        promise: epsilon === undefined || delta === undefined ? undefined : { epsilon, delta },
        rows: members === undefined || others === undefined ? undefined : { members, others },
        rowFormat: givenFormats[options.format],
        engineOptions: {
          quantization: options.quantization,
          threads: options.threads,
          engine: options.engine,
          device: options.device,
          nf4: await shownQuantization(options.cache, context),
          onOpened: shownEngine(context),
        },
        onProgress: (line) => context.progress(line),
      });
      context.progress('');
      if (options.json === true) context.out(JSON.stringify(report));
      else for (const line of auditLines(report)) context.out(line);
      if (report.verdict === 'contradicted') throw new FedloraError('adapter/promise-contradicted');
    });
}
