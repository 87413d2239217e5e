// Money is an integer number of minor units and a currency. It is turned into text through an exact decimal
// string, never through a division, so a sum of cents prints as that sum.

export interface Money {
  amount: number;
  currency: string;
}

const digitsByCurrency = new Map<string, number>();

/** ISO 4217 minor digits: 2 for EUR, 0 for JPY, 3 for KWD; 2 for a code that nobody knows. */
export function minorDigits(currency: string): number {
  let digits = digitsByCurrency.get(currency);
  if (digits === undefined) {
    try {
      const format = new Intl.NumberFormat('en', { style: 'currency', currency });
      digits = format.resolvedOptions().maximumFractionDigits ?? 2;
    } catch {
      digits = 2;
    }
    digitsByCurrency.set(currency, digits);
  }
  return digits;
}

/** 1999, EUR → "19.99", exactly. */
export function decimal(amount: number | bigint, currency: string): string {
  const digits = minorDigits(currency);
  const minor = BigInt(amount);
  const sign = minor < 0n ? '-' : '';
  const text = (minor < 0n ? -minor : minor).toString().padStart(digits + 1, '0');
  const whole = text.slice(0, text.length - digits);
  return digits === 0 ? sign + whole : `${sign}${whole}.${text.slice(text.length - digits)}`;
}

/** "19.99", EUR → 1999; null for what is not an amount or has more digits than the currency. */
export function parseDecimal(text: string, currency: string): number | null {
  const match = /^(-?)(\d+)(?:[.,](\d+))?$/.exec(text.trim());
  if (!match) return null;
  const digits = minorDigits(currency);
  const fraction = match[3] ?? '';
  if (fraction.length > digits) return null;
  const minor = Number(`${match[1]}${match[2]}${fraction.padEnd(digits, '0')}`);
  return Number.isSafeInteger(minor) ? minor : null;
}

const formats = new Map<string, Intl.NumberFormat>();

/** `whole`: without the digits of the minor unit where they are all 0 */
type Style = 'exact' | 'whole' | 'compact';

function formatOf(currency: string, style: Style): Intl.NumberFormat | null {
  const key = currency + style;
  let format = formats.get(key);
  if (!format) {
    const options: Intl.NumberFormatOptions = {
      style: 'currency',
      currency,
      currencyDisplay: 'narrowSymbol',
    };
    if (style === 'compact') Object.assign(options, { notation: 'compact', maximumFractionDigits: 1 });
    else if (style === 'whole') Object.assign(options, { trailingZeroDisplay: 'stripIfInteger' });
    try {
      format = new Intl.NumberFormat(undefined, options);
    } catch {
      return null;
    }
    formats.set(key, format);
  }
  return format;
}

export function formatMoney(amount: number | bigint, currency: string): string {
  const exact = decimal(amount, currency);
  return formatOf(currency, 'exact')?.format(exact as `${number}`) ?? `${exact} ${currency}`;
}

/** For columns of a table: exact to the minor unit below a million, so that rows can be added up by eye. */
export function formatMoneyColumn(amount: number, currency: string): string {
  const isLong = Math.abs(amount) >= 10 ** (minorDigits(currency) + 6);
  return isLong ? formatMoneyShort(amount, currency) : formatMoney(amount, currency);
}

/** For axes: "$200", "$1.2K". From 1,000 major units up it rounds; below it is exact. */
export function formatMoneyShort(amount: number, currency: string): string {
  const exact = decimal(amount, currency);
  const style = Math.abs(amount) < 10 ** (minorDigits(currency) + 3) ? 'whole' : 'compact';
  return formatOf(currency, style)?.format(exact as `${number}`) ?? `${exact} ${currency}`;
}
