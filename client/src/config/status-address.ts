/** Where the status page may listen: on this machine only. */

import { isIPv4 } from 'node:net';

export type StatusAddress =
  | { readonly kind: 'unix'; readonly path: string }
  /** `host`: 127.0.0.0/8 or ::1. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/**
 * Reads `unix:PATH`, `127.0.0.1:PORT`, `localhost:PORT` or `[::1]:PORT`.
 *
 * Edge cases localhost -> 127.0.0.1, whatever a resolver says | another address, a name or no port -> undefined
 */
export function statusAddress(text: string): StatusAddress | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? { kind: 'unix', path: text.slice(5) } : undefined;
  const match = /^(localhost|127\.[\d.]+|\[::1\]):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, name, digits] = match;
  const host = name === 'localhost' ? '127.0.0.1' : name === '[::1]' ? '::1' : name;
  const port = Number(digits);
  return (isIPv4(host) || host === '::1') && port >= 1 && port <= 65_535 ? { kind: 'tcp', host, port } : undefined;
}

/**
 * Whether a request's Host header names the page's own address. A page of another site that gives its name this machine's address (DNS
 * rebinding) sends its own name.
 */
export function isOwnHost(header: string | undefined, port: number): boolean {
  const at = header === undefined ? undefined : (statusAddress(header) ?? statusAddress(`${header}:80`));
  return at?.kind === 'tcp' && at.port === port;
}
