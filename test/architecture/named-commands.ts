/** Commands of `fedlora` that documents name. */

import type { Command } from 'commander';
import { commandTree, type CommandNode } from '../../client/src/cli/completion/command-tree.js';
import { processContext } from '../../client/src/cli/context.js';
import { buildProgram } from '../../client/src/cli/program.js';

const tree = commandTree(buildProgram(processContext()));

/** Words of the commands in a document's code that `fedlora` does not have, each with its command. */
export function unknownCommands(text: string): string[] {
  return commandsIn(text).flatMap((words) =>
    unknownWords(tree, words).map((word) => `fedlora ${words.join(' ')}: ${word}`),
  );
}

/**
 * Reads a command as the program would, and does nothing.
 *
 * @throws CommanderError: what is missing or unknown
 */
export async function parseCommand(words: readonly string[]): Promise<void> {
  const program = buildProgram(processContext());
  const doNothing = (command: Command): void => {
    if (command.commands.length === 0) command.action(() => undefined);
    command.commands.forEach(doNothing);
  };
  doNothing(program);
  await program.parseAsync([...words], { from: 'user' });
}

/** The words after `fedlora` of every command in code. */
function commandsIn(text: string): string[][] {
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) => block.split('\n'));
  const spans = [...text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`]+)`/g)].map(([, span]) => span);
  return [...blocks, ...spans]
    .map((line) => /(?:^|sudo -u \S+ )fedlora ([^#|]*)/.exec(line.replaceAll('\n', ' '))?.[1].trim().split(/\s+/) ?? [])
    .filter((words) => words.length > 0);
}

/** Words that are neither a command where one must stand, nor an option of the command before it. */
function unknownWords(program: CommandNode, words: readonly string[]): string[] {
  let at = program;
  const wrong: string[] = [];
  for (const word of words) {
    const child = at.children.find(({ name }) => name === word);
    if (child !== undefined) at = child;
    else if (word.startsWith('--')) {
      if (!at.options.some(({ flags }) => flags.includes(word))) wrong.push(word);
    } else if (at.children.length > 0 && at.operands.kind === 'anything' && wrong.length === 0) {
      if (!words.slice(0, words.indexOf(word)).some((before) => before.startsWith('--'))) wrong.push(word);
    }
  }
  return wrong;
}
