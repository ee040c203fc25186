/**
 * Names of adapter repositories, `owner/name` as on the Hugging Face Hub, whose tools downstream services pull with.
 *
 * Each name is one for the Hub's clients too: lower case, no two hyphens or dots in a row, 96 characters at most.
 */

/** Of a repository whose run description names none. */
const DEFAULT_OWNER = 'fedlora';

const PART = '[a-z0-9](?:[._-]?[a-z0-9]){0,46}';
export const repositoryPattern = new RegExp(`^${PART}/${PART}$`);
export const repositoryRule =
  'must be owner/name: each part lower-case letters and digits, with single dots, hyphens or underscores between them';
export const LONGEST_REPOSITORY_NAME = 96;
/** Owners that would take addresses which are the coordinator's or the Hub's own. */
export const reservedOwners: readonly string[] = [
  'api',
  'assets',
  'datasets',
  'healthz',
  'metrics',
  'models',
  'readyz',
  'socket.io',
  'spaces',
];

const LONGEST_SLUG = 36;

/** The name that a title gives: `Support adapter, 2nd try` is `fedlora/support-adapter-2nd-try`. */
export function repositoryOfTitle(title: string): string {
  const letters = title.normalize('NFKD').toLowerCase().replaceAll(/\p{M}/gu, '');
  const slug = letters
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, LONGEST_SLUG)
    .replaceAll(/^-+|-+$/g, '');
  return `${DEFAULT_OWNER}/${slug === '' ? 'adapter' : slug}`;
}

/** The same with what makes it unlike those of other runs of this title. */
export function repositoryOfRun(title: string, runId: string): string {
  return `${repositoryOfTitle(title)}-${runId
    .toLowerCase()
    .replace(/^run-/, '')
    .replaceAll(/[^a-z0-9]+/g, '')
    .slice(0, 8)}`;
}
