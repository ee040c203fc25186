import { describe, expect, it } from 'vitest';
import { plantedRows } from '../../../../test/support/planted-rows.js';
import { isBsn, isCpf, isIban, isNhsNumber, isPaymentCard, isSpanishId, isSsn, passesLuhn } from './checksums.js';
import { findingKinds } from './detectors.js';
import { findPersonalData } from './find.js';

const PER_KIND = 200;

describe('planted personal data', () => {
  it.each(findingKinds)('of kind %s is found in at least 95 of 100 rows, as that kind and in full', (kind) => {
    const rows = plantedRows(kind, PER_KIND);
    const missed = rows.filter(
      ({ text, start, end }) =>
        !findPersonalData(text).some((found) => found.kind === kind && found.start <= start && found.end >= end),
    );
    expect(
      missed.length / PER_KIND,
      missed
        .slice(0, 5)
        .map(({ text }) => text)
        .join('\n'),
    ).toBeLessThanOrEqual(0.05);
  });

  it('is found once, whatever kinds it looks like', () => {
    for (const kind of findingKinds) {
      for (const { text } of plantedRows(kind, 20)) {
        const found = findPersonalData(text);
        found.slice(1).forEach((one, i) => expect(one.start).toBeGreaterThanOrEqual(found[i].end));
      }
    }
  });
});

it('finds an IBAN however its letters are written', () => {
  for (const text of ['es9121000418450200051332', 'Es91 2100 0418 4502 0005 1332', 'gb82 west 1234 5698 7654 32'])
    expect(findPersonalData(`pay to ${text} please`)).toMatchObject([{ kind: 'iban', start: 7, end: 7 + text.length }]);
});

describe('what is no personal data', () => {
  it.each([
    'Order 4111111111111112 has not arrived.', // Luhn fails
    'Invoice 20241125-000123, total 1234.56 EUR',
    'Version 1.2.3.4567 of the program',
    'ES9121000418450200051331', // wrong check digits
    '12345678A is no DNI', // Z would be
    '000-12-3456 and 666-12-3456 are never given',
    'The password is wrong.',
    'My password was changed yesterday',
    'Paris Hilton Hotel, Main Street', // no given name of the list
    'ratio 3:4:5, at 12:30:45',
    'see sections 4.1, 4.3 and 4.14',
    'ISBN 978-3-16-148410-0',
    '10.1000/182 is a DOI',
    'in 1914 1918 1939 1945',
  ])('%s', (text) => expect(findPersonalData(text)).toEqual([]));
});

describe('check digits', () => {
  // Published examples of the schemes themselves.
  it.each([
    ['Luhn', passesLuhn, '79927398713', '79927398710'],
    ['IBAN', isIban, 'GB82 WEST 1234 5698 7654 32', 'GB82 WEST 1234 5698 7654 33'],
    ['payment card', isPaymentCard, '4111111111111111', '9111111111111114'],
    ['DNI', isSpanishId, '12345678Z', '12345678A'],
    ['NIE', isSpanishId, 'X1234567L', 'X1234567M'],
    ['BSN', isBsn, '111222333', '111222334'],
    ['NHS number', isNhsNumber, '9434765919', '9434765918'],
    ['CPF', isCpf, '52998224725', '52998224724'],
    ['SSN', isSsn, '219-09-9999', '900-09-9999'],
  ] as const)('%s', (_name, passes, right, wrong) => {
    expect(passes(right)).toBe(true);
    expect(passes(wrong)).toBe(false);
  });

  it('find every single wrong digit of a card, an IBAN, a BSN, an NHS number and a CPF', () => {
    const cases = [
      [passesLuhn, '4111111111111111'],
      [isBsn, '111222333'],
      [isNhsNumber, '9434765919'],
      [isCpf, '52998224725'],
      [isIban, 'ES9121000418450200051332'],
    ] as const;
    for (const [passes, right] of cases) {
      expect(passes(right), right).toBe(true);
      for (let i = 4; i < right.length; i++) {
        for (let digit = 0; digit < 10; digit++) {
          const other = right.slice(0, i) + String(digit) + right.slice(i + 1);
          if (other !== right) expect(passes(other), other).toBe(false);
        }
      }
    }
  });
});
