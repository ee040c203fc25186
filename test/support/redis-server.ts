/** Debian's Redis for tests: a server of its own in a temporary folder, on a free port of this machine, that nothing outlives. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from './free-port.js';

/** Far more than it takes to start on a busy machine. */
const START_MS = 180_000;
const PROGRAM = '/usr/bin/redis-server';

export function hasRedis(): boolean {
  return existsSync(PROGRAM);
}

export class RedisServer {
  private constructor(
    private readonly folder: string,
    private readonly port: number,
    private process: ChildProcess,
  ) {}

  static async start(): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-redis-'));
    const port = await freePort();
    const server = new RedisServer(folder, port, run(folder, port));
    await server.untilReady();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** As `kill -9` does. Nothing of what it held is left. */
  async halt(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }

  /** Starts it again after `halt`, empty. */
  async goOn(): Promise<void> {
    this.process = run(this.folder, this.port);
    await this.untilReady();
  }

  async stop(): Promise<void> {
    await this.halt();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async untilReady(): Promise<void> {
    const client = new Redis(this.url, { lazyConnect: true, maxRetriesPerRequest: null, retryStrategy: () => 50 });
    client.on('error', () => undefined);
    try {
      await Promise.race([
        client.ping(),
        wait(START_MS, undefined, { ref: false }).then(() => Promise.reject(new Error('Redis does not start.'))),
      ]);
    } finally {
      client.disconnect();
    }
  }
}

function run(folder: string, port: number): ChildProcess {
  const child = spawn(
    PROGRAM,
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
    { stdio: 'ignore' },
  );
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}
