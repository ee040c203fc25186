/** Whose signature an adapter must have: options that the commands of `fedlora adapter` share. */

import type { Command } from 'commander';
import type { VersionRecord } from '@fedlora/shared';
import type { CliContext } from './context.js';
import { homeOption, publicKey } from './options.js';

export interface VerifyOptions {
  readonly key?: string;
  readonly expect?: string;
  readonly home?: string;
}

export function verifyOptions(command: Command): Command {
  return command
    .option(
      '--key <hex>',
      'public key of the coordinator (default: the one that this machine pinned when it enrolled)',
      publicKey,
    )
    .option('--expect <version>', 'the version that it must be')
    .addOption(homeOption());
}

/** Of commands that take a folder without a signature, too. */
export interface TakingOptions extends VerifyOptions {
  readonly unsigned?: boolean;
}

export function takingOptions(command: Command): Command {
  return verifyOptions(command).option('--unsigned', 'check no signature');
}

/** The record of the folder, once everything in it is checked; `undefined` where the owner wants no check. */
export async function takenRecord(
  folder: string,
  options: TakingOptions,
  context: CliContext,
): Promise<VersionRecord | undefined> {
  if (options.unsigned === true) return undefined;
  const { verifyAdapter } = await import('../storage/verify-adapter.js');
  return (await verifyAdapter(folder, await coordinatorKey(options, context), options.expect)).record;
}

/** @throws FedloraError config/invalid: no key is given, and this machine has pinned none */
export async function coordinatorKey({ key, home }: VerifyOptions, context: CliContext): Promise<string> {
  if (key !== undefined) return key;
  const { homeFrom } = await import('../config/home.js');
  const { readPins } = await import('../storage/pins.js');
  const { FedloraError, hasCode } = await import('@fedlora/shared');
  try {
    return (await readPins(homeFrom(home, context.environment).pins)).coordinatorKey;
  } catch (cause) {
    if (!hasCode(cause, 'client/not-enrolled')) throw cause;
    throw new FedloraError('config/invalid', 'Give the coordinator’s public key with --key.', { cause });
  }
}
