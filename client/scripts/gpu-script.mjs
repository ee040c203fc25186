/** What the `npm run gpu:...` scripts share: how they start programs, speak, and say what stands in the way. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** What stands in the way, and what to do about it. */
export class Obstacle extends Error {
  constructor(cause, remedy) {
    super(cause);
    this.remedy = remedy;
  }
}

/** Runs a program to its end. `status` is null where it could not be started. */
export function run(program, args, options = {}) {
  return spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 28, ...options });
}

export const works = (program, args) => run(program, args).status === 0;

/** The end of a program's output, for an error. */
export function tail({ stdout, stderr, error }, lines = 15) {
  const text = `${stdout ?? ''}${stderr ?? ''}${error === undefined ? '' : error.message}`;
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

export function say(step, text) {
  process.stdout.write(`${step.padEnd(11)} ${text}\n`);
}

export const hasNvidiaDriver = () => existsSync('/proc/driver/nvidia/version') || works('nvidia-smi', ['-L']);

/** Folder of an npm package. */
export function packageFolder(name, remedy) {
  const require = createRequire(import.meta.url);
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch (cause) {
    throw new Obstacle(`The npm package ${name} is not installed (${cause.code}).`, remedy);
  }
}

/** Runs a script's work; an obstacle becomes two lines and exit code 1. */
export async function perform(main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Obstacle) && !String(error.code).startsWith('ERR_PARSE_ARGS')) throw error;
    process.stderr.write(`${error.message}\n  what to do: ${error.remedy ?? 'See --help.'}\n`);
    process.exitCode = 1;
  }
}
