import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption, publicKey } from './options.js';

const AFTER_HELP = `
Works offline, on any machine. The coordinator's key comes from --key, where it must have come by a channel that you trust, such as
\`fedlora admin versions key\` over TLS; on a machine that is enrolled it is the key that was pinned then. Without --expect any version that
this coordinator ever published passes, an old or a revoked one too.`;

interface VerifyOptions {
  readonly key?: string;
  readonly expect?: string;
  readonly home?: string;
  readonly json?: boolean;
}

export function adapter(context: CliContext): Command {
  return new Command('adapter')
    .description('for whoever uses an adapter: is it what the coordinator published?')
    .addCommand(verify(context));
}

function verify(context: CliContext): Command {
  return new Command('verify')
    .description('check the signature over all files of a version’s folder, and that there are no others')
    .argument('<dir>', 'folder with adapter_model.safetensors and manifest.json')
    .option('--key <hex>', 'public key of the coordinator', publicKey)
    .option('--expect <version>', 'the version that it must be')
    .addOption(homeOption())
    .addOption(jsonOption())
    .addHelpText('after', AFTER_HELP)
    .action(async (dir: string, options: VerifyOptions) => {
      const { fingerprint } = await import('@fedlora/protocol');
      const { verifyAdapter } = await import('../storage/verify-adapter.js');
      const key = options.key ?? (await pinnedKey(options.home, context));
      const { record, isAttested } = await verifyAdapter(dir, key, options.expect);
      if (options.json === true) {
        context.out(JSON.stringify({ ...record, isAttested, signedBy: key }, null, 2));
        return;
      }
      const { id, base, unit, epsilon, delta, completedRounds, runId } = record;
      context.out(`${id} is as its coordinator published it.`);
      context.out(`Base model  ${base.name} (files ${base.digest})`);
      context.out(`Trained     ${completedRounds} rounds of ${runId}`);
      context.out(
        unit === 'none'
          ? 'Privacy     none: no noise was added'
          : `Privacy     unit ${unit}, epsilon ${epsilon?.toFixed(3) ?? 'unknown'} at delta ${delta}`,
      );
      context.out(`Signed by   ${fingerprint(key)}${isAttested ? ', in-toto statement too' : ''}`);
    });
}

/** @throws FedloraError config/invalid: no key is given, and this machine has pinned none */
async function pinnedKey(home: string | undefined, context: CliContext): Promise<string> {
  const { homeFrom } = await import('../config/home.js');
  const { readPins } = await import('../storage/pins.js');
  const { FedloraError, hasCode } = await import('@fedlora/shared');
  try {
    return (await readPins(homeFrom(home, context.environment).pins)).coordinatorKey;
  } catch (cause) {
    if (!hasCode(cause, 'client/not-enrolled')) throw cause;
    throw new FedloraError('config/invalid', 'Give the coordinator’s public key with --key.', { cause });
  }
}
