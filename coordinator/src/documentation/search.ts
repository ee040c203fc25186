/** Finds sections of the documentation by words. */

import type { Page, Library } from './library.js';
import type { Section } from './markdown.js';

export interface Hit {
  readonly page: Page;
  readonly section: Section;
  /** Around the first word that was found. */
  readonly excerpt: string;
}

const MOST_HITS = 30;
/** Longer questions are cut: each word is looked for in every section. */
const LONGEST_QUESTION = 100;
const EXCERPT_CHARACTERS = 180;

/** Sections that have every word, those first that have them in their heading. */
export function search(library: Library, question: string): Hit[] {
  const words = question.slice(0, LONGEST_QUESTION).toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  return library.pages
    .flatMap((page) => page.sections.map((section) => ({ page, section, score: scoreOf(section, page.title, words) })))
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score)
    .slice(0, MOST_HITS)
    .map(({ page, section }) => ({ page, section, excerpt: excerptOf(section.text, words) }));
}

/** 0 unless every word is there; a word of the heading counts more than one of the page's title, and that more than one of the text. */
function scoreOf({ heading, text }: Section, title: string, words: readonly string[]): number {
  const [inHeading, inTitle, inText] = [heading.text, title, text].map((part) => part.toLowerCase());
  let score = 0;
  for (const word of words) {
    const found =
      (inHeading.includes(word) ? 10 : 0) + (inText.includes(word) ? 1 : 0) + (inTitle.includes(word) ? 3 : 0);
    if (found === 0) return 0;
    score += found;
  }
  return score;
}

function excerptOf(text: string, words: readonly string[]): string {
  const lower = text.toLowerCase();
  const found = words.map((word) => lower.indexOf(word)).filter((at) => at >= 0);
  const start = Math.max(0, Math.min(...found, text.length) - EXCERPT_CHARACTERS / 3);
  const end = start + EXCERPT_CHARACTERS;
  return `${start > 0 ? '…' : ''}${text.slice(start, end).trim()}${end < text.length ? '…' : ''}`;
}
