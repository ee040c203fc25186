/** Child processes that never outlive this one. */

import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';

/** How a program ended, with everything it printed. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts programs and ends every one of them when asked, or when this process ends for any reason it can notice. */
export class Processes {
  private readonly running = new Set<ChildProcess>();
  private readonly killAll = (): void => {
    for (const child of this.running) child.kill('SIGKILL');
  };

  constructor() {
    process.once('exit', this.killAll);
  }

  /** Starts a Node program whose output goes to a log file. */
  start(args: readonly string[], options: { log: string; env?: NodeJS.ProcessEnv }): ChildProcess {
    const log = createWriteStream(options.log, { flags: 'a' });
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.track(child);
    return child;
  }

  /** Runs a Node program to its end. */
  async run(
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; input?: string; onLine?: (line: string) => void } = {},
  ): Promise<Finished> {
    const child = spawn(process.execPath, args, { stdio: 'pipe', env: { ...process.env, ...options.env } });
    this.track(child);
    let stdout = '';
    let stderr = '';
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (options.onLine === undefined) return;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(options.onLine);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.end(options.input ?? '');
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr };
  }

  /** Asks every program to end, and after `graceMs` makes it. */
  async stop(graceMs = 5000): Promise<void> {
    await Promise.all([...this.running].map((child) => endProcess(child, graceMs)));
    process.removeListener('exit', this.killAll);
  }

  private track(child: ChildProcess): void {
    this.running.add(child);
    child.once('exit', () => this.running.delete(child));
  }
}

/** Asks one program to end; returns when it has. */
export async function endProcess(child: ChildProcess, graceMs = 5000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await gone;
  clearTimeout(timer);
}

/** Ends one program as `kill -9` does; returns when it has ended. */
export async function killNow(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
