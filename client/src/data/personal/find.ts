/** All that is personal or secret in a text, without overlaps. */

import { detectors, type FindingKind, type Span } from './detectors.js';

export interface Finding extends Span {
  readonly kind: FindingKind;
}

/** What stands in place of a value that was replaced: `pseudonyms.ts`. */
export const PSEUDONYM = /\[[A-Z_]{2,12}-[a-z]{10}\]/g;

/**
 * Findings in the order of the text. Where two overlap, the one whose detector stands first in the list is kept. A pseudonym is none.
 *
 * Work  grows with the length of the text and no faster: what was found is marked character by character, and never searched for.
 */
export function findPersonalData(text: string): readonly Finding[] {
  const pseudonyms = new Marks(text.length);
  for (const { index, 0: pseudonym } of text.matchAll(PSEUDONYM))
    pseudonyms.add({ start: index, end: index + pseudonym.length });
  const found = new Marks(text.length);
  const kept: Finding[] = [];
  for (const { kind, find } of detectors) {
    for (const { start, end } of find(text)) {
      if (pseudonyms.hasAll(start, end) || found.hasAny(start, end)) continue;
      found.add({ start, end });
      kept.push({ kind, start, end });
    }
  }
  return kept.sort((a, b) => a.start - b.start);
}

/** Which characters of a text are taken, and by which stretch of it. */
class Marks {
  private marks: Uint32Array | undefined;
  private count = 0;

  constructor(private readonly length: number) {}

  add({ start, end }: Span): void {
    // Most texts have none.
    this.marks ??= new Uint32Array(this.length);
    this.marks.fill(++this.count, start, end);
  }

  hasAny(start: number, end: number): boolean {
    return this.marks?.subarray(start, end).some((mark) => mark !== 0) ?? false;
  }

  /** Whether it lies within one of the stretches. */
  hasAll(start: number, end: number): boolean {
    const first = this.marks?.[start] ?? 0;
    return first !== 0 && first === this.marks?.[end - 1];
  }
}
