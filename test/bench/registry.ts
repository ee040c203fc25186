/**
 * `npm run bench:registry -- [--json] [--case NAME] [--repeats N]`: what the registry serves, next to nginx with the same file.
 *
 *     pulls        a hundred at once, each of the whole weights of a version, 49 MB, on a connection of its own; by turns with nginx
 *     conditional  is there something new in the channel?, asked with the ETag of what is there, on connections that stay open: one
 *                  request after the other, then ten at once
 *
 * Loopback only, so everything competes for the same processors: the reader is one process, as cheap as Node can read, and the same for
 * both. Compare ratios within one run only. nginx (Debian's settings) is left out, by name, where it is not installed. Linux only.
 */

import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuSeconds, residentMiB } from './process-cost.js';
import { pull, type Target } from './registry-load.js';
import { findNginx, startNginx, startRegistry, type BenchServer, type Registry } from './registry-servers.js';
import { median, runBench, type BenchCase, type Measured } from './report.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const PULLS = 100;
const MIB = 2 ** 20;
/** Of nginx's throughput. */
const TARGET_OF_PEER = 0.7;
const TARGET_MEDIAN_MS = 5;
/** Of each kind; all of them together are within what one token may ask in a burst. */
const CONDITIONAL_REQUESTS = 800;
const CONDITIONAL_AT_ONCE = 10;
const MEMORY_EVERY_MS = 50;
const NGINX_ABSENT = 'nginx (not installed; on Debian: apt-get install nginx-light)';

async function withRegistry<Result>(use: (registry: Registry, directory: string) => Promise<Result>): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'fedlora-bench-'));
  try {
    const registry = await startRegistry(join(directory, 'network'), root);
    try {
      return await use(registry, directory);
    } finally {
      await registry.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Turn {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly peakMiB: number;
  readonly beforeMiB: number;
}

/** All pulls at once, every one of them whole. */
async function turn({ name, target, pids }: BenchServer, bytes: number): Promise<Turn> {
  const beforeMiB = residentMiB(pids());
  let peakMiB = beforeMiB;
  const timer = setInterval(() => (peakMiB = Math.max(peakMiB, residentMiB(pids()))), MEMORY_EVERY_MS);
  const cpuBefore = cpuSeconds(pids());
  const start = performance.now();
  const answers = await Promise.all(Array.from({ length: PULLS }, () => pull(target)));
  const wallSeconds = (performance.now() - start) / 1000;
  clearInterval(timer);
  const wrong = answers.find((answer) => answer.status !== 200 || answer.bytes !== bytes);
  if (wrong !== undefined) throw new Error(`${name} answered ${wrong.status} with ${wrong.bytes} of ${bytes} bytes.`);
  return { cpuSeconds: cpuSeconds(pids()) - cpuBefore, wallSeconds, peakMiB, beforeMiB };
}

function measuredOf(turns: readonly Turn[], bytes: number): Measured {
  const wallSeconds = median(turns.map((one) => one.wallSeconds));
  return {
    cpuSeconds: median(turns.map((one) => one.cpuSeconds)),
    wallSeconds,
    peakMiB: Math.max(...turns.map((one) => one.peakMiB)),
    beforeMiB: turns[0].beforeMiB,
    mibPerSecond: (PULLS * bytes) / MIB / wallSeconds,
  };
}

const pulls: BenchCase = ({ repeats, say }) =>
  withRegistry(async (registry, directory) => {
    const bytes = statSync(registry.file).size;
    await expectSameContent(registry);
    const program = findNginx();
    if (program === undefined) say(`  left out: ${NGINX_ABSENT}.`);
    const nginx = program === undefined ? undefined : await startNginx(program, directory, registry.file);
    try {
      const servers = [registry, ...(nginx === undefined ? [] : [nginx])];
      const turns = new Map(servers.map((server) => [server, [] as Turn[]]));
      for (let i = -1; i < repeats; i++)
        for (const server of servers) {
          const measured = await turn(server, bytes);
          say(`  ${server.name}: ${Math.round((PULLS * bytes) / MIB / measured.wallSeconds)} MiB/s`);
          // The first of each only makes it warm.
          if (i >= 0) turns.get(server)?.push(measured);
        }
      const ours = measuredOf(turns.get(registry) ?? [], bytes);
      if (nginx === undefined) return { ours, peer: null, ratio: null, absent: NGINX_ABSENT };
      const peer = { name: nginx.name, ...measuredOf(turns.get(nginx) ?? [], bytes) };
      return {
        ours: { ...ours, ofPeer: peer.wallSeconds / ours.wallSeconds, targetOfPeer: TARGET_OF_PEER },
        peer,
        ratio: peer.cpuSeconds / ours.cpuSeconds,
      };
    } finally {
      await nginx?.stop();
    }
  });

/** Once, before anything is measured: what is served is what is on the disk. */
async function expectSameContent({ target: { url, path, headers }, file }: Registry): Promise<void> {
  const response = await fetch(url + path, { headers: { ...headers } });
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  if (hash(Buffer.from(await response.arrayBuffer())) !== hash(readFileSync(file)))
    throw new Error('What is served is not the file.');
}

const conditional: BenchCase = () =>
  withRegistry(async ({ target, pids }) => {
    const agent = new Agent({ keepAlive: true, maxSockets: CONDITIONAL_AT_ONCE });
    const head = await fetch(target.url + target.path, { method: 'HEAD', headers: { ...target.headers } });
    const etag = head.headers.get('etag') ?? '';
    /** Milliseconds of each request. */
    const ask = async (atOnce: number, requests: number): Promise<number[]> => {
      const asker = async (): Promise<number[]> => {
        const milliseconds: number[] = [];
        while (milliseconds.length < requests / atOnce) milliseconds.push(await askAgain(target, etag, agent));
        return milliseconds;
      };
      return (await Promise.all(Array.from({ length: atOnce }, asker))).flat();
    };
    await ask(1, 100);
    const cpuBefore = cpuSeconds(pids());
    const start = performance.now();
    const alone = await ask(1, CONDITIONAL_REQUESTS);
    const wallSeconds = (performance.now() - start) / 1000;
    const cpu = cpuSeconds(pids()) - cpuBefore;
    const together = await ask(CONDITIONAL_AT_ONCE, CONDITIONAL_REQUESTS);
    agent.destroy();
    const ours = {
      cpuSeconds: cpu,
      wallSeconds,
      peakMiB: residentMiB(pids()),
      medianMs: median(alone),
      p95Ms: alone.toSorted((a, b) => a - b)[Math.floor(alone.length * 0.95)],
      tenAtOnceMedianMs: median(together),
      targetMedianMs: TARGET_MEDIAN_MS,
    };
    return { ours, peer: null, ratio: null };
  });

/** Milliseconds from the request to the end of its answer. */
function askAgain({ url, path, headers }: Target, etag: string, agent: Agent): Promise<number> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    request(url + path, { agent, headers: { ...headers, 'if-none-match': etag } }, (response) => {
      if (response.statusCode !== 304) reject(new Error(`The answer was ${response.statusCode}, not 304.`));
      response.resume().on('end', () => resolve(performance.now() - start));
    })
      .on('error', reject)
      .end();
  });
}

await runBench('registry', { pulls, conditional });
