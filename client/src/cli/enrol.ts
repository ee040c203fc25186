import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { CliContext } from './context.js';
import { homeOption, publicKey, several, wholeNumber } from './options.js';

interface Options {
  readonly name: string;
  readonly federationKey: string;
  readonly coordinatorKey?: string;
  readonly tokenFile?: string;
  readonly base?: string;
  readonly data?: readonly string[];
  readonly dataset?: string;
  readonly threads?: number;
  readonly home?: string;
}

export function enrol(context: CliContext): Command {
  return new Command('enrol')
    .description('join a federation: make this organisation’s key and pin those of the coordinator and the federation')
    .argument('<url>', 'address of the coordinator')
    .requiredOption('--name <name>', 'name that the operator invited')
    .requiredOption(
      '--federation-key <hex>',
      'the federation’s public key, from the operator by another channel',
      publicKey,
    )
    .option('--coordinator-key <hex>', 'refuse a coordinator with another key', publicKey)
    .option(
      '--token-file <file>',
      'file with the invitation’s token (else FEDLORA_TOKEN, else it is asked for or read from a pipe)',
    )
    .option('--base <dir>', 'folder of the base model')
    .option('--data <file>', 'file of private rows; may be given several times', several)
    .option('--dataset <name>', 'name of the data set in the privacy ledger')
    .option('--threads <n>', 'processor threads that training may use', wholeNumber)
    .addOption(homeOption())
    .addHelpText(
      'after',
      `
Example:
  fedlora enrol https://fedlora.example.org --name clinic --federation-key 3f0c… \\
      --token-file invitation.txt --base models/SmolLM2-135M --data rows.jsonl

The token is never an argument, since other users of this machine can see arguments.
Afterwards tell the operator the fingerprint that is printed, by another channel: the federation key then certifies it.`,
    )
    .action(async (url: string, options: Options) => {
      const { enrolHome } = await import('./enrol-home.js');
      const { homeFrom } = await import('../config/home.js');
      const { readToken } = await import('./read-token.js');
      const home = homeFrom(options.home, context.environment);
      const data = (options.data ?? []).map((file) => resolve(file));
      const enrolled = await enrolHome({
        home,
        url,
        name: options.name,
        federationKey: options.federationKey,
        coordinatorKey: options.coordinatorKey,
        token: () => readToken(context, options.tokenFile),
        base: options.base === undefined ? undefined : resolve(options.base),
        data,
        dataset: options.dataset,
        threads: options.threads,
      });
      context.out(`Enrolled as ${options.name} at ${url}.`);
      context.out('');
      context.out(`  identity        ${enrolled.identity}`);
      context.out(`  fingerprint     ${enrolled.fingerprint}`);
      context.out(`  coordinator     ${enrolled.coordinatorFingerprint}`);
      context.out(`  federation      ${enrolled.federationFingerprint}`);
      context.out(`  home            ${home.directory}`);
      if (enrolled.baseDigest !== undefined) context.out(`  base model      ${enrolled.baseDigest}`);
      context.out('');
      for (const file of data.filter((one) => !existsSync(one)))
        context.error(`Note: ${file} does not exist yet. Until it does, this client declines every round.`);
      context.out(
        'Next: compare the fingerprints with the operator by another channel, read policy.yaml in the home folder, and',
      );
      context.out(
        `start the client with \`fedlora run${options.home === undefined ? '' : ` --home ${options.home}`}\`.`,
      );
    });
}
