/**
 * A child process that does one step whenever it is told, so that two programs can be measured by turns under the same load.
 *
 * Protocol   a line `step` on its input -> a line {"cpuSeconds", "wallSeconds"} on its output; its first line, of its own accord, is
 *            {"ready": true, ...}; `end` -> {"peakMiB", ...}, and it exits.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Measured } from './report.js';
import { median } from './report.js';

type Line = Readonly<Record<string, number | string | boolean>>;

export class Stepper {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #steps: { cpuSeconds: number; wallSeconds: number }[] = [];
  #ready: Line = {};

  private constructor(
    command: string,
    args: readonly string[],
    readonly name: string,
    environment: Readonly<Record<string, string>>,
  ) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
    const reader: Interface = createInterface({ input: child.stdout });
    this.#child = child;
    this.#lines = reader[Symbol.asyncIterator]();
  }

  /** Starts the program and waits until it is ready. */
  static async start(
    name: string,
    command: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Stepper> {
    const stepper = new Stepper(command, args, name, environment);
    stepper.#ready = await stepper.#line();
    return stepper;
  }

  /** One step; `isWarmUp` leaves it out of the medians. */
  async step(isWarmUp = false): Promise<void> {
    const { cpuSeconds, wallSeconds } = await this.#ask('step');
    if (!isWarmUp) this.#steps.push({ cpuSeconds: Number(cpuSeconds), wallSeconds: Number(wallSeconds) });
  }

  /** Ends the program. Medians of its steps, and what it said of itself. */
  async end(): Promise<Measured & { readonly name: string }> {
    const { peakMiB, ...more } = await this.#ask('end');
    const { ready, ...said } = this.#ready;
    if (ready !== true) throw new Error(`${this.name} never was ready.`);
    return {
      name: this.name,
      cpuSeconds: median(this.#steps.map((step) => step.cpuSeconds)),
      wallSeconds: median(this.#steps.map((step) => step.wallSeconds)),
      peakMiB: Number(peakMiB),
      ...said,
      ...more,
    };
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #ask(what: string): Promise<Line> {
    this.#child.stdin!.write(`${what}\n`); // Safe: spawned with pipes.
    return this.#line();
  }

  async #line(): Promise<Line> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`${this.name} ended before its answer; see its output above.`);
    return JSON.parse(value) as Line;
  }
}

/** Lets all programs do one step after the other, `repeats` times after a warm-up. The programs are ended. */
export async function byTurns(steppers: readonly Stepper[], repeats: number): Promise<(Measured & { name: string })[]> {
  try {
    for (const stepper of steppers) await stepper.step(true);
    for (let repeat = 0; repeat < repeats; repeat++) for (const stepper of steppers) await stepper.step();
    const results = [];
    for (const stepper of steppers) results.push(await stepper.end());
    return results;
  } finally {
    for (const stepper of steppers) stepper.kill();
  }
}

/** The other side, in a program that is measured: answers until told to end. `finish` gives what it has to say of itself. */
export async function answerSteps(
  ready: Line,
  step: () => Promise<unknown>,
  finish: () => Line | Promise<Line> = () => ({}),
): Promise<void> {
  const say = (line: Line): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
  say({ ready: true, ...ready });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'end') {
      say({ peakMiB: process.resourceUsage().maxRSS / 1024, ...(await finish()) });
      return;
    }
    const before = process.cpuUsage();
    const startedAt = performance.now();
    await step();
    const wallSeconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(before);
    say({ cpuSeconds: (user + system) / 1e6, wallSeconds });
  }
}
