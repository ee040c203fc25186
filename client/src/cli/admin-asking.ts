/** What the commands of `fedlora admin` are made of: each asks the coordinator one thing and prints its answer as JSON. */

import { Command, Option } from 'commander';
import type { OperatorApi } from '@fedlora/shared/client';
import type { CliContext } from './context.js';
import { several } from './options.js';

/** Options that every one of them has. */
export interface Access {
  readonly url?: string;
  readonly tokenFile?: string;
}

/** A command that asks the coordinator and prints its answer. */
export function asking<Arguments extends unknown[]>(
  context: CliContext,
  name: string,
  description: string,
  ask: (api: OperatorApi, ...given: Arguments) => Promise<unknown>,
): Command {
  return connected(new Command(name))
    .description(description)
    .action(async (...given: unknown[]) => {
      // Safe: commander gives the arguments in order, then the options, then the command.
      const options = given.at(-2) as Access;
      const { operatorApi, said } = await import('./admin-api.js');
      const answer = await said(async () =>
        ask(await operatorApi(options, context), ...(given.slice(0, -1) as Arguments)),
      );
      if (answer !== undefined) context.out(JSON.stringify(answer, null, 2));
    });
}

export function connected(command: Command): Command {
  return command
    .option('--url <url>', 'address of the coordinator (default: FEDLORA_COORDINATOR)')
    .option('--token-file <file>', 'file with an API token (default: FEDLORA_API_TOKEN holds the token)');
}

export function runOption(): Option {
  return new Option('--run <id>', 'limit to this run; may be given several times').argParser(several);
}

export function runsOf(given: readonly string[] | undefined): string[] | null {
  return given === undefined ? null : [...given];
}

export async function all<Item>(
  page: Parameters<typeof import('@fedlora/shared/client').everyItem<Item>>[0],
): Promise<Item[]> {
  const { everyItem } = await import('@fedlora/shared/client');
  return everyItem(page);
}

export async function readText(file: string): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const { FedloraError } = await import('@fedlora/shared');
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new FedloraError('config/invalid', 'The file cannot be read.', { where: file, cause });
  }
}

export async function readJson<Value>(file: string): Promise<Value> {
  const text = await readText(file);
  const { FedloraError } = await import('@fedlora/shared');
  try {
    // Safe: the coordinator checks every field.
    return JSON.parse(text) as Value;
  } catch (cause) {
    throw new FedloraError('config/invalid', 'The file is no JSON.', { where: file, cause });
  }
}
