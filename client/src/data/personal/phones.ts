/**
 * Telephone numbers in a text.
 *
 * Work       A group of digits is first looked at cheaply: is it written as people write telephone numbers, or beside a word for one?
 *            Only then is it given to libphonenumber, with at most LONGEST characters, once for each country that is tried. So the
 *            work grows with the length of the text and no faster, whatever the text.
 */

import { findPhoneNumbersInText, type CountryCode } from 'libphonenumber-js';
import type { Span } from './detectors.js';

/** Countries whose national numbers are tried where a number is written without its country. */
const COUNTRIES: readonly CountryCode[] = ['US', 'GB', 'ES', 'DE', 'FR', 'IT', 'NL', 'BR', 'IN'];
const WORDS =
  /(?<!\p{L})(?:(?:tele|smart|i)?phone|tel[eé]?fono|telefon|t[eé]l\.?|mobile|m[oó]vil|handy|call|cell|fax|whatsapp|number)[^\p{L}\p{N}]{0,12}$/iu;
/** How far before a number such a word is looked for. */
const WORD_REACH = 40;
/** A number that is written as people write telephone numbers. */
const FORM = /\(?(?:\+|00)\d|\(\d{2,5}\)[\s./-]{0,2}\d|\d{3}[-. ]\d{3}[-. ]\d{4}(?!\d)/y;
/** Seven to 18 digits, near each other: no number has more than 15, and some are written with a prefix for other countries. */
const NUMBER = /[+(]{0,2}\d(?:[\s()./-]{0,3}\d){6,17}/y;
const LONGEST = 72;

/** What libphonenumber is asked: the first valid number in a short text. */
export type FirstPhone = (text: string, country: CountryCode) => Span | undefined;

/** Valid numbers that are written like one, or beside a word for it. `firstPhone` is for tests, which count its calls. */
export function* findPhones(text: string, firstPhone: FirstPhone = firstValid): Iterable<Span> {
  const groups = /[+(]{0,2}\d+/g;
  for (let group = groups.exec(text); group !== null; group = groups.exec(text)) {
    const { index } = group;
    const candidate = numberAt(text, index);
    if (candidate === undefined) continue;
    const span = inAnyCountry(candidate, firstPhone);
    if (span === undefined) continue;
    yield { start: index + span.start, end: index + span.end };
    groups.lastIndex = index + span.end;
  }
}

function numberAt(text: string, index: number): string | undefined {
  FORM.lastIndex = index;
  NUMBER.lastIndex = index;
  if (!FORM.test(text) && !WORDS.test(text.slice(Math.max(0, index - WORD_REACH), index))) return undefined;
  return NUMBER.exec(text)?.[0].slice(0, LONGEST);
}

function inAnyCountry(candidate: string, firstPhone: FirstPhone): Span | undefined {
  // With its country before it, a number is the same wherever it is read.
  const countries = /^\(?\+/.test(candidate) ? COUNTRIES.slice(0, 1) : COUNTRIES;
  for (const country of countries) {
    const span = firstPhone(candidate, country);
    if (span !== undefined) return span;
  }
  return undefined;
}

/** Only what begins where the candidate does: what stands further on is a candidate of its own, if it looks like one. */
function firstValid(text: string, defaultCountry: CountryCode): Span | undefined {
  const [first] = findPhoneNumbersInText(text, { defaultCountry, extended: true });
  const isIt = first !== undefined && first.startsAt <= 1 && first.number.isValid();
  return isIt ? { start: first.startsAt, end: first.endsAt } : undefined;
}
