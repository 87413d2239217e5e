// A link as its form holds it, and the body that the API takes. An edit sends the fields whose body changed
// and no others: what the form does not show or rounds (seconds of a schedule) stays as it is.

import type { Link } from '../api/types';
import { fromLocal, toLocal } from '../range/local';
import { build, nextId, parse, splitList, type Condition, type Json, type Row } from './condition';
import type { Fault } from './faults';
import { counted, formatCount } from '../format/number';

export const utmNames = ['source', 'medium', 'campaign', 'term', 'content'] as const;
export type UtmName = (typeof utmNames)[number];

export interface RuleForm {
  id: number;
  rows: Row[];
  any: boolean;
  /** the condition as JSON, where rows do not do; null where they do */
  text: string | null;
  destination: string;
}

export interface VariantForm {
  id: number;
  name: string;
  destination: string;
  weight: string;
}

export interface LinkForm {
  destination: string;
  slug: string;
  domain: string;
  title: string;
  tags: string;
  notes: string;
  enabled: boolean;
  statusCode: string;
  forward: boolean;
  track: boolean;
  program: string;
  partner: string;
  utm: Record<UtmName, string>;
  startsAt: string;
  expiresAt: string;
  maxClicks: string;
  dailyCap: string;
  capTimezone: string;
  /** seconds in which a repeat of the same visitor is not counted again */
  dedupe: string;
  fallback: string;
  /** a new one; what is set is never shown */
  password: string;
  hasPassword: boolean;
  dropPassword: boolean;
  rules: RuleForm[];
  variants: VariantForm[];
  stickyDays: string;
  allocation: 'fixed' | 'bandit';
}

export type Body = { [key: string]: Json };

const noUtm = (): Record<UtmName, string> => ({
  source: '',
  medium: '',
  campaign: '',
  term: '',
  content: '',
});

/** The engine's defaults. */
export function emptyForm(): LinkForm {
  return {
    destination: '',
    slug: '',
    domain: '',
    title: '',
    tags: '',
    notes: '',
    enabled: true,
    statusCode: '302',
    forward: true,
    track: true,
    program: '',
    partner: '',
    utm: noUtm(),
    startsAt: '',
    expiresAt: '',
    maxClicks: '',
    dailyCap: '',
    capTimezone: 'UTC',
    dedupe: '',
    fallback: '',
    password: '',
    hasPassword: false,
    dropPassword: false,
    rules: [],
    variants: [],
    stickyDays: '7',
    allocation: 'fixed',
  };
}

export const newRule = (rows: Row[] = []): RuleForm => ({
  id: nextId(),
  rows,
  any: false,
  text: null,
  destination: '',
});

export const newVariant = (name: string, weight = '50'): VariantForm => ({
  id: nextId(),
  name,
  destination: '',
  weight,
});

export function formOf(link: Link, zone: string): LinkForm {
  const form = emptyForm();
  const utm = noUtm();
  for (const name of utmNames) utm[name] = link.utm?.[name] ?? '';
  return {
    ...form,
    destination: link.destination,
    slug: link.slug,
    domain: link.domain ?? '',
    title: link.title ?? '',
    tags: (link.tags ?? []).join(', '),
    notes: link.notes ?? '',
    enabled: link.enabled,
    statusCode: String(link.status_code),
    forward: link.forward_query ?? true,
    track: link.track_conversions,
    program: link.program_id ?? '',
    partner: link.partner_id ?? '',
    utm,
    startsAt: toLocal(link.starts_at, zone),
    expiresAt: toLocal(link.expires_at, zone),
    maxClicks: link.max_clicks == null ? '' : String(link.max_clicks),
    dailyCap: link.daily_click_cap == null ? '' : String(link.daily_click_cap),
    capTimezone: link.cap_timezone ?? form.capTimezone,
    dedupe: link.dedupe_window_seconds == null ? '' : String(link.dedupe_window_seconds),
    fallback: link.fallback ?? '',
    hasPassword: Boolean(link.password),
    rules: (link.rules ?? []).map((rule) => ruleForm(rule.if, rule.destination)),
    variants: (link.variants ?? []).map(({ name, destination, weight }) => ({
      id: nextId(),
      name,
      destination,
      weight: String(weight),
    })),
    stickyDays: String(link.sticky_days ?? form.stickyDays),
    allocation: link.allocation ?? form.allocation,
  };
}

function ruleForm(condition: Condition, destination: string): RuleForm {
  const read = parse(condition);
  const rule = { ...newRule(), destination };
  return read ? { ...rule, ...read } : { ...rule, text: asText(condition) };
}

export const asText = (condition: Condition): string => JSON.stringify(condition, null, 2);

/** The condition that a text holds, or what is wrong with it. */
export function readText(text: string): Condition | string {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Condition;
    return 'must be an object, such as {"country": ["DE"]}';
  } catch (error) {
    return `is not JSON: ${(error as Error).message}`;
  }
}

/** The whole link as the API takes it, and what cannot be said to it at all. */
export function bodyOf(form: LinkForm, zone: string): { body: Body; faults: Fault[] } {
  const faults: Fault[] = [];
  const text = (value: string) => (value.trim() === '' ? null : value.trim());
  const count = (field: string, value: string): number | null => {
    if (value.trim() === '') return null;
    if (/^\d{1,15}$/.test(value.trim())) return Number(value);
    faults.push({ field, detail: 'must be a whole number' });
    return null;
  };
  const needed = (field: string, value: string): number => {
    if (value.trim() === '') faults.push({ field, detail: 'must be a whole number' });
    return count(field, value) ?? 0;
  };
  const utm: Body = {};
  for (const name of utmNames) if (form.utm[name].trim() !== '') utm[name] = form.utm[name].trim();
  const body: Body = {
    destination: form.destination.trim(),
    slug: text(form.slug),
    domain: text(form.domain),
    title: text(form.title),
    tags: splitList(form.tags),
    notes: text(form.notes),
    enabled: form.enabled,
    status_code: Number(form.statusCode),
    forward_query: form.forward,
    track_conversions: form.track,
    program_id: text(form.program),
    partner_id: text(form.partner),
    utm,
    starts_at: fromLocal(form.startsAt, zone),
    expires_at: fromLocal(form.expiresAt, zone),
    max_clicks: count('max_clicks', form.maxClicks),
    daily_click_cap: count('daily_click_cap', form.dailyCap),
    cap_timezone: form.capTimezone.trim(),
    dedupe_window_seconds: count('dedupe_window_seconds', form.dedupe),
    fallback: text(form.fallback),
    rules: form.rules.map((rule, n) => ({
      if: conditionOf(rule, `rules[${n}].if`, faults),
      destination: rule.destination.trim(),
    })),
    variants: form.variants.map((variant, n) => ({
      name: variant.name.trim(),
      destination: variant.destination.trim(),
      weight: needed(`variants[${n}].weight`, variant.weight),
    })),
    sticky_days: needed('sticky_days', form.stickyDays),
    allocation: form.allocation,
  };
  // As typed: a password may begin or end with a space.
  if (form.password !== '') body.password = form.password;
  else if (form.dropPassword) body.password = null;
  return { body, faults };
}

function conditionOf(rule: RuleForm, path: string, faults: Fault[]): Condition {
  if (rule.text !== null) {
    const read = readText(rule.text);
    if (typeof read !== 'string') return read;
    faults.push({ field: path, detail: read });
    return {};
  }
  const { condition, places } = build(rule.rows, rule.any);
  if (rule.rows.length === 0) faults.push({ field: path, detail: 'needs a condition' });
  rule.rows.forEach((row, n) => {
    const place = joined(path, places[n] ?? '');
    if (row.subject === 'query' && row.name.trim() === '')
      faults.push({ field: `${place}.query.`, detail: 'name the parameter' });
    if (row.subject === 'week' && row.chosen.length === 0 && splitList(row.hours).length === 0)
      faults.push({ field: `${place}.weekday`, detail: 'choose a weekday, hours, or both' });
  });
  return condition;
}

const joined = (path: string, place: string) => (place === '' ? path : `${path}.${place}`);

/** For a new link: what differs from the engine's defaults, and the destination. */
export function creation(form: LinkForm, zone: string): { body: Body; faults: Fault[] } {
  const { body, faults } = bodyOf(form, zone);
  const { destination = '', ...rest } = changed(bodyOf(emptyForm(), zone).body, body);
  return { body: { ...rest, destination: body.destination ?? destination }, faults };
}

/** Fields that the engine compares with each other go together. */
const together = [
  ['starts_at', 'expires_at'],
  ['variants', 'sticky_days', 'allocation'],
  ['domain', 'destination'],
];

/** For an edit: the fields that changed. */
export function edit(link: Link, form: LinkForm, zone: string): { body: Body; faults: Fault[] } {
  const { body, faults } = bodyOf(form, zone);
  const before = bodyOf(formOf(link, zone), zone).body;
  const patch = changed(before, body);
  for (const fields of together) {
    if (!fields.some((field) => field in patch)) continue;
    // Unchanged ones as the link has them, not as the form rounds them.
    for (const field of fields) {
      const kept = (link as unknown as Body)[field];
      if (!(field in patch) && kept !== undefined) patch[field] = kept;
    }
  }
  // An emptied slug or destination is refused by the engine, at its field.
  return { body: patch, faults };
}

function changed(before: Body, after: Body): Body {
  const differs = ([field, value]: [string, Json]) => JSON.stringify(value) !== JSON.stringify(before[field]);
  return Object.fromEntries(Object.entries(after).filter(differs));
}

/** Every field of the form by the engine's name for it, so that each complaint finds its place. */
export function fieldsOf(form: LinkForm): string[] {
  const names = Object.keys(bodyOf(form, 'UTC').body).filter((name) => name !== 'utm');
  const utm = utmNames.map((name) => `utm.${name}`);
  const variants = form.variants.flatMap((_, n) =>
    ['name', 'destination', 'weight'].map((field) => `variants[${n}].${field}`),
  );
  const rules = form.rules.flatMap((rule, n) => {
    const path = `rules[${n}].if`;
    return [path, `rules[${n}].destination`, ...rowPaths(rule, path).flat()];
  });
  return [...names, 'password', ...utm, ...variants, ...rules];
}

/** The names of each row's inputs: of a week three, of the others one. */
export function rowPaths(rule: RuleForm, path: string): string[][] {
  if (rule.text !== null) return [];
  const { places } = build(rule.rows, rule.any);
  return rule.rows.map((row, n) => {
    const place = joined(path, places[n] ?? '');
    if (row.subject === 'week') return ['weekday', 'hours', 'timezone'].map((key) => `${place}.${key}`);
    if (row.subject === 'query') return [`${place}.query.${row.name.trim()}`];
    return [`${place}.${row.subject}`];
  });
}

/** What is set, in a few words, for each section of the form. */
export function notesOf(
  form: LinkForm,
): Record<'rules' | 'variants' | 'limits' | 'utm' | 'conversions' | 'redirect', string> {
  const some = (n: number, one: string) => (n === 0 ? '' : counted(n, one));
  const listed = (...parts: (string | false)[]) => parts.filter(Boolean).join(', ');
  const bandit = form.variants.length > 0 && form.allocation === 'bandit';
  return {
    rules: some(form.rules.length, 'rule'),
    variants: listed(some(form.variants.length, 'variant'), bandit && 'by results'),
    limits: listed(
      form.startsAt !== '' && 'starts later',
      form.expiresAt !== '' && 'expires',
      form.maxClicks !== '' && `at most ${counted(Number(form.maxClicks), 'click')}`,
      form.dailyCap !== '' && `at most ${formatCount(Number(form.dailyCap))} a day`,
      form.dedupe !== '' && 'repeats not counted',
      (form.password !== '' || (form.hasPassword && !form.dropPassword)) && 'password',
      form.fallback !== '' && 'fallback',
    ),
    utm: listed(...utmNames.map((name) => form.utm[name].trim())),
    conversions: listed(
      form.track ? 'tracked' : 'not tracked',
      form.program !== '' && 'program',
      form.partner !== '' && 'partner',
    ),
    redirect: listed(form.statusCode, !form.forward && 'query not handed on'),
  };
}

/** A destination with the link's UTM values, as the engine sends it: they replace those of the same name. */
export function withUtm(destination: string, utm: Record<UtmName, string>): string {
  const set = utmNames.filter((name) => utm[name].trim() !== '');
  if (destination === '' || set.length === 0) return destination;
  const [address = '', ...fragment] = destination.split('#');
  const [base = '', ...query] = address.split('?');
  const replaced = new Set(set.map((name) => `utm_${name}`));
  const kept = query
    .join('?')
    .split('&')
    .filter((pair) => pair !== '' && !replaced.has(pair.split('=')[0] ?? ''));
  const added = set.map((name) => `utm_${name}=${encodeURIComponent(utm[name].trim())}`);
  const hash = fragment.length > 0 ? `#${fragment.join('#')}` : '';
  return `${base}?${[...kept, ...added].join('&')}${hash}`;
}
