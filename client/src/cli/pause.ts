import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption } from './options.js';

export function pause(context: CliContext): Command {
  return new Command('pause')
    .description('join no more rounds until `fedlora resume`; a round that goes on is finished')
    .addOption(homeOption())
    .action(async (options: { home?: string }) => {
      const { homeFrom } = await import('../config/home.js');
      const { writeAtomically } = await import('../storage/atomic-file.js');
      await writeAtomically(
        homeFrom(options.home, context.environment).paused,
        'Remove this file, or run `fedlora resume`, to go on.\n',
      );
      context.out('Paused. `fedlora resume` goes on.');
    });
}

export function resume(context: CliContext): Command {
  return new Command('resume')
    .description('join rounds again')
    .addOption(homeOption())
    .action(async (options: { home?: string }) => {
      const { homeFrom } = await import('../config/home.js');
      const { rm } = await import('node:fs/promises');
      await rm(homeFrom(options.home, context.environment).paused, { force: true });
      context.out('Resumed.');
    });
}
