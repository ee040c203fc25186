/**
 * The documentation as a set of pages: the Markdown files of the repository that the first page leads to, each with an address below
 * `/docs`. A page is served because a page links to it, so nothing is listed twice and no page is an orphan.
 */

import { existsSync, readFileSync } from 'node:fs';
import { extname, join, posix } from 'node:path';
import { renderMarkdown, type Rendered } from './markdown.js';

export const DOCS = '/docs';
/** The page at `/docs`, from the repository's root. */
export const FIRST_PAGE = 'deploy/docs/README.md';

/** How pages look, from the repository's root. */
export const STYLE_FILE = 'deploy/docs/style.css';

/** Pictures of these kinds are served, if a page shows them. */
const PICTURES = ['.svg', '.png'];

export interface Page extends Rendered {
  /** From the repository's root, with forward slashes. */
  readonly file: string;
  readonly address: string;
  readonly title: string;
}

export interface Library {
  /** In the order in which they are reached from the first page. */
  readonly pages: readonly Page[];
  /** By address: files from the repository's root. */
  readonly pictures: ReadonlyMap<string, string>;
}

/** Reads every page that the first one leads to; none where it is not there, as in a copy of the program without its documentation. */
export function readLibrary(root: string): Library {
  const pages: Page[] = [];
  const pictures = new Map<string, string>();
  const files = existsSync(join(root, FIRST_PAGE)) ? [FIRST_PAGE] : [];
  for (const file of files) {
    const follow = (target: string): string | undefined => {
      const [path, fragment] = splitTarget(target);
      if (/^[a-z]+:/.test(target) || path.startsWith('/')) return target;
      if (path === '') return target;
      const other = fileOf(file, path);
      if (other.startsWith('../') || !existsSync(join(root, other))) return undefined;
      if (PICTURES.includes(extname(other))) {
        pictures.set(addressOf(other), other);
        return addressOf(other);
      }
      if (extname(other) !== '.md') return undefined;
      if (!files.includes(other)) files.push(other);
      return `${addressOf(other)}${fragment}`;
    };
    const rendered = renderMarkdown(readFileSync(join(root, file), 'utf8'), follow);
    pages.push({ ...rendered, file, address: addressOf(file), title: rendered.sections[0]?.heading.text ?? file });
  }
  return { pages, pictures };
}

/** Every file that serving takes. */
export function filesOf({ pages, pictures }: Library): string[] {
  return [...pages.map(({ file }) => file), ...pictures.values(), STYLE_FILE];
}

/** A target's path, and its `#fragment` or nothing. */
export function splitTarget(target: string): [path: string, fragment: string] {
  const at = target.indexOf('#');
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at)];
}

/** The file that a link of another one means, from the repository's root. */
export function fileOf(from: string, path: string): string {
  return posix.normalize(posix.join(posix.dirname(from), decodeURIComponent(path)));
}

/** Where a file of the repository is served: without what only says where the repository keeps it. */
export function addressOf(file: string): string {
  const path = file
    .replace(/^deploy\/(docs\/)?/, '')
    .replace(/\.md$/, '')
    .replace(/(^|\/)README$/, '')
    .toLowerCase();
  return path === '' ? DOCS : `${DOCS}/${path}`;
}
