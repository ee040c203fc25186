import { Command } from 'commander';
import type { CliContext } from './context.js';
import { publicKey, several } from './options.js';

export function federation(context: CliContext): Command {
  return new Command('federation')
    .description('for operators: the key, kept offline, that says who belongs to the federation')
    .addCommand(init(context))
    .addCommand(sign(context))
    .addCommand(revoke(context))
    .addCommand(rotate(context));
}

function init(context: CliContext): Command {
  return new Command('init')
    .description('make the federation’s key; prints the public half, which every client pins')
    .requiredOption(
      '--out <dir>',
      'folder for federation.key, to be kept off the coordinator’s machine, and federation.pub',
    )
    .action(async (options: { out: string }) => {
      const { mkdir } = await import('node:fs/promises');
      const path = await import('node:path');
      const { writeAtomically } = await import('../storage/atomic-file.js');
      const { createIdentity } = await import('../storage/identity.js');
      await mkdir(options.out, { recursive: true, mode: 0o700 });
      const key = await createIdentity(path.join(options.out, 'federation.key'));
      await writeAtomically(path.join(options.out, 'federation.pub'), `${key.publicKey}\n`);
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
      const { certifyMember, pureProvider } = await import('@fedlora/protocol');
      const { readIdentity } = await import('../storage/identity.js');
      const key = await readIdentity(options.key);
      context.out(certifyMember(pureProvider, key.seed.reveal(), { name: options.name, identity: options.identity }));
    });
}

function revoke(context: CliContext): Command {
  return new Command('revoke')
    .description('take keys back: writes the next list of revoked keys, to give to the coordinator')
    .requiredOption('--key <file>', 'federation.key')
    .requiredOption(
      '--identity <hex>',
      'an organisation’s identity; may be given several times',
      (text, before: readonly string[] | undefined) => several(publicKey(text), before),
    )
    .requiredOption('--list <file>', 'the list; made when it is not there, else followed by the next epoch')
    .addHelpText('after', AFTER_REVOKE)
    .action(async (options: { key: string; identity: readonly string[]; list: string }) => {
      const epoch = await writeNextList(options.key, options.list, options.identity);
      context.out(`${options.list}: epoch ${epoch}`);
    });
}

function rotate(context: CliContext): Command {
  return new Command('rotate')
    .description('replace a member’s key: prints the certificate of the new one and revokes the old one')
    .requiredOption('--key <file>', 'federation.key')
    .requiredOption('--name <name>', 'the organisation’s name')
    .requiredOption('--old <hex>', 'the identity that is replaced', publicKey)
    .requiredOption(
      '--identity <hex>',
      'the new identity, after its fingerprint was compared by another channel',
      publicKey,
    )
    .requiredOption('--list <file>', 'the list of revoked keys, as for revoke')
    .addHelpText('after', AFTER_REVOKE)
    .action(async (options: { key: string; name: string; old: string; identity: string; list: string }) => {
      if (options.old === options.identity) {
        const { FedloraError } = await import('@fedlora/shared');
        throw new FedloraError('config/invalid', 'The new identity is the old one.', { where: '--identity' });
      }
      const { certifyMember, pureProvider } = await import('@fedlora/protocol');
      const { readIdentity } = await import('../storage/identity.js');
      const key = await readIdentity(options.key);
      const member = { name: options.name, identity: options.identity };
      const certificate = certifyMember(pureProvider, key.seed.reveal(), member);
      await writeNextList(options.key, options.list, [options.old]);
      context.out(certificate);
    });
}

const AFTER_REVOKE = `
Keep the list beside federation.key: the next one must contain it. Give it to the coordinator with
\`fedlora admin organisations revoke LIST\`, or on the dashboard’s page of organisations.
Every client then refuses runs with a revoked key, from the next round on. Start a new run without it.`;

/** Writes the list that follows the one in a file; returns its epoch. @throws ProtocolError roster/revocations-invalid */
async function writeNextList(keyFile: string, listFile: string, identities: readonly string[]): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const { nextRevocations, readRevocations, signRevocations, pureProvider } = await import('@fedlora/protocol');
  const { writeAtomically } = await import('../storage/atomic-file.js');
  const { readIdentity } = await import('../storage/identity.js');
  const key = await readIdentity(keyFile);
  const before = await readFile(listFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  const previous = before === undefined ? undefined : readRevocations(pureProvider, key.publicKey, before);
  const next = nextRevocations(previous, identities);
  await writeAtomically(listFile, signRevocations(pureProvider, key.seed.reveal(), next), { mode: 0o644 });
  return next.epoch;
}
