/** The command line as what a shell needs to complete it: commands, their options, and what values these take. */

import type { Argument, Command, Option } from 'commander';

/** What can follow an option, or stand where a command has no subcommands. */
export type Values =
  { readonly kind: 'anything' | 'file' | 'folder' } | { readonly kind: 'choices'; readonly choices: readonly string[] };

export interface CompletedOption {
  /** As typed: `--home`, perhaps with `-h` before it. */
  readonly flags: readonly string[];
  readonly description: string;
  /** `undefined`: it stands alone. */
  readonly values: Values | undefined;
}

export interface CommandNode {
  /** Words from the program on, separated by spaces: `fedlora policy init`. */
  readonly path: string;
  readonly name: string;
  readonly description: string;
  /** Its own, and those of the subcommand that runs where none is named. */
  readonly options: readonly CompletedOption[];
  /** Of its arguments, in whichever place. */
  readonly operands: Values;
  readonly children: readonly CommandNode[];
}

/** What `--help` shows of a command and of those below it; what it hides stays hidden. */
export function commandTree(command: Command, above = ''): CommandNode {
  const path = `${above}${above === '' ? '' : ' '}${command.name()}`;
  const help = command.createHelp();
  const children = help.visibleCommands(command).map((child) => commandTree(child, path));
  const own = help.visibleOptions(command).map(completedOption);
  const byDefault = children.find(({ name }) => name === defaultOf(command))?.options ?? [];
  return {
    path,
    name: command.name(),
    description: help.subcommandDescription(command),
    options: [...own, ...byDefault.filter(({ flags }) => !own.some((one) => one.flags.at(-1) === flags.at(-1)))],
    operands: operandsOf(command.registeredArguments),
    children,
  };
}

/** The subcommand that runs where none is named. Commander has no public way to ask; without an answer its options are not offered. */
function defaultOf(command: Command): string | null | undefined {
  return (command as { _defaultCommandName?: string | null })._defaultCommandName;
}

/** A node and everything below it. */
export function everyCommand(node: CommandNode): readonly CommandNode[] {
  return [node, ...node.children.flatMap(everyCommand)];
}

function completedOption(option: Option): CompletedOption {
  const takesValue = option.required || option.optional;
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
    description: option.description,
    values: takesValue ? valuesOf(option.argChoices, /[<[]([^\]>]*)/.exec(option.flags)?.[1] ?? '') : undefined,
  };
}

function operandsOf(operands: readonly Argument[]): Values {
  const all = operands.map((argument) => valuesOf(argument.argChoices, argument.name()));
  const choices = all.flatMap((values) => (values.kind === 'choices' ? values.choices : []));
  if (choices.length > 0) return { kind: 'choices', choices };
  const kind = (['file', 'folder'] as const).find((one) => all.some((values) => values.kind === one));
  return { kind: kind ?? 'anything' };
}

/** What `<file>`, `<dir>` and their like in the help stand for. */
const FILES = ['file', 'path', 'base'];
const FOLDERS = ['dir', 'out'];

function valuesOf(choices: readonly string[] | undefined, placeholder: string): Values {
  if (choices !== undefined) return { kind: 'choices', choices };
  if (FILES.includes(placeholder)) return { kind: 'file' };
  return { kind: FOLDERS.includes(placeholder) ? 'folder' : 'anything' };
}
