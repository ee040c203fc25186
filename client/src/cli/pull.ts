import { Command } from 'commander';
import type { Pulled } from '../pull/puller.js';
import type { CliContext } from './context.js';
import { coordinatorKey } from './adapter-key.js';
import { homeOption, publicKey, wholeNumber } from './options.js';

interface Options {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly key?: string;
  readonly home?: string;
  readonly channel: string;
  readonly to: string;
  readonly keep: number;
  readonly watch?: boolean;
  readonly interval: number;
  readonly vllm?: string;
  readonly name?: string;
  readonly exec?: string;
}

const AFTER_HELP = `
What is pulled is checked against the coordinator's key before anything uses it. --to has \`current\`, which always is one whole version, and
\`versions\`. vLLM needs --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and must see the folder under the same path. A command is
told by FEDLORA_EVENT (load or unload), FEDLORA_VERSION and FEDLORA_VERSION_DIR.

Examples:
  fedlora pull city/support --url https://fedlora.example --token-file token --key 3f… --to /srv/support
  fedlora pull city/support --to /srv/support --watch --vllm http://localhost:8000 --name support`;

export function pull(context: CliContext): Command {
  return new Command('pull')
    .description('keep a folder, and a running server, at the version that a channel has')
    .argument('<repository>', 'owner/name')
    .option('--url <url>', 'address of the coordinator (default: FEDLORA_COORDINATOR)')
    .option('--token-file <file>', 'file with an API token that may read versions (default: FEDLORA_API_TOKEN)')
    .option(
      '--key <hex>',
      'public key of the coordinator (default: the one that this machine pinned when it enrolled)',
      publicKey,
    )
    .addOption(homeOption())
    .option('--channel <name>', 'channel, tag or version', 'stable')
    .requiredOption('--to <dir>', 'folder for `current` and `versions`')
    .option('--keep <n>', 'versions that are kept beside the current one', wholeNumber, 3)
    .option('--watch', 'look again and again, until stopped')
    .option('--interval <s>', 'seconds between two looks', wholeNumber, 15)
    .option('--vllm <url>', 'load each new version into a running vLLM, in place')
    .option('--name <name>', 'name of the adapter in vLLM (default: the repository’s name)')
    .option('--exec <command>', 'run a command for each new version')
    .addHelpText('after', AFTER_HELP)
    .action(async (repository: string, options: Options) => {
      const path = await import('node:path');
      const { FedloraError } = await import('@fedlora/shared');
      const { pullOnce } = await import('../pull/puller.js');
      const { commandLoader, vllmLoader } = await import('../pull/loaders.js');
      const { tell, watch } = await import('../pull/watch.js');
      const { operatorAccess } = await import('./admin-api.js');
      if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(repository))
        throw new FedloraError('config/invalid', `"${repository}" is no repository: it is written owner/name.`);
      const { http, token } = await operatorAccess(options, context);
      const { channel: revision, keep } = options;
      const target = {
        repository,
        revision,
        keep,
        to: path.resolve(options.to),
        coordinatorKey: await coordinatorKey(options, context),
      };
      const name = options.name ?? repository.split('/')[1];
      const loaders = [
        ...(options.vllm === undefined ? [] : [vllmLoader(options.vllm, name)]),
        ...(options.exec === undefined ? [] : [commandLoader(options.exec, context.environment)]),
      ];
      if (options.watch !== true) {
        const pulled = await pullOnce(target, { http, token });
        context.out(describe(pulled, revision));
        for (const loader of loaders) await tell(loader, {}, pulled);
        if (pulled.kind === 'empty') throw new FedloraError('version/no-revision');
        return;
      }
      const stop = new AbortController();
      const onSignal = (): void => stop.abort();
      process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
      try {
        await watch({
          pull: () => pullOnce(target, { http, token, signal: stop.signal }),
          loaders,
          onPulled: (pulled) => context.out(describe(pulled, revision)),
          onFailure: (error) => context.error(`${error.summary} [${error.code}] Another try follows.`),
          intervalMs: Math.max(1, options.interval) * 1000,
          signal: stop.signal,
        });
      } finally {
        process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
      }
    });
}

function describe(pulled: Pulled, revision: string): string {
  switch (pulled.kind) {
    case 'switched':
      return `Switched to ${pulled.id}.`;
    case 'unchanged':
      return `${revision} is ${pulled.id}, as before.`;
    case 'empty':
      return pulled.removed === null
        ? `${revision} has no version; nothing was changed.`
        : `${pulled.removed} was revoked, and ${revision} has no other: it is not current any more.`;
    default:
      return pulled satisfies never;
  }
}
