import { Command, Option } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption, numberAtLeastZero, positiveNumber, wholeNumber } from './options.js';

export function privacy(context: CliContext): Command {
  return new Command('privacy')
    .description('what was spent, round by round, and what is left; and the accountant by itself')
    .addCommand(show(context), { isDefault: true })
    .addCommand(epsilon(context))
    .addCommand(calibrate(context))
    .addCommand(verify(context));
}

function show(context: CliContext): Command {
  return new Command('show')
    .description('the privacy ledger of the data set (the default)')
    .addOption(homeOption())
    .option('--dataset <name>', 'data set (default: the configured one)')
    .addOption(jsonOption())
    .action(async (options: { home?: string; dataset?: string; json?: boolean }) => {
      const { ledgerReport, printLedger } = await import('./privacy-report.js');
      const { homeFrom } = await import('../config/home.js');
      const report = await ledgerReport(
        homeFrom(options.home, context.environment),
        options.dataset,
        context.environment,
      );
      if (options.json === true) context.out(JSON.stringify(report));
      else for (const line of printLedger(report)) context.out(line);
    });
}

function epsilon(context: CliContext): Command {
  return new Command('epsilon')
    .description('epsilon of a number of noisy steps')
    .requiredOption('--noise-multiplier <z>', 'standard deviation of the noise over the sensitivity', positiveNumber)
    .option('--sampling-rate <q>', 'probability with which a record takes part in a step', positiveNumber, 1)
    .requiredOption('--steps <n>', 'number of steps (rounds)', wholeNumber)
    .requiredOption('--delta <d>', 'delta', positiveNumber)
    .addOption(
      new Option('--accountant <name>', 'how steps are composed: rdp, or the tighter and slower pld')
        .choices(['rdp', 'pld'])
        .default('rdp'),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Example:
  fedlora privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.01 --steps 1000 --delta 1e-5 --json`,
    )
    .action(
      async (options: {
        noiseMultiplier: number;
        samplingRate: number;
        steps: number;
        delta: number;
        accountant: 'rdp' | 'pld';
        json?: boolean;
      }) => {
        const { epsilonFor, epsilonForPld } = await import('@fedlora/protocol');
        const { noiseMultiplier, samplingRate, steps, delta } = options;
        const events = [{ noiseMultiplier, samplingRate, steps }];
        if (options.accountant === 'pld') {
          const tight = epsilonForPld(events, delta);
          context.out(
            options.json === true
              ? JSON.stringify({ epsilon: tight })
              : `epsilon ${tight.toPrecision(6)} at delta ${delta} (PLD)`,
          );
          return;
        }
        const result = epsilonFor(events, delta);
        if (options.json === true) context.out(JSON.stringify({ epsilon: result.epsilon, order: result.order }));
        else context.out(`epsilon ${result.epsilon.toPrecision(6)} at delta ${delta} (RDP order ${result.order})`);
      },
    );
}

function calibrate(context: CliContext): Command {
  return new Command('calibrate')
    .description('the least noise multiplier that keeps a number of steps within epsilon')
    .requiredOption('--epsilon <e>', 'epsilon to keep', positiveNumber)
    .requiredOption('--delta <d>', 'delta', positiveNumber)
    .option('--sampling-rate <q>', 'probability with which a record takes part in a step', positiveNumber, 1)
    .requiredOption('--steps <n>', 'number of steps (rounds)', wholeNumber)
    .addOption(jsonOption())
    .action(
      async (options: { epsilon: number; delta: number; samplingRate: number; steps: number; json?: boolean }) => {
        const { epsilonFor, noiseMultiplierFor } = await import('@fedlora/protocol');
        const { samplingRate, steps, delta } = options;
        const noiseMultiplier = noiseMultiplierFor({ epsilon: options.epsilon, delta, samplingRate, steps });
        const reached = epsilonFor([{ noiseMultiplier, samplingRate, steps }], delta).epsilon;
        if (options.json === true) context.out(JSON.stringify({ noiseMultiplier, epsilon: reached }));
        else
          context.out(
            `noise multiplier ${noiseMultiplier.toPrecision(6)} gives epsilon ${reached.toPrecision(6)} at delta ${delta}`,
          );
      },
    );
}

function verify(context: CliContext): Command {
  return new Command('verify')
    .description('check every line of the ledger: place, hash chain, signature')
    .addOption(homeOption())
    .option('--dataset <name>', 'data set (default: the configured one)')
    .addOption(jsonOption())
    .addOption(new Option('--at-most <epsilon>', 'fail when more than this was spent').argParser(numberAtLeastZero))
    .action(async (options: { home?: string; dataset?: string; json?: boolean; atMost?: number }) => {
      const { ledgerReport } = await import('./privacy-report.js');
      const { homeFrom } = await import('../config/home.js');
      const report = await ledgerReport(
        homeFrom(options.home, context.environment),
        options.dataset,
        context.environment,
      );
      if (options.atMost !== undefined && !(report.epsilon !== null && report.epsilon <= options.atMost)) {
        const { FedloraError } = await import('@fedlora/shared');
        throw new FedloraError(
          'policy/epsilon-cap',
          `The data set has spent ${report.epsilon ?? 'an unbounded epsilon'}, more than ${options.atMost}.`,
        );
      }
      const { entries, dataset } = report;
      if (options.json === true) context.out(JSON.stringify({ ok: true, dataset, entries: entries.length }));
      else
        context.out(
          `The ledger of "${dataset}" is whole: ${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}, chained and signed by this identity.`,
        );
    });
}
