/** An invitation's token: from a file, the environment, a prompt or a pipe, and never from an argument. */

import { readFile } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';
import type { CliContext } from './context.js';

/** @throws FedloraError config/missing-value */
export async function readToken(context: CliContext, file: string | undefined): Promise<string> {
  if (file !== undefined) {
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new FedloraError('config/missing-value', 'The file of the token cannot be read.', { where: file, cause });
    });
    return text.trim();
  }
  const given =
    context.environment.FEDLORA_TOKEN ??
    (await context.askSecret('Token of the invitation: ')) ??
    (await context.readInput());
  if (given.trim() === '') throw new FedloraError('config/missing-value', 'The invitation’s token is missing.');
  return given.trim();
}
