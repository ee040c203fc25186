/** What counts as personal or secret in a text, kind by kind. */

import { isBsn, isCpf, isIban, isNhsNumber, isPaymentCard, isSpanishId, isSsn } from './checksums.js';
import { findNames } from './names.js';
import { findPhones } from './phones.js';

export const findingKinds = [
  'email',
  'phone',
  'iban',
  'payment-card',
  'national-id',
  'ip-address',
  'credentials-in-url',
  'key-or-token',
  'private-key',
  'password',
  'name',
] as const;
export type FindingKind = (typeof findingKinds)[number];

/** A stretch of a text, in UTF-16 units. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Finds one kind. Earlier detectors of the list win where two find the same place. */
export interface Detector {
  readonly kind: FindingKind;
  readonly find: (text: string) => Iterable<Span>;
}

export const detectors: readonly Detector[] = [
  {
    kind: 'private-key',
    find: matching(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g),
  },
  {
    kind: 'credentials-in-url',
    find: matching(/\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{1,100}:[^\s:@/]{1,200}@\S+/gi),
  },
  {
    kind: 'key-or-token',
    find: matching(
      new RegExp(
        [
          String.raw`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`, // AWS
          String.raw`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})`,
          String.raw`\bglpat-[A-Za-z0-9_-]{20,}`,
          String.raw`\bxox[abeprs]-[A-Za-z0-9-]{10,}`, // Slack
          String.raw`\bAIza[A-Za-z0-9_-]{35}`, // Google
          String.raw`\b[spr]k_(?:live|test)_[A-Za-z0-9]{16,}`, // Stripe
          String.raw`\bsk-[A-Za-z0-9_-]{20,}`, // OpenAI, Anthropic
          String.raw`\bhf_[A-Za-z0-9]{30,}`,
          String.raw`\bnpm_[A-Za-z0-9]{36}\b`,
          String.raw`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`, // JSON Web Token
        ].join('|'),
        'g',
      ),
    ),
  },
  { kind: 'password', find: findPasswords },
  { kind: 'email', find: matching(/[\p{L}\p{N}._%+-]{1,64}@(?:[\p{L}\p{N}-]{1,63}\.)+\p{L}{2,24}/gu) },
  {
    kind: 'iban',
    find: matching(/\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,9}\b/gi, (text) => longestPrefix(text, isIban)),
  },
  {
    kind: 'payment-card',
    find: matching(/(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])/g, (text) => isPaymentCard(digitsOf(text))),
  },
  {
    kind: 'national-id',
    find: matching(
      /(?<![\p{L}\p{N}-])(?:[XYZ][ -]?\d{7}[ -]?[A-Z]|\d{8}[ -]?[A-Z]|\d{2}\.\d{3}\.\d{3}[ -]?[A-Z])(?![\p{L}\p{N}-])/giu,
      isSpanishId,
    ),
  },
  { kind: 'national-id', find: matching(/(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])/g, isSsn) },
  {
    kind: 'national-id',
    find: matching(/(?<![\d.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)/g, (text) => isCpf(digitsOf(text))),
  },
  {
    // Without separators any tenth or eleventh number passes the check: only beside a word that says what it is.
    kind: 'national-id',
    find: matching(
      /(?<=\b(?:NHS|BSN|burgerservicenummer|CPF|sofinummer)\b[^\d\n]{0,30})\d(?:[ .-]?\d){8,10}(?!\d)/gi,
      (text) => [isNhsNumber, isBsn, isCpf].some((passes) => passes(digitsOf(text))),
    ),
  },
  {
    kind: 'ip-address',
    find: matching(
      /(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)|(?<![\p{L}\p{N}:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\p{L}\p{N}:])/giu,
    ),
  },
  { kind: 'phone', find: (text) => findPhones(text) },
  { kind: 'name', find: findNames },
];

/** Matches of a pattern that pass a check; a check may say how much of the match counts. */
function matching(pattern: RegExp, check: (text: string) => boolean | number = () => true): Detector['find'] {
  return function* (text) {
    for (const match of text.matchAll(pattern)) {
      const kept = check(match[0]);
      if (kept === false) continue;
      yield { start: match.index, end: match.index + (kept === true ? match[0].length : kept) };
    }
  };
}

/** Length of the longest beginning that passes, ends of words only; a pattern with spaces runs on into the next word. */
function longestPrefix(text: string, passes: (text: string) => boolean): number | false {
  for (let end = text.length; end > 0; end = Math.max(text.lastIndexOf(' ', end - 1), text.lastIndexOf('-', end - 1))) {
    if (passes(text.slice(0, end))) return end;
  }
  return false;
}

function digitsOf(text: string): string {
  return text.replace(/\D/g, '');
}

const PASSWORD =
  /\b(?:pass(?:word|wd|phrase)?|pwd|contraseña|passwort|kennwort|mot de passe|secret|api[_ -]?key|access[_ -]?token|auth[_ -]?token|client[_ -]?secret)\b["']?\s*(?:=|:|is\b|es\b|ist\b)\s*["']?([^\s"',;]{6,200})/giu;

/** What stands after `password:` and its like, if it looks made up: with a digit or a sign, or very mixed. */
function* findPasswords(text: string): Iterable<Span> {
  for (const match of text.matchAll(PASSWORD)) {
    const value = match[1].replace(/[.!?)\]}]+$/, '');
    const start = match.index + match[0].indexOf(match[1], match[0].length - match[1].length - 1);
    if (value.length >= 6 && (/\d/.test(value) || /[^\p{L}\p{N}]/u.test(value) || bitsPerCharacter(value) > 3.5))
      yield { start, end: start + value.length };
  }
}

/** Shannon entropy of a text's characters. */
function bitsPerCharacter(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}
