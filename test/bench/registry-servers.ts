/** The two servers of the benchmark: a coordinator with one version, and nginx with the same file. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { routes, type ReleaseView, type RunView } from '@fedlora/shared';
import { FakeFederation } from '../support/fake-federation.js';
import { freePort } from '../support/free-port.js';
import { Network } from '../support/network.js';
import { endProcess } from '../support/processes.js';
import { listAll, operate } from '../support/requests.js';
import type { Target } from './registry-load.js';

export interface BenchServer {
  readonly name: string;
  readonly target: Target;
  /** Of all of its processes. */
  readonly pids: () => readonly number[];
  stop(): Promise<void>;
}

const REPOSITORY = 'bench/adapter';

/** r 16 on seven layers of 24 blocks that are 832 wide: 12.3 million parameters, 49 MB. */
const run = {
  title: 'Registry benchmark',
  repository: REPOSITORY,
  rounds: 1,
  base: {
    name: 'bench',
    digest: 'b'.repeat(64),
    shape: {
      hidden_size: 832,
      intermediate_size: 3328,
      num_hidden_layers: 24,
      num_attention_heads: 13,
      num_key_value_heads: 13,
    },
  },
  adapter: { rule: 'ffa-svd', r: 16, lora_alpha: 16, target_modules: ['all-linear'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 64 },
  privacy: { unit: 'none', l2Bound: 1, noiseMultiplier: 0, delta: 0, assumedColluders: 1 },
  training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
  server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
};

export interface Registry extends BenchServer {
  /** The weights on its disk. */
  readonly file: string;
}

/** A coordinator as it is started in production, with the first version of a run. */
export async function startRegistry(directory: string, root: string): Promise<Registry> {
  const federation = new FakeFederation();
  const network = new Network({ directory, root, base: '', organisations: [], logLevel: 'warn' });
  try {
    mkdirSync(join(directory, 'logs'), { recursive: true });
    network.federationKey = federation.federationKey;
    await network.startCoordinator();
    await federation.enrol(network.url, network.token, ['bank', 'clinic', 'council']);
    const { id } = await operate<RunView>(network.url, network.token, 'POST', routes.runs, run);
    await operate(network.url, network.token, 'POST', routes.runPause(id), {});
    const [version] = await listAll<ReleaseView>(network.url, network.token, routes.releases(REPOSITORY));
    await operate(network.url, network.token, 'PUT', routes.channel(REPOSITORY, 'stable'), {
      version: version.id,
      override: 'for the benchmark',
    });
    const address = JSON.parse(readFileSync(join(network.coordinatorData, 'address.json'), 'utf8')) as { pid: number };
    return {
      name: 'coordinator',
      target: {
        url: network.url,
        path: `/${REPOSITORY}/resolve/stable/adapter_model.safetensors`,
        headers: { authorization: `Bearer ${network.token}` },
      },
      file: join(network.coordinatorData, 'versions', version.id, 'adapter_model.safetensors'),
      pids: () => [address.pid],
      stop: () => network.stop(),
    };
  } catch (error) {
    await network.stop();
    throw error;
  }
}

/** Where nginx is; `undefined` where there is none. */
export function findNginx(): string | undefined {
  return ['nginx', '/usr/sbin/nginx'].find((path) => spawnSync(path, ['-v']).status === 0);
}

/** nginx with the settings that Debian ships, and one folder. */
export async function startNginx(program: string, directory: string, file: string): Promise<BenchServer> {
  const port = await freePort();
  mkdirSync(join(directory, 'served'), { recursive: true });
  copyFileSync(file, join(directory, 'served', 'adapter_model.safetensors'));
  const config = join(directory, 'nginx.conf');
  writeFileSync(
    config,
    `${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes auto;
pid ${join(directory, 'nginx.pid')};
error_log stderr;
daemon off;
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  access_log ${join(directory, 'access.log')};
  server { listen 127.0.0.1:${port}; root ${join(directory, 'served')}; }
}
`,
  );
  const child = spawn(program, ['-p', directory, '-c', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  const target = { url: `http://127.0.0.1:${port}`, path: '/adapter_model.safetensors' };
  for (let attempt = 0; ; attempt++) {
    const isUp = await fetch(`${target.url}${target.path}`, { method: 'HEAD' }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isUp) break;
    if (child.exitCode !== null || attempt > 100) throw new Error('nginx did not start.');
    await wait(50);
  }
  return { name: 'nginx', target, pids: () => [child.pid ?? 0, ...childrenOf(child)], stop: () => endProcess(child) };
}

function childrenOf({ pid }: ChildProcess): readonly number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split(/\s+/).map(Number) : [];
}
