/**
 * Rows with personal data at known places: made from a seed, of values that belong to nobody. Numbers are made by formulas and
 * searches of their own, so that this can find fault with the detectors; given names are common ones, since names are found by list.
 */

import { createHash } from 'node:crypto';
import type { FindingKind } from '../../client/src/data/personal/detectors.js';

export interface Planted {
  readonly kind: FindingKind;
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** A stream of choices from a seed. */
class Dice {
  private count = 0;
  constructor(private readonly seed: string) {}
  below(n: number): number {
    return createHash('sha256').update(`${this.seed}/${this.count++}`).digest().readUInt32BE(0) % n;
  }
  of<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)];
  }
  digits(n: number): string {
    return Array.from({ length: n }, () => this.below(10)).join('');
  }
  from(alphabet: string, n: number): string {
    return Array.from({ length: n }, () => alphabet[this.below(alphabet.length)]).join('');
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** The final digit or digits with which `passes` holds: a search, not the formula. */
function completed(body: string, digits: number, passes: (text: string) => boolean): string {
  for (let i = 0; i < 10 ** digits; i++) {
    const text = body + String(i).padStart(digits, '0');
    if (passes(text)) return text;
  }
  throw new Error(`Nothing completes ${body}.`);
}

const groups = (text: string, size: number, separator: string): string =>
  text.match(new RegExp(`.{1,${size}}`, 'g'))!.join(separator);

function luhn(text: string): boolean {
  const odd = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const even = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
  return [...text].reverse().reduce((sum, c, i) => sum + (i % 2 === 0 ? odd : even)[Number(c)], 0) % 10 === 0;
}

function iban(country: string, bban: string): string {
  const number = BigInt([...`${bban}${country}00`].map((c) => String(parseInt(c, 36))).join(''));
  return `${country}${String(98n - (number % 97n)).padStart(2, '0')}${bban}`;
}

const nhs = (text: string): boolean => [...text].reduce((sum, c, i) => sum + Number(c) * (10 - i), 0) % 11 === 0;
const bsn = (text: string): boolean =>
  ([...text].slice(0, 8).reduce((sum, c, i) => sum + Number(c) * (9 - i), 0) - Number(text[8])) % 11 === 0;
function cpf(text: string): boolean {
  const check = (length: number): number => {
    const rest = [...text].slice(0, length).reduce((sum, c, i) => sum + Number(c) * (length + 1 - i), 0) % 11;
    return rest < 2 ? 0 : 11 - rest;
  };
  return check(9) === Number(text[9]) && check(10) === Number(text[10]);
}

const makers: Readonly<Record<FindingKind, (dice: Dice) => string>> = {
  email: (dice) =>
    `${dice.of(['maria.lopez', 'j_smith42', 'info+test', 'büro', 'a'])}@${dice.of(['example.com', 'mail.example.org', 'sub.dept.example.co.uk', 'ejemplo.es'])}`,
  phone: (dice) =>
    dice.of([
      () => `+34 6${dice.digits(2)} ${dice.digits(3)} ${dice.digits(3)}`,
      () => `+44 20 7946 0${dice.digits(3)}`,
      () => `+1-212-555-01${dice.digits(2)}`,
      () => `(212) 5${dice.digits(2)}-${2 + dice.below(8)}${dice.digits(3)}`,
      () => `+49 30 ${2 + dice.below(7)}${dice.digits(6)}`,
      () => `213-3${dice.digits(2)}-4${dice.digits(3)}`,
    ])(),
  iban: (dice) => {
    const text = dice.of([
      () => iban('ES', dice.digits(20)),
      () => iban('DE', dice.digits(18)),
      () => iban('GB', `WEST${dice.digits(14)}`),
      () => iban('NL', `ABNA${dice.digits(10)}`),
      () => iban('FR', dice.digits(23)),
    ])();
    return dice.of([text, groups(text, 4, ' ')]);
  },
  'payment-card': (dice) => {
    const [start, length] = dice.of([
      ['4', 16],
      ['51', 16],
      ['37', 15],
      ['6011', 16],
    ] as const);
    const number = completed(start + dice.digits(length - start.length - 1), 1, luhn);
    return dice.of([number, groups(number, 4, ' '), groups(number, 4, '-')]);
  },
  'national-id': (dice) =>
    dice.of([
      () => {
        const number = dice.digits(8);
        return number + 'TRWAGMYFPDXBNJZSQVHLCKE'[Number(number) % 23];
      },
      () => {
        const number = dice.digits(7);
        return `Y${number}${'TRWAGMYFPDXBNJZSQVHLCKE'[Number(`1${number}`) % 23]}`;
      },
      () => `1${dice.digits(2)}-2${dice.digits(1)}-1${dice.digits(3)}`,
      () => completed(dice.digits(9), 2, cpf).replace(/(...)(...)(...)(..)/, '$1.$2.$3-$4'),
      () => `NHS number ${groups(searched(dice, 10, nhs), 3, ' ')}`,
      () => `BSN ${searched(dice, 9, bsn)}`,
    ])(),
  'ip-address': (dice) =>
    dice.of([
      () => `10.${dice.below(256)}.${dice.below(256)}.${dice.below(256)}`,
      () => `192.168.1.${dice.below(256)}`,
      () => Array.from({ length: 8 }, () => (dice.below(65_535) + 1).toString(16)).join(':'),
    ])(),
  'credentials-in-url': (dice) => `postgres://app:${dice.from(LETTERS, 12)}@db.example.internal:5432/main`,
  'key-or-token': (dice) =>
    dice.of([
      () => `AKIA${dice.from(UPPER, 16)}`,
      () => `ghp_${dice.from(LETTERS, 36)}`,
      () => `xoxb-${dice.digits(12)}-${dice.from(LETTERS, 24)}`,
      () => `AIza${dice.from(LETTERS, 35)}`,
      () => `sk_live_${dice.from(LETTERS, 24)}`,
      () => `eyJ${dice.from(LETTERS, 20)}.eyJ${dice.from(LETTERS, 40)}.${dice.from(LETTERS, 43)}`,
    ])(),
  'private-key': (dice) => {
    const name = dice.of(['RSA PRIVATE KEY', 'PRIVATE KEY', 'OPENSSH PRIVATE KEY']);
    return `-----BEGIN ${name}-----\n${groups(dice.from(LETTERS, 128), 64, '\n')}\n-----END ${name}-----`;
  },
  password: (dice) =>
    dice.of([`Tr0ub4dor&${dice.digits(2)}`, dice.from(LETTERS, 14) + dice.digits(1), `hunter-${dice.digits(4)}`]),
  name: (dice) =>
    `${dice.of(['María', 'John', 'Priya', 'Wolfgang', 'Giulia', 'Fatima', 'Emma', 'Carlos', 'Sophie', 'Omar'])} ${dice.of(['García', 'Smith', 'Patel', 'Schneider', 'Rossi', 'O’Connor', 'van Dijk', 'Lindqvist', 'Okafor', 'Silva'])}`,
};

function searched(dice: Dice, length: number, passes: (text: string) => boolean): string {
  for (;;) {
    const text = `${1 + dice.below(9)}${dice.digits(length - 1)}`;
    if (passes(text)) return text;
  }
}

/** What stands around a value, with `@` for it. */
const SENTENCES: Readonly<Partial<Record<FindingKind, readonly string[]>>> = {
  password: ['The password: @ was reset.', 'login is ana, password=@', 'My api key: @', 'His password is @.'],
  phone: ['Please call @ after six.', 'Phone: @', 'Mi móvil es @, gracias.', 'you can reach me at @'],
};
const ANYWHERE = [
  'Please send it to @ today.',
  'The customer gave @ as an answer.',
  '@',
  'Datos: @; gracias por su ayuda.',
  'Is (@) still the right one?',
  'Patient 12, room 4: @.',
];

/** `perKind` rows of each kind. The same seed gives the same rows. */
export function plantedRows(kind: FindingKind, perKind: number, seed = 'planted'): readonly Planted[] {
  return Array.from({ length: perKind }, (_, i) => {
    const dice = new Dice(`${seed}/${kind}/${i}`);
    const value = makers[kind](dice);
    const sentence = dice.of(SENTENCES[kind] ?? ANYWHERE);
    const before = sentence.slice(0, sentence.indexOf('@'));
    // What says what a number is belongs to the row, not to the number.
    const label = /^(?:NHS number|BSN) /.exec(value)?.[0] ?? '';
    const start = before.length + label.length;
    const text = before + value + sentence.slice(before.length + 1);
    return { kind, text, start, end: before.length + value.length };
  });
}
