/** The operators' API from a command line: address and token, and the coordinator's refusals as errors of ours. */

import { readFile } from 'node:fs/promises';
import { FedloraError, isErrorCode } from '@fedlora/shared';
import { ApiProblem, OperatorApi } from '@fedlora/shared/client';
import { isSafeAddress } from '../config/address.js';
import { Http } from '../connection/http.js';
import type { CliContext } from './context.js';

/** Address and API token of the options, else of the environment. @throws FedloraError config/invalid: names what is missing */
export async function operatorAccess(
  options: { readonly url?: string; readonly tokenFile?: string },
  { environment }: CliContext,
): Promise<{ readonly http: Http; readonly token: string }> {
  const url = (options.url ?? environment.FEDLORA_COORDINATOR ?? '').replace(/\/+$/, '');
  if (!isSafeAddress(url))
    throw new FedloraError(
      'config/invalid',
      'Give the coordinator’s address with --url or FEDLORA_COORDINATOR: https, or http on this machine.',
    );
  const token = (await tokenOf(options.tokenFile, environment.FEDLORA_API_TOKEN)).trim();
  if (!/^[\w-]+$/.test(token))
    throw new FedloraError('config/invalid', 'Give an API token with --token-file or FEDLORA_API_TOKEN.');
  return { http: new Http(url), token };
}

/** @throws FedloraError config/invalid: names what is missing */
export async function operatorApi(
  options: { readonly url?: string; readonly tokenFile?: string },
  context: CliContext,
): Promise<OperatorApi> {
  const { http, token } = await operatorAccess(options, context);
  return new OperatorApi(async ({ method, path, headers, body }) => {
    const response = await http.send({ method, path, headers, token, ...(body === undefined ? {} : { body }) });
    return { status: response.status, text: await response.text(), header: (name) => response.headers.get(name) };
  });
}

/** What the coordinator answered, or its refusal under its own code. @throws FedloraError connection/refused, or the coordinator's */
export async function said<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    const code = error.code !== undefined && isErrorCode(error.code) ? error.code : 'connection/refused';
    throw new FedloraError(code, error.message, { details: { status: error.status }, cause: error });
  }
}

async function tokenOf(file: string | undefined, fromEnvironment: string | undefined): Promise<string> {
  if (file === undefined) return fromEnvironment ?? '';
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new FedloraError('config/invalid', 'The file with the token cannot be read.', { where: file, cause });
  }
}
