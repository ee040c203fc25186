import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption } from './options.js';

export function identity(context: CliContext): Command {
  return new Command('identity')
    .description('the key that this organisation signs with, and how to change it')
    .addCommand(show(context), { isDefault: true })
    .addCommand(next(context))
    .addCommand(rotate(context));
}

function show(context: CliContext): Command {
  return new Command('show')
    .description('the public half of the key, and its fingerprint (the default)')
    .addOption(homeOption())
    .addOption(jsonOption())
    .action(async (options: { home?: string; json?: boolean }) => {
      const { homeFrom } = await import('../config/home.js');
      const { readIdentity } = await import('../storage/identity.js');
      const { publicKey } = await readIdentity(homeFrom(options.home, context.environment).identity);
      await print(context, publicKey, options.json === true);
    });
}

function next(context: CliContext): Command {
  return new Command('next')
    .description('make the key that is to follow, or show the one that was made; nothing uses it until `rotate`')
    .addOption(homeOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
To change the key of this organisation:
  1. fedlora identity next                          here; tell the operator the fingerprint by another channel
  2. fedlora federation rotate … and an invitation  the operator, who revokes the old key and certifies the new one
  3. fedlora identity rotate --token-file FILE      here, with the daemon stopped`,
    )
    .action(async (options: { home?: string; json?: boolean }) => {
      const { existsSync } = await import('node:fs');
      const { homeFrom, makeHome } = await import('../config/home.js');
      const { createIdentity, readIdentity } = await import('../storage/identity.js');
      const home = homeFrom(options.home, context.environment);
      await makeHome(home);
      const key = existsSync(home.nextIdentity)
        ? await readIdentity(home.nextIdentity)
        : await createIdentity(home.nextIdentity);
      await print(context, key.publicKey, options.json === true);
    });
}

function rotate(context: CliContext): Command {
  return new Command('rotate')
    .description('change to the next key: enrols it, and hands every privacy ledger over to it')
    .option(
      '--token-file <file>',
      'file with the invitation’s token (else FEDLORA_TOKEN, else it is asked for or read from a pipe)',
    )
    .option('--revocations <file>', 'where the old key is lost: the federation’s signed list that revokes it')
    .addOption(homeOption())
    .addHelpText('after', '\nIf it is interrupted, run it again with the same token: it goes on where it was.')
    .action(async (options: { tokenFile?: string; revocations?: string; home?: string }) => {
      const { readFile } = await import('node:fs/promises');
      const { homeFrom } = await import('../config/home.js');
      const { readToken } = await import('./read-token.js');
      const { rotateIdentity } = await import('./rotate-identity.js');
      const { FedloraError } = await import('@fedlora/shared');
      const file = options.revocations;
      const revocations =
        file === undefined
          ? undefined
          : await readFile(file, 'utf8').catch((cause: unknown) => {
              throw new FedloraError('config/missing-value', 'The list of revoked keys cannot be read.', {
                where: file,
                cause,
              });
            });
      const { publicKey, ledgers } = await rotateIdentity({
        home: homeFrom(options.home, context.environment),
        environment: context.environment,
        revocations,
        token: () => readToken(context, options.tokenFile),
      });
      await print(context, publicKey, false);
      context.out(`Handed over: ${ledgers.length === 0 ? 'no ledger was there' : ledgers.join(', ')}.`);
    });
}

async function print(context: CliContext, publicKey: string, json: boolean): Promise<void> {
  const { fingerprint } = await import('@fedlora/protocol');
  if (json) context.out(JSON.stringify({ identity: publicKey, fingerprint: fingerprint(publicKey) }));
  else {
    context.out(`identity     ${publicKey}`);
    context.out(`fingerprint  ${fingerprint(publicKey)}`);
  }
}
