import { Command } from 'commander';
import { FedloraError, type VersionRecord } from '@fedlora/shared';
import { originOf, privacyOf } from './adapter-facts.js';
import { takenRecord, takingOptions, type TakingOptions } from './adapter-key.js';
import type { CliContext } from './context.js';

const AFTER_HELP = `
The folder is checked first, as \`fedlora adapter verify\` does, and so is the base model's digest; --unsigned takes a PEFT folder that nobody
signed, such as a merge, for any base model whose layers it fits. The base model is a Hugging Face folder in F32, F16 or BF16, in one file
or in shards, which stay, as its formats do; a quantized one cannot take an adapter in.

What is written is a model without adapters, for servers that know no LoRA. It protects its training data exactly as the adapter does.`;

interface Options extends TakingOptions {
  readonly base: string;
  readonly out: string;
}

export function mergeIntoBase(context: CliContext): Command {
  return takingOptions(new Command('merge-into-base'))
    .description('write the base model with the adapter in its weights, for servers without LoRA')
    .argument('<dir>', 'folder of a version, or a PEFT folder with --unsigned')
    .requiredOption('--base <dir>', 'folder of the base model')
    .requiredOption('--out <dir>', 'folder to write; it must not be there')
    .addHelpText('after', AFTER_HELP)
    .action(async (dir: string, options: Options) => {
      const merging = await import('../storage/merge-into-base.js');
      const record = await takenRecord(dir, options, context);
      if (record !== undefined) await expectBase(options.base, record);
      const bytes = await merging.mergeIntoBase({
        folder: dir,
        base: options.base,
        card: card(record),
        target: options.out,
        onProgress: (done, all) => context.progress(`merging: ${Math.floor((100 * done) / all)} %`, done === all),
      });
      context.progress('');
      context.out(`Wrote ${options.out}: ${bytes} bytes of weights, with the adapter in them.`);
      if (record !== undefined) context.out(`Privacy     ${privacyOf(record)}`);
    });
}

/** @throws FedloraError adapter/not-mergeable: the adapter was trained on other files */
async function expectBase(base: string, record: VersionRecord): Promise<void> {
  const { baseModelDigest } = await import('../engine/weights/digest.js');
  const digest = await baseModelDigest(base);
  if (digest !== record.base.digest)
    throw new FedloraError(
      'adapter/not-mergeable',
      `The base model has digest ${digest}; the adapter was trained on ${record.base.digest} (${record.base.name}).`,
      { where: base },
    );
}

function card(record: VersionRecord | undefined): string {
  const of = record === undefined ? 'a LoRA adapter that nobody signed' : `the LoRA adapter version \`${record.id}\``;
  const facts =
    record === undefined
      ? 'Nothing is known of the privacy of its training data.\n'
      : `\`\`\`
Base model  ${record.base.name} (files ${record.base.digest})
${originOf(record)}
Privacy     ${privacyOf(record)}
\`\`\`
`;
  return `# A base model with an adapter in it

The weights of a base model with ${of} added: W + s B A, rounded once to the format that W has. Nothing is signed any more: the version's
own folder is what \`fedlora adapter verify\` checks. The licence of the base model holds for this one, too.

${facts}`;
}
