/** A row as a round sees it: its tokens, and whether it is trained on or measured. */

import { heldOutFraction, type Manifest } from '@fedlora/protocol';
import type { Example } from '../data/tokenize.js';

export interface RoundExample extends Example {
  /** Measured and never trained on. Follows from the row's own prompt and the terms, not from other rows. */
  readonly isHeldOut: boolean;
}

/** One whose record can be known again, in what it has spent: `data/record-fingerprint.ts`. */
export interface OwnedExample extends RoundExample {
  readonly fingerprint: bigint;
}

/** All that the examples of a run depend on, beside the rows. */
export interface ExampleTerms extends Pick<Manifest['data'], 'format' | 'template' | 'maximumLength'> {
  readonly heldOutFraction: number;
}

export function exampleTerms(manifest: Pick<Manifest, 'data' | 'metrics'>): ExampleTerms {
  const { format, template, maximumLength } = manifest.data;
  return { format, template, maximumLength, heldOutFraction: heldOutFraction(manifest) };
}
