/** What personal data a set of rows has, by kind and count. */

import type { Row } from '../rows.js';
import { textsOf } from '../row-texts.js';
import type { FindingKind } from './detectors.js';
import { findPersonalData } from './find.js';

export interface KindCount {
  readonly findings: number;
  readonly rows: number;
}

/** Where one was found. `text` is the owner's content: for the owner's eyes, and only when asked for. */
export interface Example {
  readonly kind: FindingKind;
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

export interface Survey {
  /** Only kinds that were found. */
  readonly kinds: Readonly<Partial<Record<FindingKind, KindCount>>>;
  /** Rows with a finding of any kind. */
  readonly rows: number;
  /** The first of each kind, as many as were asked for. */
  readonly examples: readonly Example[];
}

export function surveyPersonalData(rows: readonly Row[], examplesPerKind: number): Survey {
  const kinds = new Map<FindingKind, { findings: number; rows: number }>();
  const examples: Example[] = [];
  let rowsWithAny = 0;
  for (const row of rows) {
    const inRow = new Set<FindingKind>();
    for (const text of textsOf(row)) {
      for (const { kind, start, end } of findPersonalData(text)) {
        const count = kinds.get(kind) ?? { findings: 0, rows: 0 };
        if (count.findings < examplesPerKind)
          examples.push({ kind, file: row.file, line: row.line, text: text.slice(start, end) });
        count.findings++;
        if (!inRow.has(kind)) count.rows++;
        inRow.add(kind);
        kinds.set(kind, count);
      }
    }
    if (inRow.size > 0) rowsWithAny++;
  }
  return { kinds: Object.fromEntries(kinds), rows: rowsWithAny, examples };
}
