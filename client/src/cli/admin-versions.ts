/** `fedlora admin versions`: which versions there are, which of them are released, and which are revoked. */

import { Command, Option } from 'commander';
import type { OperatorApi } from '@fedlora/shared/client';
import type { AuditFindingRequest, MergeMethod } from '@fedlora/shared';
import { all, asking, readText } from './admin-asking.js';
import type { CliContext } from './context.js';
import { mergeMethodOption, mergeRankOption, weightsOption } from './merge-options.js';

const AFTER_HELP = `
A repository is owner/name, as \`fedlora admin versions repositories\` lists it; a version has 40 hex digits. Every channel but "candidate",
which follows what runs publish, is moved by hand. A move with --seen VERSION is refused if the channel has another version by now.`;

interface MoveOptions {
  readonly channel: string;
  readonly seen?: string;
}

interface MergeCommandOptions {
  readonly weights: readonly number[];
  readonly method: MergeMethod;
  readonly rank?: number;
}

export function versions(context: CliContext): Command {
  return new Command('versions')
    .description('adapter versions: list, compare, merge, promote, roll back, revoke')
    .addHelpText('after', AFTER_HELP)
    .addCommand(
      asking(context, 'repositories', 'every repository with its channels, by name', (api) =>
        all((at) => api.repositories(at)),
      ),
    )
    .addCommand(
      asking(context, 'list', 'versions of a repository with their gate, newest first', (api, repository: string) =>
        all((at) => api.releases(repository, at)),
      ).argument('<repository>'),
    )
    .addCommand(
      asking(context, 'show', 'one version', (api, version: string) => api.release(version)).argument('<version>'),
    )
    .addCommand(
      asking(context, 'lineage', 'a version and those that it comes from', (api, version: string) =>
        all((at) => api.lineage(version, at)),
      ).argument('<version>'),
    )
    .addCommand(
      asking(
        context,
        'compare',
        'two versions side by side, and how far they are apart',
        (api, left: string, right: string) => api.compare(left, right),
      )
        .argument('<version>')
        .argument('<other>'),
    )
    .addCommand(
      asking(
        context,
        'merge',
        'merge versions of one base model into a new one, signed and a candidate like every other',
        async (api, repository: string, parents: readonly string[], options: MergeCommandOptions) => {
          const { weights, method, rank } = options;
          if (parents.length !== weights.length) {
            const { FedloraError } = await import('@fedlora/shared');
            throw new FedloraError(
              'config/invalid',
              `There are ${parents.length} versions and ${weights.length} weights.`,
            );
          }
          return api.mergeVersions(repository, {
            parents: parents.map((version, i) => ({ version, weight: weights[i] })),
            method,
            ...(rank === undefined ? {} : { rank }),
          });
        },
      )
        .argument('<repository>', 'where the merge goes; the first version is one of its')
        .argument('<version...>')
        .addOption(weightsOption())
        .addOption(mergeMethodOption())
        .addOption(mergeRankOption()),
    )
    .addCommand(
      asking(
        context,
        'promote',
        'give a channel a version that passes the release gate',
        async (api, repository: string, version: string, options: MoveOptions & { readonly override?: string }) =>
          api.promote(
            repository,
            options.channel,
            { version, ...(options.override === undefined ? {} : { override: options.override }) },
            await asSeen(api, repository, options),
          ),
      )
        .argument('<repository>')
        .argument('<version>')
        .addOption(channelOption())
        .addOption(seenOption())
        .option('--override <reason>', 'promote past a gate that is not passed; the audit log keeps the reason'),
    )
    .addCommand(
      asking(
        context,
        'roll-back',
        'give a channel the version back that it had before',
        async (api, repository: string, options: MoveOptions) =>
          api.rollBack(repository, options.channel, await asSeen(api, repository, options)),
      )
        .argument('<repository>')
        .addOption(channelOption())
        .addOption(seenOption()),
    )
    .addCommand(
      asking(
        context,
        'history',
        'what was done with a channel, newest first',
        (api, repository: string, options: MoveOptions) =>
          all((at) => api.channelMoves(repository, options.channel, at)),
      )
        .argument('<repository>')
        .addOption(channelOption()),
    )
    .addCommand(
      asking(
        context,
        'remove-channel',
        'end a channel; its history stays',
        (api, repository: string, channel: string) => api.removeChannel(repository, channel),
      )
        .argument('<repository>')
        .argument('<channel>'),
    )
    .addCommand(
      asking(context, 'key', 'the key that versions are signed with, for `fedlora adapter verify`', (api) =>
        api.signingKey(),
      ),
    )
    .addCommand(
      asking(context, 'tag', 'name a version for good', (api, repository: string, version: string, tag: string) =>
        api.tagVersion(repository, tag, { version }),
      )
        .argument('<repository>')
        .argument('<version>')
        .argument('<tag>'),
    )
    .addCommand(
      asking(context, 'untag', 'take a tag away', (api, repository: string, tag: string) =>
        api.removeTag(repository, tag),
      )
        .argument('<repository>')
        .argument('<tag>'),
    )
    .addCommand(
      asking(
        context,
        'audit',
        'note what an audit with canaries found: its counts of guesses, and nothing else, are sent',
        async (api, version: string, report: string) => api.reportAudit(version, await findingOf(version, report)),
      )
        .argument('<version>')
        .argument('<report>', 'file that `fedlora audit measure --json` wrote'),
    )
    .addCommand(
      asking(
        context,
        'revoke',
        'take a version out of use, for good',
        (api, version: string, { reason }: { readonly reason: string }) => api.revokeVersion(version, { reason }),
      )
        .argument('<version>')
        .requiredOption('--reason <text>', 'told to whoever asks for its files'),
    )
    .addCommand(
      asking(
        context,
        'deprecate',
        'advise against a version',
        (api, version: string, { note }: { readonly note: string }) => api.deprecateVersion(version, { note }),
      )
        .argument('<version>')
        .requiredOption('--note <text>', 'what to use instead, and why'),
    )
    .addCommand(
      asking(context, 'undeprecate', 'take that advice back', (api, version: string) =>
        api.undeprecateVersion(version),
      ).argument('<version>'),
    );
}

/** The counts of an audit's report. @throws FedloraError config/invalid: it is none, or one of another version */
async function findingOf(version: string, file: string): Promise<AuditFindingRequest> {
  const { FedloraError } = await import('@fedlora/shared');
  const refuse = (why: string): never => {
    throw new FedloraError('config/invalid', why, { where: file });
  };
  let report: Partial<AuditFindingRequest & { readonly versionId: string | null }> | null;
  try {
    report = JSON.parse(await readText(file)) as typeof report;
  } catch (error) {
    if (error instanceof FedloraError) throw error;
    return refuse('It is no report of `fedlora audit measure --json`.');
  }
  const { seal, canaries, guesses, right, versionId } = report ?? {};
  if (seal === undefined || canaries === undefined || guesses === undefined || right === undefined)
    return refuse('It is no report of `fedlora audit measure --json`.');
  if (versionId !== version) refuse(`It is about ${versionId ?? 'an adapter that is no version'}.`);
  return { seal, canaries, guesses, right };
}

function channelOption(): Option {
  return new Option('--channel <name>', 'which channel').default('stable');
}

function seenOption(): Option {
  return new Option('--seen <version>', 'only if the channel still has this version');
}

/** The condition of a move: the tag of the channel, once it is known to have the version that was seen. */
async function asSeen(
  api: OperatorApi,
  repository: string,
  { channel: name, seen }: MoveOptions,
): Promise<{ readonly ifMatch?: string }> {
  if (seen === undefined) return {};
  const { channel, tag } = await api.channel(repository, name);
  if (channel.version !== seen) {
    const { FedloraError } = await import('@fedlora/shared');
    throw new FedloraError('request/changed', `The channel "${name}" has version ${channel.version ?? 'none'} by now.`);
  }
  return tag === null ? {} : { ifMatch: tag };
}
