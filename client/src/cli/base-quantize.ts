import { Command, Option } from 'commander';
import type { CliContext } from './context.js';
import { cacheOption, jsonOption, wholeNumber } from './options.js';

interface Options {
  readonly doubleQuant: boolean;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly threads: number;
  readonly cache: boolean;
  readonly json?: boolean;
}

export function baseQuantize(context: CliContext): Command {
  return new Command('quantize')
    .description('write a base model as a bitsandbytes NF4 checkpoint, which transformers loads as well')
    .argument('<base>', 'folder or .gguf file of the base model')
    .argument('<out>', 'folder to write, new or empty')
    .option('--no-double-quant', 'keep absmax in f32 (bnb_4bit_use_double_quant: false)')
    .addOption(
      new Option('--dtype <format>', 'format of embedding, norms and head')
        .choices(['F32', 'F16', 'BF16'])
        .default('F32'),
    )
    .option('--threads <n>', 'processor threads; 0 for all', wholeNumber, 0)
    .addOption(cacheOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The written model is another base model, with a digest of its own: double quantization rounds absmax.

Example:
  fedlora base quantize models/SmolLM2-135M models/SmolLM2-135M-nf4 --dtype BF16`,
    )
    .action(async (baseDirectory: string, out: string, options: Options) => {
      const { openBaseModel } = await import('../engine/weights/hugging-face.js');
      const { baseModelDigest } = await import('../engine/weights/digest.js');
      const { writeBitsAndBytes } = await import('../engine/weights/bitsandbytes.js');
      const { computedRopeTypes } = await import('../engine/onnx/rope.js');
      const { shownQuantization } = await import('./shown-quantization.js');
      const base = await openBaseModel(baseDirectory, { ropeTypes: computedRopeTypes });
      await writeBitsAndBytes(base, out, {
        ...(await shownQuantization(options.cache, context)),
        doubleQuantization: options.doubleQuant,
        dtype: options.dtype,
        ...(options.threads === 0 ? {} : { threads: options.threads }),
      });
      const digest = await baseModelDigest(out);
      context.out(options.json === true ? JSON.stringify({ out, digest }) : `Wrote ${out}, digest ${digest}.`);
    });
}
