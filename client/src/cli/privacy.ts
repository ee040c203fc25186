import type { EpsilonOf } from '@fedlora/protocol';
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

/** The accountants that a command offers. */
type Accountant = 'rdp' | 'pld';

function accountantOption(): Option {
  return new Option('--accountant <name>', 'how steps are composed: rdp, or the tighter and slower pld')
    .choices(['rdp', 'pld'])
    .default('rdp');
}

interface EpsilonOptions {
  readonly noiseMultiplier: number;
  readonly samplingRate: number;
  readonly steps: number;
  readonly delta: number;
  readonly accountant: Accountant;
  readonly json?: boolean;
}

function epsilon(context: CliContext): Command {
  return new Command('epsilon')
    .description('epsilon of a number of noisy steps')
    .requiredOption('--noise-multiplier <z>', 'standard deviation of the noise over the sensitivity', positiveNumber)
    .option('--sampling-rate <q>', 'probability with which a record takes part in a step', positiveNumber, 1)
    .requiredOption('--steps <n>', 'number of steps (rounds)', wholeNumber)
    .requiredOption('--delta <d>', 'delta', positiveNumber)
    .addOption(accountantOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Example:
  fedlora privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.01 --steps 1000 --delta 1e-5 --json`,
    )
    .action(async (options: EpsilonOptions) => {
      const { epsilonFor, epsilonForPld } = await import('@fedlora/protocol');
      const { noiseMultiplier, samplingRate, steps, delta } = options;
      const events = [{ noiseMultiplier, samplingRate, steps }];
      if (options.accountant === 'pld') {
        const tight = epsilonForPld(events, delta);
        context.out(
          options.json === true
            ? JSON.stringify({ epsilon: tight, accountant: 'pld' })
            : `epsilon ${tight.toPrecision(6)} at delta ${delta} (PLD)`,
        );
        return;
      }
      const result = epsilonFor(events, delta);
      if (options.json === true)
        context.out(JSON.stringify({ epsilon: result.epsilon, accountant: 'rdp', order: result.order }));
      else context.out(`epsilon ${result.epsilon.toPrecision(6)} at delta ${delta} (RDP order ${result.order})`);
    });
}

interface CalibrateOptions {
  readonly epsilon: number;
  readonly delta: number;
  readonly samplingRate: number;
  readonly steps?: number;
  readonly noiseMultiplier?: number;
  readonly accountant: Accountant;
  readonly json?: boolean;
}

/** Relative precision of the noise that the slow accountant is asked for; it takes a second or so a try. */
const PLD_PRECISION = 1e-4;

function calibrate(context: CliContext): Command {
  return new Command('calibrate')
    .description(
      'the least noise multiplier for a number of steps within epsilon, or the most steps for a noise multiplier',
    )
    .requiredOption('--epsilon <e>', 'epsilon to keep', positiveNumber)
    .requiredOption('--delta <d>', 'delta', positiveNumber)
    .option('--sampling-rate <q>', 'probability with which a record takes part in a step', positiveNumber, 1)
    .addOption(
      new Option('--steps <n>', 'number of steps (rounds): gives the noise')
        .argParser(wholeNumber)
        .conflicts('noiseMultiplier'),
    )
    .addOption(
      new Option('--noise-multiplier <z>', 'noise over sensitivity: gives the number of steps').argParser(
        positiveNumber,
      ),
    )
    .addOption(accountantOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  fedlora privacy calibrate --epsilon 3 --delta 1e-5 --sampling-rate 0.01 --steps 1000
  fedlora privacy calibrate --epsilon 3 --delta 1e-5 --sampling-rate 0.01 --noise-multiplier 1.1 --accountant pld`,
    )
    .action(async (options: CalibrateOptions) => {
      const { epsilonFor, epsilonForPld, noiseMultiplierFor, stepsWithinBudget } = await import('@fedlora/protocol');
      const { samplingRate, delta, accountant } = options;
      const epsilonOf: EpsilonOf =
        accountant === 'pld' ? epsilonForPld : (events, at) => epsilonFor(events, at).epsilon;
      if (options.noiseMultiplier === undefined && options.steps === undefined) {
        const { FedloraError } = await import('@fedlora/shared');
        throw new FedloraError(
          'config/missing-value',
          'Give --steps to get the noise, or --noise-multiplier to get the steps.',
        );
      }
      const precision = accountant === 'pld' ? PLD_PRECISION : undefined;
      const noiseMultiplier =
        options.noiseMultiplier ??
        noiseMultiplierFor(
          { epsilon: options.epsilon, delta, samplingRate, steps: options.steps ?? 0 },
          precision,
          epsilonOf,
        );
      const steps =
        options.steps ??
        stepsWithinBudget({ epsilon: options.epsilon, delta, spent: [], noiseMultiplier, samplingRate }, epsilonOf);
      // So many steps that none is the last: they cost nothing that can be counted.
      const reached = Number.isFinite(steps) ? epsilonOf([{ noiseMultiplier, samplingRate, steps }], delta) : 0;
      if (options.json === true)
        context.out(
          JSON.stringify({
            noiseMultiplier,
            steps: Number.isFinite(steps) ? steps : null,
            epsilon: reached,
            accountant,
          }),
        );
      else
        context.out(
          `noise multiplier ${noiseMultiplier.toPrecision(6)} for ${steps} steps gives epsilon ${reached.toPrecision(6)} at delta ${delta} (${accountant.toUpperCase()})`,
        );
    });
}

function verify(context: CliContext): Command {
  return new Command('verify')
    .description('check every line of the ledger, offline: place, hash chain, signature, changes of key')
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
      const { keyChanges, dataset } = report;
      const entries = report.entries.filter((entry) => entry.dataset === dataset);
      if (options.json === true)
        context.out(JSON.stringify({ ok: true, dataset, entries: entries.length, keyChanges: keyChanges.length }));
      else
        context.out(
          `The ledger of "${dataset}" is whole: ${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}, chained and signed by ${keyChanges.length === 0 ? 'this identity' : 'this identity and the keys before it'}.`,
        );
    });
}
