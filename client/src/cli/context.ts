/** What a command touches of the process: the only place of the command line that does, so that tests can pass their own. */

export interface CliContext {
  readonly out: (line: string) => void;
  /** Part of a line, for text that is shown as it comes. */
  readonly write: (text: string) => void;
  readonly error: (line: string) => void;
  /** Overwrites the current line of a terminal; elsewhere writes a line if it is a milestone, and else nothing. */
  readonly progress: (line: string, isMilestone?: boolean) => void;
  readonly environment: NodeJS.ProcessEnv;
  /** Everything that is piped in. */
  readonly readInput: () => Promise<string>;
  /** Asks on the terminal without showing the answer; `undefined` where there is no terminal. */
  readonly askSecret: (question: string) => Promise<string | undefined>;
}

export function processContext(): CliContext {
  const { stdin, stdout, stderr } = process;
  return {
    out: (line) => stdout.write(`${line}\n`),
    write: (text) => stdout.write(text),
    error: (line) => stderr.write(`${line}\n`),
    progress: (line, isMilestone = false) => {
      if (stderr.isTTY) stderr.write(`\r\x1b[2K${line}`);
      else if (isMilestone) stderr.write(`${line}\n`);
    },
    environment: process.env,
    readInput: async () => {
      const pieces: Buffer[] = [];
      for await (const piece of stdin) pieces.push(piece as Buffer);
      return Buffer.concat(pieces).toString('utf8');
    },
    askSecret: async (question) => {
      if (!stdin.isTTY) return undefined;
      const { createInterface } = await import('node:readline/promises');
      const { Writable } = await import('node:stream');
      stderr.write(question);
      const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
      const reader = createInterface({ input: stdin, output: silent, terminal: true });
      const answer = await reader.question('');
      reader.close();
      stderr.write('\n');
      return answer;
    },
  };
}
