/** The script that completes the command line in zsh, with descriptions: one function for each command, as zsh's \`_arguments\` likes it. */

import { quoted } from './bash.js';
import { everyCommand, type CommandNode, type CompletedOption, type Values } from './command-tree.js';

export function zshScript(root: CommandNode): string {
  return `#compdef ${root.name}
# Completion of ${root.name} for zsh, made by \`${root.name} completion zsh\`.

${everyCommand(root).map(functionOf).join('\n')}
# Run from fpath as the function itself, or read with source.
if [[ $funcstack[1] == ${functionName(root)} ]]; then ${functionName(root)} "$@"; else compdef ${functionName(root)} ${root.name}; fi
`;
}

function functionOf(command: CommandNode): string {
  const { children, operands } = command;
  const options = command.options.flatMap(specsOf);
  if (children.length === 0) {
    const specs = [...options, quoted(`*:: :${actionOf(operands)}`)];
    return `${functionName(command)}() {
  _arguments -s ${specs.join(' \\\n    ')}
}
`;
  }
  const described = children.map(({ name, description }) => quoted(`${name.replaceAll(':', '\\:')}:${description}`));
  return `${functionName(command)}() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands=(
    ${described.join('\n    ')}
  )
  _arguments -s -C ${[...options, quoted('1: :->command'), quoted('*:: :->rest')].join(' \\\n    ')}
  case $state in
    command) _describe command commands ;;
    rest)
      case $words[1] in
${children.map((child) => `        ${child.name}) ${functionName(child)} ;;`).join('\n')}
      esac ;;
  esac
}
`;
}

/** One specification for each way of writing an option; each may come again, since some collect values. */
function specsOf({ flags, description, values }: CompletedOption): string[] {
  const text = description.replaceAll(/[[\]:\\]/g, '\\$&');
  return flags.map((flag) => {
    const hasEquals = values !== undefined && flag.startsWith('--') ? '=' : '';
    return quoted(`*${flag}${hasEquals}[${text}]${values === undefined ? '' : `:value:${actionOf(values)}`}`);
  });
}

function actionOf(values: Values): string {
  switch (values.kind) {
    case 'anything':
      return ' ';
    case 'file':
      return '_files';
    case 'folder':
      return '_files -/';
    case 'choices':
      return `(${values.choices.join(' ')})`;
    default:
      return values satisfies never;
  }
}

function functionName({ path }: CommandNode): string {
  return `_${path.replaceAll(/[ -]/g, '_')}`;
}
