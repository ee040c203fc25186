/** The processes of a simulation's clients, asked from here. */

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { WorkerAnswer, WorkerReport, WorkerRequest } from './worker-messages.js';

export class Workers {
  private readonly children: ChildProcess[];

  constructor(count: number) {
    this.children = Array.from({ length: count }, () =>
      // Maps travel as they are.
      fork(join(import.meta.dirname, 'worker.js'), { serialization: 'advanced' }),
    );
  }

  get count(): number {
    return this.children.length;
  }

  /** Asks all of them at once; rejects with the first that failed. */
  async ask(requestOf: (worker: number) => WorkerRequest): Promise<WorkerReport[]> {
    const answers = await Promise.all(this.children.map((child, index) => askOne(child, requestOf(index))));
    return answers.flatMap(({ report }) => (report === undefined ? [] : [report]));
  }

  /** Ends them now; what they would still have said is lost. */
  async kill(): Promise<void> {
    await Promise.all(
      this.children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }),
    );
  }
}

function askOne(child: ChildProcess, request: WorkerRequest): Promise<Extract<WorkerAnswer, { kind: 'done' }>> {
  return new Promise((resolve, reject) => {
    const listen = (answer: WorkerAnswer): void => {
      child.off('exit', ended);
      if (answer.kind === 'done') resolve(answer);
      else reject(new Error(`A process of clients could not ${request.kind}: ${answer.message}`));
    };
    const ended = (code: number | null): void => {
      child.off('message', listen);
      reject(new Error(`A process of clients ended with code ${code}.`));
    };
    child.once('message', listen).once('exit', ended);
    child.send(request);
  });
}
