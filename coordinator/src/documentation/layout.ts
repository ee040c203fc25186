/** A page of the documentation as an HTML document: no script, and nothing from elsewhere. */

import { DOCS, type Library, type Page } from './library.js';
import type { Hit } from './search.js';

export const STYLE_ADDRESS = `${DOCS}/style.css`;
export const SEARCH_ADDRESS = `${DOCS}/search`;

/** What the navigation lists, by file name without its ending; whatever else there is, these pages link to. */
const navigation: readonly { readonly title: string; readonly addresses: readonly string[] }[] = [
  { title: 'Begin', addresses: ['', '/quick-start', '/concepts'] },
  { title: 'Guides', addresses: ['/operator', '/data-owner', '/downstream'] },
  { title: 'Trust', addresses: ['/protocol-overview', '/threat-model', '/security', '/protocol/spec'] },
  { title: 'Look up', addresses: ['/configuration', '/commands', '/api', '/runbook'] },
];

export function documentOf(library: Library, page: Page): string {
  return layout(library, page.title, page.address, page.html, contentsOf(page));
}

export function searchDocument(library: Library, question: string, hits: readonly Hit[]): string {
  const found = hits.map(
    ({ page, section, excerpt }) =>
      `<li><a href="${page.address}#${escaped(section.heading.anchor)}">${escaped(section.heading.text)}</a>` +
      `${section.heading.text === page.title ? '' : ` <span class="from">${escaped(page.title)}</span>`}` +
      `<p>${escaped(excerpt)}</p></li>`,
  );
  const answer =
    found.length > 0
      ? `<ol class="hits">${found.join('')}</ol>`
      : `<p>${question.trim() === '' ? 'Type words to look for.' : `Nothing has all of these words: <q>${escaped(question)}</q>.`}</p>`;
  return layout(library, 'Search', SEARCH_ADDRESS, `<h1>Search</h1>${answer}`, '', question);
}

export function missingDocument(library: Library): string {
  const body = `<h1>No such page</h1><p>The documentation has no page at this address. <a href="${DOCS}">Begin at the first one</a>, or search.</p>`;
  return layout(library, 'No such page', '', body, '');
}

function layout(
  library: Library,
  title: string,
  address: string,
  body: string,
  contents: string,
  question = '',
): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}${address === DOCS ? '' : ' · Fedlora'}</title>
<link rel="icon" href="/favicon.svg">
<link rel="stylesheet" href="${STYLE_ADDRESS}">
</head>
<body>
<a class="skip" href="#text">To the text</a>
<header>
<a class="brand" href="${DOCS}">Fedlora</a>
<a class="to-pages" href="#pages">Pages</a>
<form role="search" action="${SEARCH_ADDRESS}"><input type="search" name="q" aria-label="Search the documentation" placeholder="Search" value="${escaped(question)}" maxlength="100"></form>
<a href="/">Dashboard</a>
</header>
<div class="columns">
<main id="text">
${body}
</main>
<nav id="pages" aria-label="Documentation">
${navigation.map((group) => groupOf(library, group, address, contents)).join('\n')}
</nav>
</div>
</body>
</html>
`;
}

function groupOf(
  library: Library,
  { title, addresses }: (typeof navigation)[number],
  present: string,
  contents: string,
): string {
  const items = addresses.flatMap((address) => {
    const page = library.pages.find((one) => one.address === `${DOCS}${address}`);
    if (page === undefined) return [];
    const isPresent = page.address === present;
    const link = `<a href="${page.address}"${isPresent ? ' aria-current="page"' : ''}>${escaped(page.title)}</a>`;
    return [`<li>${link}${isPresent ? contents : ''}</li>`];
  });
  return items.length === 0 ? '' : `<h2>${title}</h2>\n<ul>\n${items.join('\n')}\n</ul>`;
}

/** The page's own headings, below its entry in the navigation. */
function contentsOf({ sections }: Page): string {
  const headings = sections.map(({ heading }) => heading).filter(({ level }) => level === 2);
  if (headings.length === 0) return '';
  const items = headings.map(({ anchor, text }) => `<li><a href="#${escaped(anchor)}">${escaped(text)}</a></li>`);
  return `<ul>${items.join('')}</ul>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
