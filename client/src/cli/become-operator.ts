/** From a set-up link to an API token: password, sign-in, token, sign-out. */

import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { FedloraError, permissions } from '@fedlora/shared';
import { OperatorApi } from '@fedlora/shared/client';
import { isSafeAddress } from '../config/address.js';
import { Http } from '../connection/http.js';
import { writeAtomically } from '../storage/atomic-file.js';
import { said } from './admin-api.js';

export interface SetUp {
  /** As the coordinator printed it. */
  readonly link: string;
  readonly user: string;
  readonly password: string;
  /** Must not be there yet: the link is good once. */
  readonly tokenFile: string;
}

/** @throws FedloraError config/invalid | config/missing-value | data/output-exists | access/link-spent | access/weak-password | ... */
export async function becomeOperator({ link, user, password, tokenFile }: SetUp): Promise<void> {
  const { url, token } = partsOf(link);
  if (password === '') throw new FedloraError('config/missing-value', 'The password is missing.');
  if (existsSync(tokenFile)) throw new FedloraError('data/output-exists', undefined, { where: tokenFile });
  const api = signedInApi(new Http(url));
  await said(() => api.setUp(token, password));
  await said(() => api.signIn({ name: user, password }));
  const made = await said(() =>
    api.createToken({ name: `command line of ${hostname()}`, permissions: [...permissions] }),
  );
  await writeAtomically(tokenFile, `${made.token}\n`, { mode: 0o600 });
  await said(() => api.signOut());
}

/** An API that keeps the cookie of its sign-in, as a browser would. */
function signedInApi(http: Http): OperatorApi {
  let cookie = '';
  return new OperatorApi(async ({ method, path, headers, body }) => {
    const given = { ...headers, ...(cookie === '' ? {} : { cookie }) };
    const response = await http.send({ method, path, headers: given, ...(body === undefined ? {} : { body }) });
    const [set] = response.headers.getSetCookie();
    if (set !== undefined) cookie = set.split(';')[0];
    return { status: response.status, text: await response.text(), header: (name) => response.headers.get(name) };
  });
}

function partsOf(link: string): { readonly url: string; readonly token: string } {
  const token = URL.canParse(link) ? /^#setup=([\w-]+)$/.exec(new URL(link).hash)?.[1] : undefined;
  if (token === undefined || !isSafeAddress(link))
    throw new FedloraError(
      'config/invalid',
      'Give the whole link, with its part after #: https, or http on this machine.',
    );
  return { url: link.slice(0, link.indexOf('#')).replace(/\/+$/, ''), token };
}
