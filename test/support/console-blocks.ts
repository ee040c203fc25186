/** The commands of a document: blocks called `console`, `$ ` before each command and `> ` before each line that goes on with it. */

/** With which a block begins that no test can run, and after it why. */
export const NOT_RUN = '# not run by the tests: ';

export interface ConsoleBlock {
  /** Line of the document, from 1, on which its first command stands. */
  readonly line: number;
  readonly commands: readonly string[];
  /** Why it is not run; `undefined`: it is. */
  readonly notRunBecause: string | undefined;
}

/** @throws Error: a block has a line that is no command */
export function consoleBlocks(text: string): ConsoleBlock[] {
  return [...text.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map((match) => {
    const before = text.slice(0, match.index).split('\n').length;
    const lines = match[1].trimEnd().split('\n');
    const notRunBecause = lines[0].startsWith(NOT_RUN) ? lines.shift()?.slice(NOT_RUN.length) : undefined;
    const commands: string[] = [];
    for (const line of lines) {
      if (line.startsWith('$ ')) commands.push(line.slice(2));
      else if (line.startsWith('> ') && commands.length > 0) commands.push(`${commands.pop()}\n${line.slice(2)}`);
      else throw new Error(`This is no command, of a block after line ${before}: ${line}`);
    }
    return { line: before + (notRunBecause === undefined ? 1 : 2), commands, notRunBecause };
  });
}

/** The words of a command that a shell would pass on, as far as quotes and plain words go. */
export function wordsOf(command: string): string[] {
  return [...command.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replaceAll(/["']/g, ''));
}
