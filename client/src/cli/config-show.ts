import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption } from './options.js';

export function config(context: CliContext): Command {
  return new Command('config').description('settings of this machine').addCommand(show(context));
}

function show(context: CliContext): Command {
  return new Command('show')
    .description('every setting in effect, and whether it comes from the file, the environment or a default')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(async (options: { home?: string; json?: boolean }) => {
      const { homeFrom } = await import('../config/home.js');
      const { readConfig } = await import('../config/client-config.js');
      const home = homeFrom(options.home, context.environment);
      const { sources } = await readConfig(home.config, context.environment);
      if (options.json === true) {
        context.out(
          JSON.stringify(
            Object.fromEntries([...sources].map(([key, { value, source }]) => [key, { value: value ?? null, source }])),
          ),
        );
        return;
      }
      context.out(`# ${home.config}`);
      for (const [key, { value, source }] of sources)
        context.out(`${key.padEnd(24)} ${JSON.stringify(value ?? null).padEnd(40)} ${source}`);
    });
}
