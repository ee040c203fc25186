/**
 * A page for whoever looks after this machine: what `fedlora status` says, on a Unix socket or a loopback port. Off unless configured.
 *
 * Guarantee  it only answers GET and HEAD, changes nothing and takes nothing in; requests under another name than this machine's are
 *            refused; what it shows are the fields of the status: no row, path, key, loss or norm.
 */

import { createHash } from 'node:crypto';
import { chmod, lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { FedloraError } from '@fedlora/shared';
import { describeStatus } from './describe-status.js';
import { isOwnHost, type StatusAddress } from '../config/status-address.js';
import type { Status } from './status-file.js';

export interface StatusPage {
  close(): Promise<void>;
}

const STYLE =
  'body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:60rem;color-scheme:light dark}' +
  'th{text-align:left;font-weight:600;padding-right:2rem;vertical-align:top;white-space:pre}td,th{padding-block:.15rem}';

/** No script, no picture, no frame, no form: text and its own style. */
const HEADERS = {
  'content-security-policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const;

/** Each stays open for seconds only; nobody who looks after a machine needs more. */
const MOST_CONNECTIONS = 16;
const REFRESH_SECONDS = 10;

/**
 * Listens, and shows what `current` gives at each request. A socket that a killed client left behind is replaced; any other file is not.
 *
 * @throws FedloraError config/invalid: the address is taken, or not to be had
 */
export async function openStatusPage(address: StatusAddress, current: () => Status): Promise<StatusPage> {
  const port = address.kind === 'tcp' ? address.port : undefined;
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: 5000 }, (request, response) =>
    answer(request, response, port, current),
  );
  server.maxConnections = MOST_CONNECTIONS;
  server.keepAliveTimeout = 1000;
  try {
    if (address.kind === 'unix') await removeSocket(address.path);
    await listening(server, address);
    if (address.kind === 'unix') await chmod(address.path, 0o600);
  } catch (cause) {
    throw new FedloraError('config/invalid', `The status page cannot listen: ${(cause as Error).message}`, {
      where: 'statusPage',
      cause,
    });
  }
  return {
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      if (address.kind === 'unix') await rm(address.path, { force: true });
    },
  };
}

function listening(server: Server, address: StatusAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const at = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    server.listen({ ...at, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function removeSocket(path: string): Promise<void> {
  const facts = await lstat(path).catch(() => undefined);
  if (facts?.isSocket() === true) await rm(path);
}

function answer(
  { method, headers, url }: IncomingMessage,
  response: ServerResponse,
  port: number | undefined,
  current: () => Status,
): void {
  const reply = (status: number, type: string, body: string, more: Readonly<Record<string, string>> = {}): void => {
    response.writeHead(status, { ...HEADERS, 'content-type': `${type}; charset=utf-8`, ...more });
    response.end(method === 'HEAD' ? undefined : body);
  };
  if (port !== undefined && !isOwnHost(headers.host, port))
    reply(421, 'text/plain', 'This is another machine’s name.\n');
  else if (method !== 'GET' && method !== 'HEAD')
    reply(405, 'text/plain', 'Only to look at.\n', { allow: 'GET, HEAD' });
  else if (url === '/status.json') reply(200, 'application/json', `${JSON.stringify(current())}\n`);
  else if (url === '/') reply(200, 'text/html', pageOf(current()));
  else reply(404, 'text/plain', 'There is / and /status.json.\n');
}

function pageOf(status: Status): string {
  const rows = describeStatus(status, (time) => new Date(time).toLocaleString()).map(
    ({ label, text }) => `<tr><th scope="row">${escaped(label)}</th><td>${escaped(text)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<title>${escaped(`${status.organisation}: ${status.state}`)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Fedlora client</h1>
<table>
${rows.join('\n')}
</table>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
