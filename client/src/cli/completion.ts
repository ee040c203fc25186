import { Argument, Command } from 'commander';
import type { CliContext } from './context.js';

const shells = ['bash', 'zsh', 'fish'] as const;

export function completion(context: CliContext): Command {
  return new Command('completion')
    .description('print the script with which a shell completes commands, options and their values')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText(
      'after',
      `
Examples, each for one user:
  fedlora completion bash > ~/.local/share/bash-completion/completions/fedlora   (or read it from ~/.bashrc with source)
  fedlora completion zsh > ~/.zfunc/_fedlora      with \`fpath+=~/.zfunc\` before \`compinit\` in ~/.zshrc
  fedlora completion fish > ~/.config/fish/completions/fedlora.fish

Write it again after an upgrade.`,
    )
    .action(async (shell: (typeof shells)[number], _options: object, command: Command) => {
      const { commandTree } = await import('./completion/command-tree.js');
      const tree = commandTree(rootOf(command));
      context.out((await scriptFor(shell))(tree).trimEnd());
    });
}

async function scriptFor(shell: (typeof shells)[number]) {
  switch (shell) {
    case 'bash':
      return (await import('./completion/bash.js')).bashScript;
    case 'zsh':
      return (await import('./completion/zsh.js')).zshScript;
    case 'fish':
      return (await import('./completion/fish.js')).fishScript;
    default:
      return shell satisfies never;
  }
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}
