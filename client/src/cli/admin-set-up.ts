/** The first thing an operator does, without a browser: uses a set-up link, and makes an API token for further commands. */

import { Command } from 'commander';
import type { CliContext } from './context.js';

export function setUp(context: CliContext): Command {
  return new Command('set-up')
    .description('set a password with the link that the coordinator’s first start printed, and make an API token')
    .argument('<link>', 'such as http://127.0.0.1:7400/#setup=…')
    .requiredOption('--token-file <file>', 'new file for the token, which may do everything')
    .option('--user <name>', 'whom the link is for', 'admin')
    .addHelpText(
      'after',
      `
The password is asked for, or read from a pipe; the same signs in to the dashboard.

Example:
  fedlora admin set-up http://127.0.0.1:7400/#setup=… --token-file operator.token
  export FEDLORA_COORDINATOR=http://127.0.0.1:7400 FEDLORA_API_TOKEN=$(cat operator.token)`,
    )
    .action(async (link: string, options: { tokenFile: string; user: string }) => {
      const { becomeOperator } = await import('./become-operator.js');
      const password = (await context.askSecret(`New password of ${options.user}: `)) ?? (await context.readInput());
      await becomeOperator({ link, user: options.user, password: password.trim(), tokenFile: options.tokenFile });
      context.out(`${options.user} has a password. The API token is in ${options.tokenFile}.`);
    });
}
