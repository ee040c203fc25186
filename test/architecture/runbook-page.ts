/** A page of the runbook: facts of the error catalogue, and between them whatever people have written for people. */

import { DEFAULT_EXIT_CODE, errorCatalogue, errorEntry, type ErrorCode } from '@fedlora/shared';

const blames = {
  peer: 'another member or server',
  owner: 'this machine’s owner',
  operator: 'the operator',
  coordinator: 'the coordinator',
  environment: 'the surroundings',
  us: 'Fedlora: a bug',
} as const;

const retries = {
  never: 'trying again does not help',
  later: 'trying again later may help',
  'next-round': 'the next round may go well',
} as const;

/**
 * A page's text with the facts of its codes as the catalogue has them now. What stands before the first code and after the facts of each
 * is kept; codes that are new come last, those that are gone go.
 */
export function pageOf(codes: readonly ErrorCode[], text: string): string {
  const [head, ...sections] = text.split(/^## (?=[a-z0-9-]+\/[a-z0-9-]+$)/m);
  const notes = new Map(sections.map((section) => [section.slice(0, section.indexOf('\n')), notesOf(section)]));
  const order = [...[...notes.keys()].filter((code) => codes.includes(code as ErrorCode)), ...codes];
  return [head.trim(), ...[...new Set(order)].map((code) => sectionOf(code as ErrorCode, notes.get(code) ?? ''))]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');
}

/** What stands on a page before its codes. */
export function introductionOf(text: string): string {
  return text.split(/^## [a-z0-9-]+\/[a-z0-9-]+$/m)[0];
}

/** Every code with a link to its section, in order of pages. */
export function indexOf(pages: ReadonlyMap<string, readonly ErrorCode[]>): string {
  return [...pages]
    .map(([page, codes]) =>
      // A line each, so that two people can add codes at once.
      [`- [${page}](${page}.md)`, ...codes.map((code) => `  - [${code}](${page}.md#${code.replace('/', '')})`)].join(
        '\n',
      ),
    )
    .join('\n');
}

function sectionOf(code: ErrorCode, notes: string): string {
  const { meaning, remedy, blame, retry, exitCode } = { exitCode: DEFAULT_EXIT_CODE, ...errorEntry(code) };
  const facts = [
    `- **What happened.** ${escaped(meaning)}`,
    `- **What to do.** ${escaped(remedy)}`,
    `- Mostly the doing of ${blames[blame]}; ${retries[retry]}. Commands end with code ${exitCode}.`,
  ].join('\n');
  return [`## ${code}`, facts, ...(notes === '' ? [] : [notes])].join('\n\n');
}

/** What follows the list of facts. */
function notesOf(section: string): string {
  const lines = section.split('\n').slice(1);
  const first = lines.findIndex((line) => line !== '' && !line.startsWith('- '));
  return first < 0 ? '' : lines.slice(first).join('\n').trim();
}

/** Markdown's own characters outside of code. */
function escaped(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replaceAll('*', '\\*')))
    .join('');
}

export const everyCode = Object.keys(errorCatalogue) as ErrorCode[];
