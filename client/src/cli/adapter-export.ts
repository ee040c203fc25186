import { Command, Option } from 'commander';
import { weightDtypes, type WeightDtype } from '@fedlora/shared';
import { takenRecord, takingOptions, type TakingOptions } from './adapter-key.js';
import type { CliContext } from './context.js';

const AFTER_HELP = `
The folder is checked first, as \`fedlora adapter verify\` does; --unsigned takes a PEFT folder that nobody signed. The base model's
config.json, or the GGUF file that llama.cpp serves, says how it names its layers and orders their rows: llama, mistral, qwen2, qwen3, gemma2
and gemma3 are known. The scaling of rank-stabilised adapters is kept.

Example:
  fedlora adapter export /srv/support/current --base models/SmolLM2-135M --out support.gguf
  llama-server --model SmolLM2-135M.gguf --lora support.gguf`;

interface ExportOptions extends TakingOptions {
  readonly base: string;
  readonly dtype: WeightDtype;
  readonly out: string;
}

export function exportGguf(context: CliContext): Command {
  return takingOptions(new Command('export'))
    .description('write the adapter as the GGUF file that llama.cpp loads with --lora')
    .argument('<dir>', 'folder of a version, or a PEFT folder with --unsigned')
    .requiredOption('--base <path>', 'folder of the base model, of which config.json is read; or its .gguf file')
    .addOption(new Option('--dtype <name>', 'number format').choices(weightDtypes).default('f32'))
    .requiredOption('--out <file>', 'file to write; replaced if it is there')
    .addHelpText('after', AFTER_HELP)
    .action(async (dir: string, options: ExportOptions) => {
      const { writeGgufAdapter } = await import('../storage/export-gguf.js');
      const record = await takenRecord(dir, options, context);
      const { base, dtype, out: target } = options;
      const bytes = await writeGgufAdapter({ folder: dir, version: record?.id, base, dtype, target });
      context.out(`Wrote ${target}: ${bytes} bytes. Load it with llama-server --lora ${target}`);
    });
}
