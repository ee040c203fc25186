/**
 * A shell for the commands of a document, one after another in the same session. `fedlora` is the program itself, in this process: a
 * process for each would cost half a second of processor time. `fedlora run` and `fedlora-coordinator`, which go on, are real ones.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fedlora } from './command-line.js';

export interface Ran {
  readonly code: number;
  /** Both outputs, as they came. */
  readonly output: string;
}

/** For each call: its words and environment in a folder, whose name goes to this process; its output comes back beside them. */
const PRELUDE = `
fedlora() {
  if [ "$1" = run ]; then exec node "$FEDLORA/client/bin/fedlora.mjs" "$@"; fi
  local call code
  call=$(mktemp -d "$CALLS/XXXXXX") && mkfifo "$call/code"
  printf '%s\\0' "$PWD" "$@" > "$call/words"
  env -0 > "$call/environment"
  echo "$call" >&3
  read -r code < "$call/code"
  cat "$call/error" >&2
  cat "$call/out"
  return "$code"
}
fedlora-coordinator() {
  if [ "$BASH_SUBSHELL" -gt 0 ]; then exec node "$FEDLORA/coordinator/bin/fedlora-coordinator.mjs" "$@"; fi
  node "$FEDLORA/coordinator/bin/fedlora-coordinator.mjs" "$@"
}
set -o pipefail
exec 2>&1
`;

export class DocsShell {
  /** Stands in the output after a command has ended, before its exit code. */
  private readonly mark = randomUUID();
  private readonly shell: ChildProcess;
  private output = '';
  private ended: ((ran: Ran) => void) | undefined;
  private calls: Promise<void> = Promise.resolve();

  /** `calls`: an empty folder for what passes between the shell and this process. */
  constructor(folder: string, calls: string, environment: NodeJS.ProcessEnv) {
    this.shell = spawn('bash', ['--norc'], {
      cwd: folder,
      env: { ...environment, CALLS: calls },
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
      // A group of its own, so that nothing that a document started stays behind.
      detached: true,
    });
    this.shell.stdout?.setEncoding('utf8').on('data', (piece: string) => this.read(piece));
    createInterface({ input: this.shell.stdio[3] as Readable }).on('line', (call) => {
      this.calls = this.calls.then(() => this.answer(call));
    });
    this.stdin.write(PRELUDE);
  }

  /** Runs a command to its end, without input. */
  run(command: string): Promise<Ran> {
    this.output = '';
    const ran = new Promise<Ran>((resolve) => {
      this.ended = resolve;
    });
    this.stdin.write(`{\n${command}\n} < /dev/null\necho "${this.mark} $?"\n`);
    return ran;
  }

  /** Ends the shell, and whatever it started and did not end. */
  close(): void {
    if (this.shell.pid !== undefined && this.shell.exitCode === null) process.kill(-this.shell.pid, 'SIGKILL');
  }

  private get stdin(): Writable {
    // Safe: it was spawned with a pipe.
    return this.shell.stdin as Writable;
  }

  private read(piece: string): void {
    this.output += piece;
    const [output, code] = this.output.split(`${this.mark} `);
    if (code?.endsWith('\n') === true) this.ended?.({ output, code: Number(code) });
  }

  private async answer(call: string): Promise<void> {
    const [folder, ...words] = entries(await readFile(join(call, 'words'), 'utf8'));
    const environment = Object.fromEntries(
      entries(await readFile(join(call, 'environment'), 'utf8')).map((entry) => {
        const at = entry.indexOf('=');
        return [entry.slice(0, at), entry.slice(at + 1)];
      }),
    );
    // Paths that a command is given are meant from where the shell is.
    const before = process.cwd();
    process.chdir(folder);
    const { code, out, error } = await fedlora(words, { environment });
    process.chdir(before);
    await writeFile(join(call, 'out'), out === '' ? '' : `${out}\n`);
    await writeFile(join(call, 'error'), error === '' ? '' : `${error}\n`);
    await writeFile(join(call, 'code'), `${code}\n`);
  }
}

function entries(text: string): string[] {
  return text.split('\0').slice(0, -1);
}
