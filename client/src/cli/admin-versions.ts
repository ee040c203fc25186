/** `fedlora admin versions`: which versions there are, which of them are released, and which are revoked. */

import { Command, Option } from 'commander';
import type { OperatorApi } from '@fedlora/shared/client';
import { all, asking } from './admin-asking.js';
import type { CliContext } from './context.js';

const AFTER_HELP = `
A repository is owner/name, as \`fedlora admin versions repositories\` lists it; a version has 40 hex digits. Every channel but "candidate",
which follows what runs publish, is moved by hand. A move with --seen VERSION is refused if the channel has another version by now.`;

interface MoveOptions {
  readonly channel: string;
  readonly seen?: string;
}

export function versions(context: CliContext): Command {
  return new Command('versions')
    .description('adapter versions: list, compare, promote, roll back, revoke')
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
