/** The script that completes the command line in bash 3.2 and later; it needs no bash-completion package and starts no program. */

import { everyCommand, type CommandNode, type Values } from './command-tree.js';

export function bashScript(root: CommandNode): string {
  const { name } = root;
  const commands = everyCommand(root);
  const options = commands.flatMap(({ path, options: own }) =>
    own.flatMap(({ flags, values }) => (values === undefined ? [] : flags.map((flag) => [`${path} ${flag}`, values]))),
  ) as [string, Values][];
  const offered = (values: Values): string => offer(name, values);
  return `# Completion of ${name} for bash, made by \`${name} completion bash\`.

_${name}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}" at=${quoted(name)} word i
  # bash splits --option=value into three words.
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev="\${COMP_WORDS[COMP_CWORD - 2]}"; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$at $word" in
${branches([
  ...commands.slice(1).map(({ path }): Branch => [path, 'at="$at $word"']),
  ...options.map(([option]): Branch => [option, `i=$((i + 1)); [[ \${COMP_WORDS[i]} == '=' ]] && i=$((i + 1))`]),
])}
    esac
  done
  COMPREPLY=()
  case "$at $prev" in
${branches(options.map(([option, values]) => [option, `${offered(values)}; return`]))}
  esac
  if [[ $cur == -* ]]; then
    case "$at" in
${branches(
  commands.map(({ path, options: own }) => [
    path,
    words(
      name,
      own.flatMap(({ flags }) => flags),
    ),
  ]),
)}
    esac
    return
  fi
  case "$at" in
${branches(commands.map((command) => [command.path, offered(operandsOf(command))]))}
  esac
}

# Offers those of some words that begin as what is being typed.
_${name}_words() {
  local line
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$1" -- "$cur")
}

# Offers files (f) or folders (d).
_${name}_names() {
  local line
  compopt -o filenames 2>/dev/null
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -"$1" -- "$cur")
}

complete -F _${name} ${name}
`;
}

type Branch = readonly [pattern: string, action: string];

/** Branches of a case, one for all patterns with the same action. */
function branches(all: readonly Branch[]): string {
  const patterns = new Map<string, string[]>();
  for (const [pattern, action] of all) patterns.set(action, [...(patterns.get(action) ?? []), quoted(pattern)]);
  return [...patterns].map(([action, group]) => `      ${group.join(' | ')}) ${action} ;;`).join('\n');
}

function operandsOf({ children, operands }: CommandNode): Values {
  return children.length === 0 ? operands : { kind: 'choices', choices: children.map(({ name }) => name) };
}

function offer(program: string, values: Values): string {
  switch (values.kind) {
    case 'anything':
      return ':';
    case 'file':
      return `_${program}_names f`;
    case 'folder':
      return `_${program}_names d`;
    case 'choices':
      return words(program, values.choices);
    default:
      return values satisfies never;
  }
}

function words(program: string, all: readonly string[]): string {
  return `_${program}_words ${quoted(all.join(' '))}`;
}

/** In single quotes, as bash and zsh take them. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
