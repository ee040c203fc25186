/** Markdown as HTML, with the addresses of headings that GitHub gives them, so that one link works there and here. */

import MarkdownIt from 'markdown-it';

/** A heading of a page, as its table of contents shows it. */
export interface Heading {
  readonly level: number;
  readonly text: string;
  /** What stands after `#` in a link to it. */
  readonly anchor: string;
}

/** A heading and what stands below it, down to the next one: what a search finds. */
export interface Section {
  readonly heading: Heading;
  /** Without markup. */
  readonly text: string;
}

export interface Rendered {
  readonly html: string;
  readonly sections: readonly Section[];
  /** As written: of links and of pictures. */
  readonly targets: readonly string[];
}

/** What becomes of a link's or a picture's target; `undefined`: nothing here answers it, and its words stand alone. */
export type Follow = (target: string) => string | undefined;

// HTML in the text stays text: the pages are ours, but nothing here depends on it.
const markdown = new MarkdownIt({ html: false });
type Token = ReturnType<typeof markdown.parse>[number];

/** Renders a page. `follow` is asked once for each target. */
export function renderMarkdown(text: string, follow: Follow): Rendered {
  const tokens = markdown.parse(withoutComments(text), {});
  const targets: string[] = [];
  for (const { children } of tokens) {
    if (children !== null) followLinks(children, follow, targets);
  }
  const sections = sectionsOf(tokens);
  const html = markdown.renderer
    .render(tokens, markdown.options, {})
    // On a narrow page a picture's words are small: it opens by itself, to be looked at closely.
    .replaceAll(/<img src="([^"]*)"[^>]*>/g, '<a class="picture" href="$1">$&</a>')
    // A wide table scrolls by itself, by keyboard too, and the page does not.
    .replaceAll('<table>', '<div class="wide" tabindex="0" role="group" aria-label="Table"><table>')
    .replaceAll('</table>', '</table></div>')
    .replaceAll('<pre>', '<pre tabindex="0">');
  return { html, sections, targets };
}

/** The anchor that GitHub makes of a heading; `taken` counts those that the page has already. */
export function anchorOf(heading: string, taken: Map<string, number>): string {
  const plain = heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
  const before = taken.get(plain) ?? 0;
  taken.set(plain, before + 1);
  return before === 0 ? plain : `${plain}-${before}`;
}

function withoutComments(text: string): string {
  return text.replaceAll(/<!--[\s\S]*?-->\n?/g, '');
}

/** Puts addresses that answer here in the place of targets, and takes away links that lead nowhere here. */
function followLinks(tokens: Token[], follow: Follow, targets: string[]): void {
  let isOpen = false;
  for (const token of tokens) {
    const name = token.type === 'image' ? 'src' : 'href';
    if (token.type === 'link_close' && !isOpen) token.hidden = true;
    if (token.type !== 'image' && token.type !== 'link_open') continue;
    const target = String(token.attrGet(name) ?? '');
    targets.push(target);
    const address = follow(target);
    if (token.type === 'link_open') isOpen = address !== undefined;
    if (address !== undefined) token.attrSet(name, address);
    else if (token.type === 'link_open') token.hidden = true;
  }
}

/** Gives every heading its anchor, and reads what stands below each. */
function sectionsOf(tokens: readonly Token[]): Section[] {
  const taken = new Map<string, number>();
  const sections: { heading: Heading; texts: string[] }[] = [];
  tokens.forEach((token, at) => {
    if (token.type === 'heading_open') {
      const text = plainText(tokens[at + 1]);
      const anchor = anchorOf(text, taken);
      token.attrSet('id', anchor);
      sections.push({ heading: { level: Number(token.tag.slice(1)), text, anchor }, texts: [] });
    } else if (token.type === 'fence' || (token.type === 'inline' && tokens[at - 1].type !== 'heading_open')) {
      sections.at(-1)?.texts.push(plainText(token));
    }
  });
  return sections.map(({ heading, texts }) => ({ heading, text: texts.join(' ') }));
}

function plainText(token: Token): string {
  if (token.children === null || token.children.length === 0) return token.content;
  return token.children
    .map((child) => (child.type === 'softbreak' || child.type === 'hardbreak' ? ' ' : plainText(child)))
    .join('');
}
