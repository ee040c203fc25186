/** The script that completes the command line in fish, with descriptions. */

import { everyCommand, type CommandNode, type Values } from './command-tree.js';

export function fishScript(root: CommandNode): string {
  const commands = everyCommand(root);
  const takesValue = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, values }) =>
      values === undefined ? [] : flags.map((flag) => quoted(`${path} ${flag}`)),
    ),
  );
  return `# Completion of ${root.name} for fish, made by \`${root.name} completion fish\`.

# Whether the words before the cursor lead to the command that is asked for.
function __${root.name}_at
  set -l at ${root.name}
  set -l skips 0
  for word in (commandline -opc)[2..-1]
    if test $skips = 1
      set skips 0
      continue
    end
    switch "$at $word"
      case ${commands
        .slice(1)
        .map(({ path }) => quoted(path))
        .join(' ')}
        set at "$at $word"
      case ${takesValue.join(' ')}
        set skips 1
    end
  end
  test "$at" = "$argv[1]"
end

complete -c ${root.name} -f
${commands.flatMap((command) => linesOf(root, command)).join('\n')}
`;
}

function linesOf(root: CommandNode, { path, children, options, operands }: CommandNode): string[] {
  const start = `complete -c ${root.name} -n ${quoted(`__${root.name}_at ${quoted(path)}`)}`;
  return [
    ...children.map(({ name, description }) => `${start} -a ${name} -d ${quoted(description)}`),
    ...(children.length === 0 && operands.kind !== 'anything' ? [`${start} ${offer(operands)}`] : []),
    ...options.map(({ flags, description, values }) => {
      const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const value = values === undefined ? '' : ` ${values.kind === 'file' ? '-r' : '-x'} ${offer(values)}`.trimEnd();
      return `${start} ${names.join(' ')}${value} -d ${quoted(description)}`;
    }),
  ];
}

function offer(values: Values): string {
  switch (values.kind) {
    case 'anything':
      return '';
    case 'file':
      return '-F';
    case 'folder':
      return `-a ${quoted('(__fish_complete_directories)')}`;
    case 'choices':
      return `-a ${quoted(values.choices.join(' '))}`;
    default:
      return values satisfies never;
  }
}

/** In single quotes, as fish takes them. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
