import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, jsonOption } from './options.js';

interface Options {
  readonly revision?: string;
  readonly digest?: string;
  readonly endpoint?: string;
  readonly home?: string;
  readonly json?: boolean;
}

const ENDPOINT = 'https://huggingface.co';

export function baseDownload(context: CliContext): Command {
  return new Command('download')
    .description('fetch a base model from a Hugging Face server; goes on where an earlier try stopped')
    .argument('<repository>', 'OWNER/NAME')
    .option('--revision <name>', 'branch, tag or commit (default: the main branch)')
    .option('--digest <sha256>', 'the digest that the model must have, as `fedlora base digest` prints it')
    .option('--endpoint <url>', `address of the server (default: HF_ENDPOINT, else ${ENDPOINT})`)
    .addOption(homeOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Only config, tokenizer and safetensors or GGUF weights are fetched, each with the size and hash that the repository lists. A gated
or private repository needs HF_TOKEN. Prints the path for --base.

Example:
  fedlora base download HuggingFaceTB/SmolLM2-135M --revision main`,
    )
    .action(async (repository: string, options: Options) => {
      const { downloadBaseModel } = await import('../connection/base-download.js');
      const { homeFrom } = await import('../config/home.js');
      const { endpoint, token } = await hubSettings(options.endpoint, context.environment);
      const { revision, digest } = options;
      const downloaded = await downloadBaseModel({
        repository,
        revision,
        digest,
        endpoint,
        token,
        folder: homeFrom(options.home, context.environment).models,
        onProgress: (file, done, bytes) =>
          context.progress(`${file}: ${megabytes(done)} of ${megabytes(bytes)} MB`, done === bytes),
      });
      context.progress('');
      if (options.json === true) return context.out(JSON.stringify(downloaded));
      context.out(downloaded.path);
      context.error(`commit ${downloaded.revision}, digest ${downloaded.digest}`);
    });
}

/** @throws FedloraError config/invalid: names the setting */
async function hubSettings(
  option: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<{ readonly endpoint: string; readonly token: string | undefined }> {
  const { isSafeAddress } = await import('../config/address.js');
  const { FedloraError } = await import('@fedlora/shared');
  const endpoint = (option ?? environment.HF_ENDPOINT ?? ENDPOINT).replace(/\/+$/, '');
  if (!isSafeAddress(endpoint)) {
    throw new FedloraError('config/invalid', 'The server must be an https address, or one of this machine.', {
      where: option === undefined ? 'HF_ENDPOINT' : '--endpoint',
    });
  }
  const token = environment.HF_TOKEN === '' ? undefined : environment.HF_TOKEN;
  if (token !== undefined && !/^hf_\w+$/.test(token))
    throw new FedloraError('config/invalid', 'It is no access token: those begin with hf_.', { where: 'HF_TOKEN' });
  return { endpoint, token };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
