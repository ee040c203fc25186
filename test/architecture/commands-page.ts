/** The reference of commands: what `--help` says of each. */

import type { Command, Help } from 'commander';
import { processContext } from '../../client/src/cli/context.js';
import { buildProgram } from '../../client/src/cli/program.js';
import { cell, tableOf } from './markdown-table.js';

export function commandsReference(): string {
  const program = buildProgram(processContext());
  return sectionsOf(program, program.createHelp(), [program.name()]).join('\n\n');
}

function sectionsOf(command: Command, help: Help, path: readonly string[]): string[] {
  const children = help.visibleCommands(command).filter((child) => child.name() !== 'help');
  return [
    // The program and the commands right below it are found in the table of contents.
    `${path.length <= 2 ? '##' : '###'} ${path.join(' ')}`,
    cell(sentence(help.commandDescription(command))),
    ...(children.length === 0 ? [`\`${help.commandUsage(command)}\``] : []),
    ...argumentsAndOptions(command, help),
    ...afterHelp(command),
    ...children.flatMap((child) => sectionsOf(child, help, [...path, child.name()])),
  ].filter((part) => part !== '');
}

function argumentsAndOptions(command: Command, help: Help): string[] {
  const rows = [
    ...help.visibleArguments(command).map((one) => [help.argumentTerm(one), help.argumentDescription(one)]),
    ...help
      .visibleOptions(command)
      .filter(({ long }) => long !== '--help')
      .map((one) => [help.optionTerm(one), `${help.optionDescription(one)}${one.mandatory ? ' (required)' : ''}`]),
  ];
  if (rows.length === 0) return [];
  return [
    tableOf(
      ['argument or option', 'meaning'],
      rows.map(([term, about]) => [`\`${term}\``, cell(about)]),
    ),
  ];
}

/** What a command's help says below its options: examples, exit codes. */
function afterHelp(command: Command): string[] {
  let text = '';
  command.configureOutput({ writeOut: (piece) => (text += piece) }).outputHelp();
  const trimmed = text.slice(command.helpInformation().length).replace(/^\n+/, '').trimEnd();
  return trimmed === '' ? [] : [`\`\`\`text\n${trimmed}\n\`\`\``];
}

function sentence(text: string): string {
  const begun = `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return begun === '' || begun.endsWith('.') ? begun : `${begun}.`;
}
