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
  utm_term: 'UTM term',
  utm_content: 'UTM content',
  variant: 'Variant',
  domain: 'Domain',
  partner: 'Partner',
  program: 'Program',
  continent: 'Continent',
  currency: 'Currency',
  event: 'Event',
  provider: 'Provider',
};

const emptyNames: Record<string, string> = {
  referrer: 'Direct or none',
  medium: '(none)',
  link: '(no link)',
  partner: '(no partner)',
  program: '(no program)',
  variant: '(no split)',
  country: 'Unknown country',
};

const continents: Record<string, string> = {
  AF: 'Africa',
  AN: 'Antarctica',
  AS: 'Asia',
  EU: 'Europe',
  NA: 'North America',
  OC: 'Oceania',
  SA: 'South America',
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
  if (dimension === 'continent') return continents[text] ?? text;
  if (dimension === 'device') return text.charAt(0).toUpperCase() + text.slice(1);
  return text;
}
