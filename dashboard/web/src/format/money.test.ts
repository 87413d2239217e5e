import { describe, expect, it } from 'vitest';
import {
  decimal,
  formatMoney,
  formatMoneyColumn,
  formatMoneyShort,
  minorDigits,
  parseDecimal,
} from './money';

describe('money', () => {
  it('has the minor digits of ISO 4217', () => {
    expect(['EUR', 'JPY', 'KWD'].map(minorDigits)).toEqual([2, 0, 3]);
    expect(minorDigits('nonsense')).toBe(2);
  });

  it('prints every minor unit, also where a division would not', () => {
    expect(decimal(1999, 'EUR')).toBe('19.99');
    expect(decimal(-5, 'EUR')).toBe('-0.05');
    expect(decimal(0, 'KWD')).toBe('0.000');
    expect(decimal(1234, 'JPY')).toBe('1234');
    expect(decimal(9_007_199_254_740_993n, 'USD')).toBe('90071992547409.93');
  });

  it('reads back what it prints, and refuses more digits than the currency has', () => {
    for (const amount of [0, 1, 99, 100, 4999, -250]) {
      expect(parseDecimal(decimal(amount, 'USD'), 'USD')).toBe(amount);
    }
    expect(parseDecimal('19,9', 'EUR')).toBe(1990);
    expect(parseDecimal('1.5', 'JPY')).toBeNull();
    expect(parseDecimal('1.999', 'EUR')).toBeNull();
    expect(parseDecimal('ten', 'EUR')).toBeNull();
  });

  it('rounds columns only from a million on, axes from a thousand', () => {
    // Against each other, as the texts depend on who reads them.
    expect(formatMoneyColumn(99_999_999, 'USD')).toBe(formatMoney(99_999_999, 'USD'));
    expect(formatMoneyColumn(123_456_789, 'USD')).not.toBe(formatMoney(123_456_789, 'USD'));
    expect(formatMoneyShort(99_999, 'USD')).toBe(formatMoney(99_999, 'USD'));
    expect(formatMoneyShort(20_000, 'USD')).toBe(formatMoney(20_000, 'USD').replace(/\D00$/, ''));
    expect(formatMoneyShort(123_456, 'USD')).not.toBe(formatMoney(123_456, 'USD'));
  });
});
