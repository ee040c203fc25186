import { Command } from 'commander';
import { convert } from './adapter-convert.js';
import { exportGguf } from './adapter-export.js';
import { originOf, privacyOf } from './adapter-facts.js';
import { coordinatorKey, verifyOptions, type VerifyOptions } from './adapter-key.js';
import { merge } from './adapter-merge.js';
import { mergeIntoBase } from './adapter-merge-into-base.js';
import type { CliContext } from './context.js';
import { jsonOption } from './options.js';
import type { Verified } from '../storage/verify-adapter.js';

const AFTER_HELP = `
Works offline, on any machine. The coordinator's key comes from --key, where it must have come by a channel that you trust, such as
\`fedlora admin versions key\` over TLS; on a machine that is enrolled it is the key that was pinned then. Without --expect any version that
this coordinator ever published passes, an old or a revoked one too.

A merge that \`fedlora adapter merge\` wrote is signed by nobody: give the folders that it was made of with --parents. They are checked
and merged again, and the result must be this folder, byte by byte.`;

export function adapter(context: CliContext): Command {
  return new Command('adapter')
    .description(
      'for whoever uses an adapter: check that it is what the coordinator published, convert and export it, merge several',
    )
    .addCommand(verify(context))
    .addCommand(convert(context))
    .addCommand(exportGguf(context))
    .addCommand(merge(context))
    .addCommand(mergeIntoBase(context));
}

function verify(context: CliContext): Command {
  return verifyOptions(new Command('verify'))
    .description('check the signature over all files of a version’s folder, and that there are no others')
    .argument('<dir>', 'folder with adapter_model.safetensors and manifest.json')
    .option('--parents <dirs...>', 'folders of the versions that it was merged from, to merge them again')
    .addOption(jsonOption())
    .addHelpText('after', AFTER_HELP)
    .action(async (dir: string, options: CheckOptions) => {
      const { fingerprint } = await import('@fedlora/protocol');
      const key = await coordinatorKey(options, context);
      const { record, isAttested, isSigned } = await check(dir, key, options);
      const isMadeAgain = options.parents !== undefined;
      if (options.json === true) {
        const facts = { ...record, isAttested, signedBy: isSigned ? key : null, isMadeAgain };
        context.out(JSON.stringify(facts, null, 2));
        return;
      }
      const { id, base, conversion } = record;
      context.out(
        isSigned
          ? `${id} is as its coordinator published it.`
          : `${id} is what its parents give, which their coordinator signed.`,
      );
      if (isSigned && isMadeAgain) context.out('Its parents were merged again, and give the same.');
      context.out(`Base model  ${base.name} (files ${base.digest})`);
      if (conversion !== undefined) context.out(`Weights     ${conversion.dtype}, of ${conversion.version}`);
      context.out(originOf(record));
      context.out(`Privacy     ${privacyOf(record)}`);
      context.out(
        `Signed by   ${isSigned ? `${fingerprint(key)}${isAttested ? ', in-toto statement too' : ''}` : 'nobody; its parents by ' + fingerprint(key)}`,
      );
    });
}

interface CheckOptions extends VerifyOptions {
  readonly json?: boolean;
  readonly parents?: readonly string[];
}

async function check(
  dir: string,
  key: string,
  { parents, expect }: CheckOptions,
): Promise<Verified & { readonly isSigned: boolean }> {
  if (parents !== undefined)
    return (await import('../storage/merge-adapters.js')).verifyMerge(dir, parents, key, expect);
  const { verifyAdapter } = await import('../storage/verify-adapter.js');
  return { ...(await verifyAdapter(dir, key, expect)), isSigned: true };
}
