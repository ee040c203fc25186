import { Command, Option } from 'commander';
import { weightDtypes, type WeightDtype } from '@fedlora/shared';
import { coordinatorKey, verifyOptions, type VerifyOptions } from './adapter-key.js';
import type { CliContext } from './context.js';

const AFTER_HELP = `
The folder is checked first, as \`fedlora adapter verify\` does. What is written is a PEFT folder without signatures: the coordinator signed
other bytes. The new weights say in their metadata which version they are of.`;

interface ConvertOptions extends VerifyOptions {
  readonly dtype: WeightDtype;
  readonly out: string;
}

export function convert(context: CliContext): Command {
  return verifyOptions(new Command('convert'))
    .description('write the adapter with weights in 16 bits: half the bytes')
    .argument('<dir>', 'folder of a version')
    .addOption(new Option('--dtype <name>', 'number format').choices(weightDtypes).makeOptionMandatory())
    .requiredOption('--out <dir>', 'folder to write; it must not be there')
    .addHelpText('after', AFTER_HELP)
    .action(async (dir: string, options: ConvertOptions) => {
      const { verifyAdapter } = await import('../storage/verify-adapter.js');
      const { writeConverted } = await import('../storage/convert-adapter.js');
      const { record } = await verifyAdapter(dir, await coordinatorKey(options, context), options.expect);
      const { before, after, largestChange } = await writeConverted(dir, options.out, record, options.dtype);
      context.out(`Wrote ${options.out}: weights of ${after} bytes instead of ${before}.`);
      context.out(`No value changed by more than ${largestChange.toExponential(1)} of the largest of its tensor.`);
    });
}
