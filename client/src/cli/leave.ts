import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption } from './options.js';

interface Options {
  readonly home?: string;
  readonly forget?: boolean;
  readonly yes?: boolean;
}

export function leave(context: CliContext): Command {
  return new Command('leave')
    .description('leave the federation: end the round in order, stop the client for good, tell the coordinator')
    .option('--forget', 'remove this organisation’s keys afterwards; asks first')
    .option('--yes', 'do not ask')
    .addOption(homeOption())
    .addHelpText(
      'after',
      `
A client that runs finishes or leaves its round and stops; none starts with this folder again. What was sent and counted stays in the
adapters that came of it. Keys, ledger, policy and settings stay here, unless --forget removes the keys; the ledger always stays.
Safe to run again: it does what is still to do, such as telling a coordinator that could not be reached.

Examples:
  fedlora leave
  fedlora leave --forget --home /var/lib/fedlora`,
    )
    .action(async (options: Options) => {
      const { homeFrom } = await import('../config/home.js');
      const { readPins } = await import('../storage/pins.js');
      const { leaveHome } = await import('./leave-home.js');
      const home = homeFrom(options.home, context.environment);
      const { organisation } = await readPins(home.pins);
      const forget = options.forget === true;
      if (forget && options.yes !== true) await confirm(context, organisation);
      const { at } = await leaveHome({
        home,
        environment: context.environment,
        forget,
        onWaiting: (holder) =>
          context.error(`Process ${holder} ends its part of the round and stops; this may take a minute.`),
      });
      context.out(`${organisation} has left the federation (${new Date(at).toLocaleString()}). The coordinator knows.`);
      context.out('');
      if (forget) context.out('  keys            removed; copies of yours, such as backups, are not');
      else context.out(`  keys            ${home.identity}`);
      context.out(`  privacy ledger  ${home.ledgers}`);
      context.out(`  settings        ${home.config}, ${home.policy}`);
      context.out('');
      context.out(
        'To come back: have the operator invite it under the same name, then `fedlora enrol` with this folder.',
      );
    });
}

async function confirm(context: CliContext, organisation: string): Promise<void> {
  const { FedloraError } = await import('@fedlora/shared');
  context.error('Without its key nobody can prove to be this organisation, or add to its privacy ledger, ever again.');
  const answer = await context.ask(`Type ${organisation} to remove the keys: `);
  if (answer?.trim() !== organisation) throw new FedloraError('client/not-confirmed');
}
