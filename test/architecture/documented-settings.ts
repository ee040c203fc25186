/** The coordinator's settings as its sources document them: interfaces called `…Config`, with a comment on every member. */

import ts from 'typescript';
import type { Source } from './sources.js';

export interface DocumentedSetting {
  /** Dotted, as nested in the file. */
  readonly key: string;
  /** As the code has it; `undefined`: the comment says, or it must be given. */
  readonly default: string | undefined;
  readonly variables: readonly string[];
  readonly meaning: string;
}

/**
 * The members of an interface, in order; members whose type is another such interface bring theirs after them.
 *
 * A comment names the setting's variables of the environment; that is taken out of the meaning. Defaults are those of a constant that has
 * an object with `default` for the member's name.
 */
export function documentedSettings(files: readonly Source[], name: string, prefix = ''): DocumentedSetting[] {
  for (const { path, text } of files) {
    const file = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
    const found = file.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === name);
    if (found === undefined || !ts.isInterfaceDeclaration(found)) continue;
    const defaults = defaultsOf(file);
    return found.members.filter(ts.isPropertySignature).flatMap((member) => {
      const key = `${prefix}${member.name.getText(file)}`;
      const setting = { key, default: defaults.get(member.name.getText(file)), ...readComment(member) };
      const inner = member.type === undefined ? '' : member.type.getText(file);
      return [setting, ...(inner.endsWith('Config') ? documentedSettings(files, inner, `${key}.`) : [])];
    });
  }
  throw new Error(`No interface is called ${name}.`);
}

function readComment(member: ts.PropertySignature): Pick<DocumentedSetting, 'variables' | 'meaning'> {
  const comment = ts
    .getJSDocCommentsAndTags(member)
    .map(({ comment: text }) => ts.getTextOfJSDocComment(text) ?? '')
    .join(' ')
    .replaceAll(/\s+/g, ' ');
  const meaning = comment.replace(/(^|\. )(?:Environment: )?FEDLORA_[A-Z0-9_]+(?:, [\w ]+)?\.$/, '$1').trim();
  return { variables: [...new Set(comment.match(/FEDLORA_[A-Z0-9_]*[A-Z](?![A-Z0-9_*])/g))], meaning };
}

/** Every `name: { default: … }` of the file's constants, as code. */
function defaultsOf(file: ts.SourceFile): Map<string, string> {
  const defaults = new Map<string, string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAssignment(node) && ts.isObjectLiteralExpression(node.initializer)) {
      for (const property of node.initializer.properties) {
        if (ts.isPropertyAssignment(property) && property.name.getText(file) === 'default')
          defaults.set(node.name.getText(file), property.initializer.getText(file).replaceAll("'", ''));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return defaults;
}
