/** All that is personal or secret in a text, without overlaps. */

import { detectors, type FindingKind, type Span } from './detectors.js';

export interface Finding extends Span {
  readonly kind: FindingKind;
}

/** What stands in place of a value that was replaced: `pseudonyms.ts`. */
export const PSEUDONYM = /\[[A-Z_]{2,12}-[a-z]{10}\]/g;

/** Findings in the order of the text. Where two overlap, the one whose detector stands first in the list is kept. A pseudonym is none. */
export function findPersonalData(text: string): readonly Finding[] {
  const pseudonyms = [...text.matchAll(PSEUDONYM)].map(({ index, 0: { length } }) => [index, index + length] as const);
  const isPseudonym = ({ start, end }: Span): boolean => pseudonyms.some(([from, to]) => start >= from && end <= to);
  const kept: Finding[] = [];
  for (const { kind, find } of detectors) {
    for (const span of find(text)) {
      const { start, end } = span;
      if (isPseudonym(span)) continue;
      if (!kept.some((other) => start < other.end && end > other.start)) kept.push({ kind, start, end });
    }
  }
  return kept.sort((a, b) => a.start - b.start);
}
