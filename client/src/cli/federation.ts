import { Command } from 'commander';
import type { CliContext } from './context.js';
import { publicKey } from './options.js';

export function federation(context: CliContext): Command {
  return new Command('federation')
    .description('for operators: the key, kept offline, that says who belongs to the federation')
    .addCommand(init(context))
    .addCommand(sign(context));
}

function init(context: CliContext): Command {
  return new Command('init')
    .description('make the federation’s key; prints the public half, which every client pins')
    .requiredOption('--out <dir>', 'folder for federation.key; keep it off the coordinator’s machine')
    .action(async (options: { out: string }) => {
      const { mkdir } = await import('node:fs/promises');
      const path = await import('node:path');
      const { createIdentity } = await import('../storage/identity.js');
      await mkdir(options.out, { recursive: true, mode: 0o700 });
      const key = await createIdentity(path.join(options.out, 'federation.key'));
      context.out(key.publicKey);
    });
}

function sign(context: CliContext): Command {
  return new Command('sign')
    .description('certify a member: prints the certificate to give to the coordinator')
    .requiredOption('--key <file>', 'federation.key')
    .requiredOption('--name <name>', 'the organisation’s name')
    .requiredOption(
      '--identity <hex>',
      'the organisation’s identity, after its fingerprint was compared by another channel',
      publicKey,
    )
    .action(async (options: { key: string; name: string; identity: string }) => {
      const { certifyMember } = await import('@fedlora/protocol');
      const { defaultProvider } = await import('@fedlora/protocol/node');
      const { readIdentity } = await import('../storage/identity.js');
      const key = await readIdentity(options.key);
      context.out(
        certifyMember(defaultProvider, key.seed.reveal(), { name: options.name, identity: options.identity }),
      );
    });
}
