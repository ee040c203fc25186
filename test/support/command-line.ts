/** The client's command line in this process, with what it printed. */

import type { CliContext } from '../../client/src/cli/context.js';
import { runCommand } from '../../client/src/cli/program.js';

export interface Printed {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Runs `fedlora ...args`, with `changes` to what it finds around it. */
export async function fedlora(args: readonly string[], changes: Partial<CliContext> = {}): Promise<Printed> {
  const out: string[] = [];
  const error: string[] = [];
  const code = await runCommand(args, {
    out: (line) => out.push(line),
    write: (text) => out.push(text),
    error: (line) => error.push(line),
    progress: () => undefined,
    environment: {},
    readInput: async () => '',
    askSecret: async () => undefined,
    ask: async () => undefined,
    ...changes,
  });
  return { code, out: out.join('\n'), error: error.join('\n') };
}
