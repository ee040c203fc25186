/** What an operator does first at a new coordinator: sets the password of `admin`, signs in, and makes a token for scripts. */

import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { CSRF_HEADER, permissions, routes, type MeView, type NewApiToken } from '@fedlora/shared';
import { json, send } from './requests.js';

/** A signed-in user. */
export interface SignedIn {
  readonly me: MeView;
  /** Headers that make a request the user's: the cookie, and what changes must bring along. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface FirstAdmin extends SignedIn {
  readonly name: 'admin';
  readonly password: string;
  /** An API token that may do everything. */
  readonly token: string;
}

/** The token of the link that a coordinator prints as long as nobody administers it. */
export function setupTokenOf(coordinator: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    coordinator.stderr?.on('data', (piece: Buffer) => {
      text += piece.toString('utf8');
      const token = /#setup=([\w-]+)/.exec(text)?.[1];
      if (token !== undefined) resolve(token);
    });
  });
}

/** Uses the link that the coordinator's first start printed. */
export async function becomeFirstAdmin(url: string, setupToken: string): Promise<FirstAdmin> {
  const password = randomBytes(12).toString('base64url');
  await json(await send(url, 'POST', routes.setup, undefined, { token: setupToken, password }));
  const signedIn = await signIn(url, 'admin', password);
  const request = { name: 'everything', permissions: [...permissions] };
  const answer = await send(url, 'POST', routes.tokens, undefined, request, signedIn.headers);
  return { ...signedIn, name: 'admin', password, token: (await json<NewApiToken>(answer)).token };
}

/** Signs a user in. */
export async function signIn(url: string, name: string, password: string, code?: string): Promise<SignedIn> {
  const credentials = { name, password, ...(code === undefined ? {} : { code }) };
  const answer = await send(url, 'POST', routes.signIn, undefined, credentials);
  const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0];
  const me = await json<MeView>(answer);
  return { me, headers: { cookie, [CSRF_HEADER]: me.csrfToken ?? '' } };
}
