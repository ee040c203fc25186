import { Command } from 'commander';
import { FedloraError, type MergeMethod } from '@fedlora/shared';
import { privacyOf } from './adapter-facts.js';
import { coordinatorKey, verifyOptions, type VerifyOptions } from './adapter-key.js';
import type { CliContext } from './context.js';
import { mergeMethodOption, mergeRankOption, weightsOption } from './merge-options.js';

const AFTER_HELP = `
Methods, as PEFT's add_weighted_adapter has them:
  linear  averages the factors; all of one rank, which stays. Approximate
  cat     sets the factors side by side; the rank is the sum of ranks. Exact
  svd     the nearest adapter of rank --rank (default: the largest of theirs) to the weighted sum of their changes

Each folder is checked first, as \`fedlora adapter verify\` does. The result is a PEFT folder that nobody signed;
\`fedlora adapter verify --parents\` merges again and compares. \`fedlora admin versions merge\` has the coordinator make and sign the same.`;

interface MergeOptions extends VerifyOptions {
  readonly weights: readonly number[];
  readonly method: MergeMethod;
  readonly rank?: number;
  readonly out: string;
}

export function merge(context: CliContext): Command {
  return verifyOptions(new Command('merge'))
    .description('merge several adapters of one base model into one')
    .argument('<dir...>', 'folders of versions')
    .addOption(weightsOption())
    .addOption(mergeMethodOption())
    .addOption(mergeRankOption())
    .requiredOption('--out <dir>', 'folder to write; it must not be there')
    .addHelpText('after', AFTER_HELP)
    .action(async (folders: string[], options: MergeOptions) => {
      const { writeMerged } = await import('../storage/merge-adapters.js');
      if (folders.length !== options.weights.length)
        throw new FedloraError(
          'config/invalid',
          `There are ${folders.length} folders and ${options.weights.length} weights.`,
        );
      const record = await writeMerged(
        folders.map((folder, i) => ({ folder, weight: options.weights[i] })),
        options.out,
        {
          method: options.method,
          ...(options.rank === undefined ? {} : { rank: options.rank }),
          createdAt: Date.now(),
        },
        await coordinatorKey(options, context),
      );
      context.out(`Wrote ${options.out}: version ${record.id}, of rank ${record.merge?.rank}, signed by nobody.`);
      context.out(`Privacy     ${privacyOf(record)}`);
    });
}
