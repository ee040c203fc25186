/** The cookies that browsers get: no script reads them, no other site sends them, and over TLS they go over TLS only. */

import type { Request, Response } from 'express';

/** Of a sign-in. Browsers take a name with `__Host-` only for this host, from it and over TLS. */
export function cookieName(isSecure: boolean): string {
  return isSecure ? '__Host-fedlora' : 'fedlora';
}

/** Of a sign-in with the identity provider that waits for its answer. */
export function flowCookieName(isSecure: boolean): string {
  return `${cookieName(isSecure)}-flow`;
}

export function giveCookie(request: Request, response: Response, name: string, token: string, maxAge: number): void {
  response.cookie(name, token, { ...optionsOf(request), maxAge });
  response.set('cache-control', 'no-store');
}

export function clearCookie(request: Request, response: Response, name: string): void {
  response.clearCookie(name, optionsOf(request));
}

/** A token of ours from a request's `Cookie`. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const found = (header ?? '').split(';').find((part) => part.trim().startsWith(`${name}=`));
  const value = found?.trim().slice(name.length + 1);
  return value !== undefined && /^[\w-]{20,100}$/.test(value) ? value : undefined;
}

function optionsOf(request: Request): { httpOnly: true; sameSite: 'strict'; secure: boolean; path: string } {
  return { httpOnly: true, sameSite: 'strict', secure: request.secure, path: '/' };
}
