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
  /** Asks on the terminal; `undefined` where there is none. */
  readonly ask: (question: string) => Promise<string | undefined>;
}

/** What a shell shows of a program that SIGPIPE ended. */
const PIPE_CLOSED = 141;

export function processContext(): CliContext {
  const { stdin, stdout, stderr } = process;
  for (const stream of [stdout, stderr]) stream.on('error', endWithReader);
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
      const { Writable } = await import('node:stream');
      stderr.write(question);
      const answer = await askOn(new Writable({ write: (_chunk, _encoding, done) => done() }), '');
      stderr.write('\n');
      return answer;
    },
    ask: async (question) => (stdin.isTTY ? askOn(stderr, question) : undefined),
  };
}

/** Nobody reads any more, as after `| head`: the program ends without a word, as others do. Node ignores the signal that would. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(PIPE_CLOSED);
}

async function askOn(output: NodeJS.WritableStream, question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const reader = createInterface({ input: process.stdin, output, terminal: true });
  try {
    return await reader.question(question);
  } finally {
    reader.close();
  }
}
