import { Command } from 'commander';
import type { CliContext } from './context.js';
import { positiveNumber, wholeNumber } from './options.js';

interface Options {
  readonly base: string;
  readonly organisations: number;
  readonly rows: number;
  readonly rounds: number;
  readonly cap: number;
  readonly title: string;
}

/** Needs no coordinator: what it prints is a file to read, change, plan and start. */
export function draft(context: CliContext): Command {
  return new Command('draft')
    .description('print a run description to begin with, for a base model and so many rows')
    .requiredOption('--base <dir>', 'folder of the base model')
    .requiredOption('--organisations <n>', 'how many take part', wholeNumber)
    .requiredOption('--rows <n>', 'about how many rows each of them has', wholeNumber)
    .option('--rounds <n>', 'how many rounds', wholeNumber, 120)
    .option('--cap <epsilon>', 'most epsilon over all rounds; noise is added until they fit', positiveNumber, 8)
    .option('--title <text>', 'what the run is called', 'My first run')
    .addHelpText(
      'after',
      `
Example:
  fedlora admin runs draft --base models/SmolLM2-135M --organisations 3 --rows 2000 > run.json
  fedlora admin runs plan run.json`,
    )
    .action(async ({ base, organisations, rows, rounds, cap, title }: Options) => {
      const { draftRun } = await import('./run-draft.js');
      const rowsOfEach = Array<number>(organisations).fill(rows);
      const description = await draftRun({ title, base, rounds, rows: rowsOfEach, epsilonCap: cap });
      context.out(JSON.stringify(description, null, 2));
    });
}
