/**
 * The proxies of `deploy/proxy`, run with their example configurations, in which nothing but ports, name, certificate and folders is
 * changed to those of a test.
 */

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePort, untilListening } from './free-port.js';
import { endProcess } from './processes.js';

const root = resolve(import.meta.dirname, '..', '..');
const tls = join(root, 'test', 'fixtures', 'tls');

export interface DeployedProxy {
  /** `https`, with the certificate `first` of the fixtures. */
  readonly url: string;
  /** `http`, where there is only the way to `url`. */
  readonly plainUrl: string;
  stop(): Promise<void>;
}

export interface ProxyProgram {
  readonly name: string;
  /** Where it is; `undefined` where it is not installed. */
  readonly path: string | undefined;
  /** Starts it before the coordinator at `port`; `directory` is its own. */
  start(directory: string, port: number): Promise<DeployedProxy>;
}

/** With which a program checks its configuration, and starts. */
interface Options {
  readonly check: readonly string[];
  readonly start: readonly string[];
}

interface Ports {
  readonly coordinator: number;
  readonly secure: number;
  readonly plain: number;
}

export const nginx: ProxyProgram = {
  name: 'nginx',
  path: installed(['nginx', '/usr/sbin/nginx'], '-v'),
  start(directory, port) {
    return run(this, directory, port, (ports) =>
      withNginx(directory, 'nginx.conf', [
        ['server 127.0.0.1:7400;', `server 127.0.0.1:${ports.coordinator};`],
        ['listen 80;', `listen 127.0.0.1:${ports.plain};`],
        ['listen 443 ssl http2;', `listen 127.0.0.1:${ports.secure} ssl http2;`],
        ['/etc/ssl/fedlora/fullchain.pem', join(tls, 'first.pem')],
        ['/etc/ssl/fedlora/privkey.pem', join(tls, 'first.key')],
      ]),
    );
  },
};

/** Has nginx include an example for a site, with these parts replaced. */
function withNginx(directory: string, example: string, parts: readonly (readonly [string, string])[]): Options {
  const site = replaced(readFileSync(join(root, 'deploy/proxy', example), 'utf8'), [
    ...parts,
    ['listen [::]:80;', ''],
    ['listen [::]:443 ssl http2;', ''],
    ['server_name fedlora.example.org;', 'server_name localhost;'],
  ]);
  writeFileSync(join(directory, 'fedlora.conf'), site);
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(directory, kind)};`,
  );
  const main = `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    pid ${join(directory, 'nginx.pid')};
    error_log stderr;
    daemon off;
    events {}
    http {
      access_log off;
      ${folders.join('\n')}
      include ${join(directory, 'fedlora.conf')};
    }`;
  writeFileSync(join(directory, 'nginx.conf'), main);
  const options = ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'];
  return { check: ['-t', ...options], start: options };
}

export const caddy: ProxyProgram = {
  name: 'Caddy',
  path: installed(['caddy'], 'version'),
  start(directory, port) {
    return run(this, directory, port, (ports) => {
      const file = replaced(readFileSync(join(root, 'deploy/proxy/Caddyfile'), 'utf8'), [
        // No interface for its own administration, and ports that a test may have.
        ['{\n\tservers {', `{\n\tadmin off\n\thttp_port ${ports.plain}\n\thttps_port ${ports.secure}\n\tservers {`],
        [
          '{$FEDLORA_NAME:fedlora.example.org} {',
          `localhost {\n\tbind 127.0.0.1\n\ttls ${join(tls, 'first.pem')} ${join(tls, 'first.key')}`,
        ],
        ['{$FEDLORA_UPSTREAM:127.0.0.1:7400}', `127.0.0.1:${ports.coordinator}`],
      ]);
      const path = join(directory, 'Caddyfile');
      writeFileSync(path, file);
      const options = ['--adapter', 'caddyfile', '--config', path];
      return { check: ['validate', ...options], start: ['run', ...options] };
    });
  },
};

/**
 * Caddy with the example for several coordinators, those of these ports, in plain HTTP: TLS is the same as with one.
 *
 * @param root of the repository
 * @returns its address
 */
export async function startReplicasProxy(
  root: string,
  directory: string,
  coordinators: readonly number[],
): Promise<Pick<DeployedProxy, 'url' | 'stop'>> {
  const proxy = await run(caddy, directory, 0, ({ secure }) => {
    const file = replaced(readFileSync(join(root, 'deploy/proxy/Caddyfile.replicas'), 'utf8'), [
      ['{\n\tservers {', '{\n\tadmin off\n\tservers {'],
      ['{$FEDLORA_NAME:fedlora.example.org} {', `http://localhost:${secure} {\n\tbind 127.0.0.1`],
      ['{$FEDLORA_UPSTREAMS:10.0.0.5:7400 10.0.0.6:7400}', coordinators.map((port) => `127.0.0.1:${port}`).join(' ')],
    ]);
    const path = join(directory, 'Caddyfile');
    writeFileSync(path, file);
    const options = ['--adapter', 'caddyfile', '--config', path];
    return { check: ['validate', ...options], start: ['run', ...options] };
  });
  return { url: proxy.url.replace('https:', 'http:'), stop: () => proxy.stop() };
}

/**
 * nginx with the example for several coordinators, those of these two ports, in plain HTTP: TLS is the same as with one.
 *
 * @returns its address
 */
export async function startReplicasNginx(
  directory: string,
  [one, other]: readonly [number, number],
): Promise<Pick<DeployedProxy, 'url' | 'stop'>> {
  const proxy = await run(nginx, directory, 0, (ports) =>
    withNginx(directory, 'nginx.replicas.conf', [
      ['10.0.0.5:7400', `127.0.0.1:${one}`],
      ['10.0.0.6:7400', `127.0.0.1:${other}`],
      ['listen 80;', `listen 127.0.0.1:${ports.plain};`],
      ['listen 443 ssl http2;', `listen 127.0.0.1:${ports.secure};`],
      ...['ssl_certificate ', 'ssl_certificate_key '].map((name) => [name, `# ${name}`] as const),
    ]),
  );
  return { url: proxy.url.replace('https:', 'http:'), stop: () => proxy.stop() };
}

/** Has a program check its configuration, starts it, and waits until it listens. */
async function run(
  { name, path }: ProxyProgram,
  directory: string,
  coordinator: number,
  configure: (ports: Ports) => Options,
): Promise<DeployedProxy> {
  if (path === undefined) throw new Error(`${name} is not installed here.`);
  mkdirSync(directory, { recursive: true });
  const ports = { coordinator, secure: await freePort(), plain: await freePort() };
  const { check, start } = configure(ports);
  // Caddy keeps what it knows below the home folder.
  const env = { PATH: process.env['PATH'], HOME: directory };
  const checked = spawnSync(path, check, { encoding: 'utf8', env });
  if (checked.status !== 0) throw new Error(`${name} does not take its configuration: ${checked.stderr}`);
  const child = spawn(path, start, { stdio: ['ignore', 'ignore', 'pipe'], env });
  let said = '';
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString('utf8')));
  await untilListening(ports.secure, () => {
    if (child.exitCode !== null) throw new Error(`${name} does not start: ${said}`);
  });
  return {
    url: `https://localhost:${ports.secure}`,
    plainUrl: `http://localhost:${ports.plain}`,
    stop: () => endProcess(child),
  };
}

/** A text with every one of these parts replaced. @throws Error where a part is not in it */
function replaced(text: string, parts: readonly (readonly [string, string])[]): string {
  return parts.reduce((before, [from, to]) => {
    if (!before.includes(from)) throw new Error(`The example has no “${from}”.`);
    return before.replaceAll(from, () => to);
  }, text);
}

function installed(paths: readonly string[], asking: string): string | undefined {
  return paths.find((path) => spawnSync(path, [asking]).status === 0);
}
