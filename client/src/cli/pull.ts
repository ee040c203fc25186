import { Command } from 'commander';
import type { Loader } from '../pull/loaders.js';
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
  readonly llamaCpp?: string;
  readonly llamaCppRestart?: string;
  readonly base?: string;
  readonly exec?: string;
}

const AFTER_HELP = `
What is pulled is checked against the coordinator's key before anything uses it. --to has \`current\`, which always is one whole version, and
\`versions\`. vLLM needs --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and must see the folder under the same path. A command is
told by FEDLORA_EVENT (load or unload), FEDLORA_VERSION and FEDLORA_VERSION_DIR.

llama.cpp's server reads adapters when it starts, and only their scales can be changed while it runs. Each version is exported to
\`gguf/NAME-VERSION.gguf\`, with the link \`current.gguf\` to the newest. A version that the server has is switched to at once; for another,
--llama-cpp-restart is run once, with FEDLORA_GGUF beside what a command is told, and without it that is an error until somebody restarted
the server. Start it with the file and not with the link, since the path is how it says which version it has:
  llama-server --model base.gguf --lora "$(readlink -f /srv/support/current.gguf)"
LLAMA_API_KEY is sent if it is set. A revoked version is turned off at once in any case.

Examples:
  fedlora pull city/support --url https://fedlora.example --token-file token --key 3f… --to /srv/support
  fedlora pull city/support --to /srv/support --watch --vllm http://localhost:8000 --name support
  fedlora pull city/support --to /srv/support --watch --llama-cpp http://localhost:8080 --base base.gguf \\
      --llama-cpp-restart "systemctl restart llama-server"`;

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
    .option('--watch', 'follow the channel until stopped: the coordinator says when it has another version')
    .option(
      '--interval <s>',
      'longest time between two looks at the channel and at the server, in seconds',
      wholeNumber,
      15,
    )
    .option('--vllm <url>', 'load each new version into a running vLLM, in place')
    .option('--llama-cpp <url>', 'switch a running llama.cpp server to each new version')
    .option(
      '--base <path>',
      'with --llama-cpp, the base model: its folder, of which config.json is read, or .gguf file',
    )
    .option('--llama-cpp-restart <command>', 'restart that server when it has not the new version')
    .option('--name <name>', 'name of the adapter in vLLM, and of its GGUF files (default: the repository’s name)')
    .option('--exec <command>', 'run a command for each new version')
    .addHelpText('after', AFTER_HELP)
    .action(async (repository: string, options: Options) => {
      const path = await import('node:path');
      const { FedloraError } = await import('@fedlora/shared');
      const { ChannelWait } = await import('../pull/channel-wait.js');
      const { pullOnce } = await import('../pull/puller.js');
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
      const stop = new AbortController();
      const name = options.name ?? repository.split('/')[1];
      const loaders = await loadersOf({ ...options, name, to: target.to }, context, stop.signal);
      if (options.watch !== true) {
        const pulled = await pullOnce(target, { http, token });
        context.out(describe(pulled, revision));
        for (const loader of loaders) await tell(loader, {}, pulled);
        if (pulled.kind === 'empty') throw new FedloraError('version/no-revision');
        return;
      }
      const onSignal = (): void => stop.abort();
      process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
      const parts = { http, token, signal: stop.signal };
      const channel = new ChannelWait(target, parts);
      try {
        await watch({
          pull: () => pullOnce(target, parts),
          changed: (id, mostMs) => channel.changed(id, mostMs),
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

async function loadersOf(
  options: Options & { readonly name: string },
  { environment }: CliContext,
  signal: AbortSignal,
): Promise<readonly Loader[]> {
  const { FedloraError } = await import('@fedlora/shared');
  const { llamaCppLoader } = await import('../pull/llama-cpp.js');
  const { commandLoader, vllmLoader } = await import('../pull/loaders.js');
  const { vllm, llamaCpp: url, llamaCppRestart: command, base, exec, name, to } = options;
  const loaders: Loader[] = [];
  if (vllm !== undefined) loaders.push(vllmLoader(vllm, name));
  if (url !== undefined) {
    if (base === undefined)
      throw new FedloraError('config/invalid', 'Give the base model that the llama.cpp server has with --base.');
    if (!/^[A-Za-z0-9][\w.-]*$/.test(name))
      throw new FedloraError('config/invalid', `"${name}" is no name for files: give another with --name.`);
    const restart = command === undefined ? undefined : { command, environment };
    loaders.push(llamaCppLoader({ url, apiKey: environment.LLAMA_API_KEY, name, to, base, restart, signal }));
  }
  if (exec !== undefined) loaders.push(commandLoader(exec, environment));
  return loaders;
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
