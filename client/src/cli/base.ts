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
    .addOption(jsonOption())
    .action(async (directory: string, options: { json?: boolean }) => {
      const { baseModelDigest } = await import('../engine/weights/digest.js');
      const value = await baseModelDigest(directory);
      context.out(options.json === true ? JSON.stringify({ digest: value }) : value);
    });
}
