/** Cells beside each other, each in a process of its own: a small model computes on one core. */

import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Method } from './methods.js';
import type { DatasetPreset } from './presets.js';
import type { Result } from './run-method.js';

/** What a process needs to know of a cell: folders, and what the rows follow from. */
export interface CellTask {
  readonly preset: DatasetPreset;
  readonly seed: number;
  readonly method: Method;
  /** Folder of the base model. */
  readonly base: string;
  /** Folder of its tokenizer. */
  readonly tokenizer: string;
  readonly phrases: string;
  readonly data: string;
}

export type CellReply =
  { readonly share: number } | { readonly results: readonly Result[] } | { readonly error: string };

/**
 * Computes all, in about their order.
 *
 * @param jobs most processes at a time
 * @param program of a process: answers each `CellTask` with `CellReply`s
 * @throws Error what a cell failed with; the cells that were not done are given up
 */
export async function computeCells<Task extends CellTask>(
  tasks: readonly Task[],
  jobs: number,
  onShare: (task: Task, share: number) => void,
  onDone: (task: Task, results: readonly Result[], seconds: number) => Promise<void>,
  program = join(import.meta.dirname, 'cell-process.js'),
): Promise<void> {
  const left = [...tasks];
  const children: ChildProcess[] = [];
  const lane = async (): Promise<void> => {
    const child = fork(program);
    children.push(child);
    for (let task = left.shift(); task !== undefined; task = left.shift()) {
      const startedAt = performance.now();
      const current = task;
      const results = await ask(child, current, (share) => onShare(current, share));
      await onDone(current, results, (performance.now() - startedAt) / 1000);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(jobs, tasks.length) }, lane));
  } finally {
    for (const child of children) child.kill();
  }
}

function ask(child: ChildProcess, task: CellTask, onShare: (share: number) => void): Promise<readonly Result[]> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`The process of a cell ended with ${code}.`));
    const heard = (reply: CellReply): void => {
      if ('share' in reply) return onShare(reply.share);
      child.off('message', heard).off('exit', ended);
      if ('results' in reply) resolve(reply.results);
      else reject(new Error(reply.error));
    };
    child.on('message', heard).on('exit', ended);
    // What a process is told is JSON, so that a task may have more than it needs.
    child.send(task);
  });
}
