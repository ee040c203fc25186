import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption, modelSizeOptions, type ModelSizeOptions } from './options.js';

interface Options extends ModelSizeOptions {
  readonly home?: string;
  readonly json?: boolean;
  readonly model?: string;
}

export function doctor(context: CliContext): Command {
  const command = new Command('doctor')
    .description('check settings, keys, ledger, base model, data, devices, disk and coordinator; say what to do')
    .addOption(homeOption())
    .addOption(jsonOption())
    .option('--model <path>', 'say instead how much memory it takes to train this base model, from its headers');
  for (const option of modelSizeOptions()) command.addOption(option);
  return command
    .addHelpText(
      'after',
      `
Options from --rank on belong to --model, and are those of \`fedlora train\`.

Example:
  fedlora doctor --model models/SmolLM2-135M --batch-size 4 --max-length 1024`,
    )
    .action(async (options: Options) => {
      if (options.model !== undefined) {
        const { diagnoseModel } = await import('./doctor-model.js');
        return diagnoseModel(options.model, options, context);
      }
      const { homeFrom } = await import('../config/home.js');
      const { checksOf, runChecks } = await import('../health/checks.js');
      const { errorEntry, explainError, runbookLink } = await import('@fedlora/shared');
      const results = await runChecks(checksOf(homeFrom(options.home, context.environment), context.environment));
      if (options.json === true) {
        context.out(
          JSON.stringify(
            results.map((result) =>
              result.outcome === 'failed'
                ? {
                    code: result.code,
                    outcome: result.outcome,
                    error: result.error.code,
                    cause: result.error.message,
                    remedy: errorEntry(result.error.code).remedy,
                    more: runbookLink(result.error.code),
                  }
                : result,
            ),
          ),
        );
      } else {
        for (const result of results) {
          if (result.outcome === 'ok') context.out(`  ok       ${result.title.padEnd(16)} ${indented(result.fact)}`);
          else if (result.outcome === 'skipped')
            context.out(`  skipped  ${result.title.padEnd(16)} first: ${result.because}`);
          else context.out(`  FAILED   ${result.title.padEnd(16)} ${indented(explainError(result.error))}`);
        }
      }
      const failed = results.find((result) => result.outcome === 'failed');
      // The first failure is a root cause: later ones are skipped when they follow from it.
      if (failed?.outcome === 'failed') throw failed.error;
    });
}

/** Further lines below the first. */
function indented(text: string): string {
  return text.replaceAll('\n', '\n' + ' '.repeat(28));
}
