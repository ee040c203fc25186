import { describe, expect, it } from 'vitest';
import { anchorOf, renderMarkdown } from './markdown.js';

const everywhere = (target: string): string => `/to/${target}`;

describe('renderMarkdown', () => {
  it('gives headings the anchors of GitHub, also where two are called the same', () => {
    const { html, sections } = renderMarkdown('# A `b/c` of 4.2\n\ntext\n\n## More\n\n## More\n', everywhere);
    expect(sections.map(({ heading }) => heading.anchor)).toEqual(['a-bc-of-42', 'more', 'more-1']);
    expect(html).toContain('<h1 id="a-bc-of-42">A <code>b/c</code> of 4.2</h1>');
  });

  it('reads what stands below each heading, without markup', () => {
    const { sections } = renderMarkdown(
      '# One\n\nA **word**\nand `code`.\n\n```sh\nls\n```\n\n## Two\n\n- item\n',
      everywhere,
    );
    expect(sections.map(({ text }) => text)).toEqual(['A word and code. ls\n', 'item']);
  });

  it('asks where links and pictures lead, and leaves the words of a link that leads nowhere', () => {
    const { html, targets } = renderMarkdown('[a](x.md) ![b](y.svg) [c `d`](z.ts) [e](x.md)', (target) =>
      target.endsWith('.ts') ? undefined : `/docs/${target}`,
    );
    expect(targets).toEqual(['x.md', 'y.svg', 'z.ts', 'x.md']);
    expect(html).toBe(
      '<p><a href="/docs/x.md">a</a> <a class="picture" href="/docs/y.svg"><img src="/docs/y.svg" alt="b"></a> c <code>d</code> <a href="/docs/x.md">e</a></p>\n',
    );
  });

  it('passes no HTML through, and leaves comments out', () => {
    const { html } = renderMarkdown('<!-- note -->\n<script>alert(1)</script> [x](javascript:alert(1))', everywhere);
    expect(html).not.toMatch(/<script|note|href="javascript/);
  });

  it('lets wide tables and code scroll by keyboard', () => {
    const { html } = renderMarkdown('| a |\n| - |\n| b |\n\n```\nc\n```\n', everywhere);
    expect(html).toContain('<div class="wide" tabindex="0" role="group" aria-label="Table"><table>');
    expect(html).toContain('<pre tabindex="0">');
  });
});

describe('anchorOf', () => {
  it('keeps letters of every language, underscores and hyphens', () => {
    expect(anchorOf('Größe_x – y-z?', new Map())).toBe('größe_x--y-z');
  });
});
