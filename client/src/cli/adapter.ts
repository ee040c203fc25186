import { Command } from 'commander';
import { convert } from './adapter-convert.js';
import { coordinatorKey, verifyOptions, type VerifyOptions } from './adapter-key.js';
import type { CliContext } from './context.js';
import { jsonOption } from './options.js';

const AFTER_HELP = `
Works offline, on any machine. The coordinator's key comes from --key, where it must have come by a channel that you trust, such as
\`fedlora admin versions key\` over TLS; on a machine that is enrolled it is the key that was pinned then. Without --expect any version that
this coordinator ever published passes, an old or a revoked one too.`;

export function adapter(context: CliContext): Command {
  return new Command('adapter')
    .description('for whoever uses an adapter: check that it is what the coordinator published, and convert it')
    .addCommand(verify(context))
    .addCommand(convert(context));
}

function verify(context: CliContext): Command {
  return verifyOptions(new Command('verify'))
    .description('check the signature over all files of a version’s folder, and that there are no others')
    .argument('<dir>', 'folder with adapter_model.safetensors and manifest.json')
    .addOption(jsonOption())
    .addHelpText('after', AFTER_HELP)
    .action(async (dir: string, options: VerifyOptions & { readonly json?: boolean }) => {
      const { fingerprint } = await import('@fedlora/protocol');
      const { verifyAdapter } = await import('../storage/verify-adapter.js');
      const key = await coordinatorKey(options, context);
      const { record, isAttested } = await verifyAdapter(dir, key, options.expect);
      if (options.json === true) {
        context.out(JSON.stringify({ ...record, isAttested, signedBy: key }, null, 2));
        return;
      }
      const { id, base, unit, epsilon, delta, completedRounds, runId } = record;
      context.out(`${id} is as its coordinator published it.`);
      context.out(`Base model  ${base.name} (files ${base.digest})`);
      context.out(`Trained     ${completedRounds} ${completedRounds === 1 ? 'round' : 'rounds'} of ${runId}`);
      context.out(
        unit === 'none'
          ? 'Privacy     none: no noise was added'
          : `Privacy     unit ${unit}, epsilon ${epsilon?.toFixed(3) ?? 'unknown'} at delta ${delta}`,
      );
      context.out(`Signed by   ${fingerprint(key)}${isAttested ? ', in-toto statement too' : ''}`);
    });
}
