/** Check digits: what tells a number of a person from any other number of the same length. */

/** Luhn (ISO/IEC 7812-1): every second digit from the right is doubled. */
export function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const weighed = i % 2 === 1 ? 2 * digit : digit;
    sum += weighed > 9 ? weighed - 9 : weighed;
  }
  return sum % 10 === 0;
}

/** IBAN (ISO 13616): the country first moved to the end, letters as 10 to 35, the remainder by 97 is 1. */
export function isIban(text: string): boolean {
  const compact = text.replace(/[\s-]/g, '').toUpperCase();
  if (!/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/.test(compact) || IBAN_LENGTHS[compact.slice(0, 2)] !== compact.length)
    return false;
  let remainder = 0;
  for (const character of compact.slice(4) + compact.slice(0, 4)) {
    const value = parseInt(character, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder === 1;
}

/** Lengths of the IBAN registry, of the countries that are common in Europe, the Near East and Latin America. */
const IBAN_LENGTHS: Readonly<Record<string, number>> = {
  AD: 24,
  AE: 23,
  AT: 20,
  BE: 16,
  BG: 22,
  BR: 29,
  CH: 21,
  CY: 28,
  CZ: 24,
  DE: 22,
  DK: 18,
  EE: 20,
  ES: 24,
  FI: 18,
  FR: 27,
  GB: 22,
  GR: 27,
  HR: 21,
  HU: 28,
  IE: 22,
  IL: 23,
  IS: 26,
  IT: 27,
  LI: 21,
  LT: 20,
  LU: 20,
  LV: 21,
  MC: 27,
  MT: 31,
  NL: 18,
  NO: 15,
  PL: 28,
  PT: 25,
  RO: 24,
  SA: 24,
  SE: 24,
  SI: 19,
  SK: 24,
  SM: 27,
  TR: 26,
  UA: 29,
};

/** A payment card: Luhn, and a beginning and length of an issuer, so that one number in ten is not a card by chance. */
export function isPaymentCard(digits: string): boolean {
  const isIssued =
    /^4\d{12}(\d{3}|\d{6})?$/.test(digits) || // Visa
    /^(5[1-5]\d{14}|2(2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12})$/.test(digits) || // Mastercard
    /^3[47]\d{13}$/.test(digits) || // American Express
    /^(6011|65\d\d|64[4-9]\d)\d{12}$/.test(digits) || // Discover
    /^(30[0-5]|3[68]\d)\d{11}$/.test(digits) || // Diners Club
    /^35(2[89]|[3-8]\d)\d{12}$/.test(digits); // JCB
  return isIssued && passesLuhn(digits);
}

const DNI_LETTERS = 'TRWAGMYFPDXBNJZSQVHLCKE';

/** Spain: DNI (eight digits and a letter) and NIE (X, Y or Z, seven digits and a letter). */
export function isSpanishId(text: string): boolean {
  const match = /^([XYZ]?)(\d{7,8})([A-Z])$/.exec(text.toUpperCase().replace(/[\s.-]/g, ''));
  if (match === null) return false;
  const [, first, digits, letter] = match;
  if (digits.length !== (first === '' ? 8 : 7)) return false;
  const number = Number((first === '' ? '' : String('XYZ'.indexOf(first))) + digits);
  return DNI_LETTERS[number % 23] === letter;
}

/** Netherlands: burgerservicenummer, the "eleven test". */
export function isBsn(digits: string): boolean {
  return /^\d{9}$/.test(digits) && weighed(digits, [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0 && Number(digits) > 0;
}

/** United Kingdom: NHS number, modulus 11. */
export function isNhsNumber(digits: string): boolean {
  if (!/^\d{10}$/.test(digits)) return false;
  const check = 11 - (weighed(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11);
  return (check === 11 ? 0 : check) === Number(digits[9]);
}

/** Brazil: CPF, two check digits. */
export function isCpf(digits: string): boolean {
  if (!/^\d{11}$/.test(digits) || /^(\d)\1{10}$/.test(digits)) return false;
  return [9, 10].every((length) => {
    const sum = weighed(
      digits,
      Array.from({ length }, (_, i) => length + 1 - i),
    );
    return ((sum * 10) % 11) % 10 === Number(digits[length]);
  });
}

/** United States: no check digit, so by its form and the numbers that are never given. */
export function isSsn(text: string): boolean {
  return /^(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}$/.test(text);
}

function weighed(digits: string, weights: readonly number[]): number {
  return weights.reduce((sum, weight, i) => sum + weight * Number(digits[i]), 0);
}
