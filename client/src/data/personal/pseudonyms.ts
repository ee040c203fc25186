/**
 * Stable typed pseudonyms in place of what `findPersonalData` finds.
 *
 * Guarantee  The same value gets the same pseudonym under the same key, also in another file and at another time; without the key
 *            nobody can tell which value it stands for by trying values. What the detectors do not find stays: see `README.md`.
 */

import { createHmac } from 'node:crypto';
import type { FindingKind } from './detectors.js';
import { findPersonalData } from './find.js';

export const PSEUDONYM_KEY_BYTES = 32;

/** Letters of a pseudonym: 47 bits, so that two of a million values are one with a probability of 0.4 %. */
const LETTERS = 10;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz';
/** What is left around a replaced value can look like a value of its own. */
const MOST_PASSES = 5;

const LABELS: Readonly<Record<FindingKind, string>> = {
  email: 'EMAIL',
  phone: 'PHONE',
  iban: 'IBAN',
  'payment-card': 'CARD',
  'national-id': 'NATIONAL_ID',
  'ip-address': 'IP_ADDRESS',
  'credentials-in-url': 'URL',
  'key-or-token': 'TOKEN',
  'private-key': 'PRIVATE_KEY',
  password: 'PASSWORD',
  name: 'NAME',
};

export class Pseudonyms {
  private readonly counts = new Map<FindingKind, number>();

  /** @param key PSEUDONYM_KEY_BYTES secret bytes */
  constructor(private readonly key: Uint8Array) {}

  /** How many values were replaced so far, by kind. */
  get replaced(): Readonly<Partial<Record<FindingKind, number>>> {
    return Object.fromEntries(this.counts);
  }

  /** The text with every finding replaced. */
  in(text: string): string {
    let result = text;
    for (let pass = 0; pass < MOST_PASSES; pass++) {
      const findings = findPersonalData(result);
      if (findings.length === 0) return result;
      let replaced = '';
      let at = 0;
      for (const { kind, start, end } of findings) {
        replaced += result.slice(at, start) + this.of(kind, result.slice(start, end));
        at = end;
        this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
      }
      result = replaced + result.slice(at);
    }
    return result;
  }

  /** The pseudonym of a value. Case, spaces and the signs between digits make no difference. */
  private of(kind: FindingKind, value: string): string {
    const same = value
      .normalize('NFKC')
      .toLowerCase()
      .replace(/[\s().-]/g, '');
    const digest = createHmac('sha256', this.key).update(`fedlora/pseudonym/v1\n${kind}\n${same}`).digest();
    let number = digest.readBigUInt64BE();
    let letters = '';
    for (let i = 0; i < LETTERS; i++, number /= 26n) letters += ALPHABET[Number(number % 26n)];
    return `[${LABELS[kind]}-${letters}]`;
  }
}
