// What a dimension's cell is called on the page.

import type { Cell } from '../live/protocol';

const regions = new Intl.DisplayNames(undefined, { type: 'region', fallback: 'code' });

export const dimensionTitles: Record<string, string> = {
  link: 'Link',
  country: 'Country',
  region: 'Region',
  city: 'City',
  device: 'Device',
  browser: 'Browser',
  os: 'System',
  referrer: 'Referrer',
  medium: 'Medium',
  utm_source: 'UTM source',
  utm_medium: 'UTM medium',
  utm_campaign: 'UTM campaign',
  variant: 'Variant',
  domain: 'Domain',
};

const emptyNames: Record<string, string> = {
  referrer: 'Direct or none',
  medium: 'Direct or none',
  link: '(no link)',
  country: 'Unknown country',
};

export function countryName(code: string): string {
  if (!/^[A-Za-z]{2}$/.test(code)) return code;
  try {
    return regions.of(code.toUpperCase()) ?? code;
  } catch {
    return code;
  }
}

export function dimensionName(dimension: string, cell: Cell): string {
  if (cell === null || cell === '') return emptyNames[dimension] ?? '(none)';
  const text = String(cell);
  if (dimension === 'country') return countryName(text);
  if (dimension === 'device') return text.charAt(0).toUpperCase() + text.slice(1);
  return text;
}
