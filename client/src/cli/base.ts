import { Command } from 'commander';
import { baseDownload } from './base-download.js';
import { baseQuantize } from './base-quantize.js';
import type { CliContext } from './context.js';
import { jsonOption } from './options.js';

export function base(context: CliContext): Command {
  return new Command('base')
    .description('base models on this machine')
    .addCommand(digest(context))
    .addCommand(baseDownload(context))
    .addCommand(baseQuantize(context));
}

function digest(context: CliContext): Command {
  return new Command('digest')
    .description('the digest by which runs and policies name a base model')
    .argument('<dir>', 'folder with config.json, tokenizer.json and *.safetensors')
    .option('--chat-template', 'the digest of its chat template instead, which runs of chats name besides')
    .addOption(jsonOption())
    .action(async (directory: string, options: { chatTemplate?: boolean; json?: boolean }) => {
      const { baseModelDigest } = await import('../engine/weights/digest.js');
      if (options.chatTemplate === true) {
        const { loadTokenizer } = await import('../data/tokenize.js');
        const { FedloraError } = await import('@fedlora/shared');
        const chatTemplate = (await loadTokenizer(directory)).chatTemplate?.digest;
        if (chatTemplate === undefined) throw new FedloraError('data/no-chat-template');
        context.out(options.json === true ? JSON.stringify({ chatTemplate }) : chatTemplate);
        return;
      }
      const value = await baseModelDigest(directory);
      context.out(options.json === true ? JSON.stringify({ digest: value }) : value);
    });
}
