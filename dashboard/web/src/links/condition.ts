// A rule's condition as rows that a person can edit, and back. Rows cover what people write: some subjects,
// each wanted or not wanted, all of them or any of them. What nests deeper stays JSON text, word for word.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Condition = { [key: string]: Json };

/** How a subject's values are given. */
export type Kind = 'texts' | 'choices' | 'flag' | 'time' | 'week' | 'parameter';

export interface Subject {
  key: string;
  title: string;
  kind: Kind;
  hint?: string;
  choices?: readonly (readonly [value: string, title: string])[];
}

const devices = [
  ['desktop', 'Desktop'],
  ['mobile', 'Mobile'],
  ['tablet', 'Tablet'],
  ['tv', 'TV'],
  ['other', 'Other'],
  ['bot', 'Robot'],
  ['unknown', 'Not known'],
] as const;
const continents = [
  ['AF', 'Africa'],
  ['AN', 'Antarctica'],
  ['AS', 'Asia'],
  ['EU', 'Europe'],
  ['NA', 'North America'],
  ['OC', 'Oceania'],
  ['SA', 'South America'],
] as const;
export const weekdays = [
  ['mon', 'Mon'],
  ['tue', 'Tue'],
  ['wed', 'Wed'],
  ['thu', 'Thu'],
  ['fri', 'Fri'],
  ['sat', 'Sat'],
  ['sun', 'Sun'],
] as const;

/** In the order of the menu. */
export const subjects: readonly Subject[] = [
  { key: 'country', title: 'Country', kind: 'texts', hint: 'Two letters each: DE, AT' },
  { key: 'region', title: 'Region', kind: 'texts', hint: 'Bavaria, Tyrol' },
  { key: 'city', title: 'City', kind: 'texts', hint: 'Munich, Vienna' },
  { key: 'continent', title: 'Continent', kind: 'choices', choices: continents },
  { key: 'language', title: 'Language', kind: 'texts', hint: 'As the browser asks: de, pt-BR' },
  { key: 'device', title: 'Device', kind: 'choices', choices: devices },
  { key: 'os', title: 'System', kind: 'texts', hint: 'iOS, Android, Windows' },
  { key: 'browser', title: 'Browser', kind: 'texts', hint: 'Firefox, Chrome' },
  { key: 'bot', title: 'Robot', kind: 'flag' },
  { key: 'returning', title: 'Returning visitor', kind: 'flag' },
  { key: 'ip', title: 'Address', kind: 'texts', hint: 'Addresses or networks: 203.0.113.0/24' },
  { key: 'referrer', title: 'Referrer', kind: 'texts', hint: 'Hosts: news.example. Empty: any referrer' },
  { key: 'query', title: 'Query parameter', kind: 'parameter', hint: 'Empty: any value' },
  { key: 'week', title: 'Weekday and hour', kind: 'week' },
  { key: 'after', title: 'From a time on', kind: 'time' },
  { key: 'before', title: 'Before a time', kind: 'time' },
];
const subjectOf = new Map(subjects.map((subject) => [subject.key, subject]));

export function subject(key: string): Subject {
  const found = subjectOf.get(key);
  if (!found) throw new Error(`no such subject: ${key}`);
  return found;
}

export interface Row {
  /** tells rows apart while they move */
  id: number;
  subject: string;
  wanted: boolean;
  /** separated by commas */
  values: string;
  chosen: string[];
  /** the parameter's name */
  name: string;
  /** RFC 3339, as the engine has it */
  time: string;
  hours: string;
  timezone: string;
}

let lastId = 0;
export const nextId = () => ++lastId;

export function newRow(key: string): Row {
  return {
    id: nextId(),
    subject: key,
    wanted: true,
    values: '',
    chosen: [],
    name: '',
    time: '',
    hours: '',
    timezone: '',
  };
}

export const splitList = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);

/** What one row says, without whether it is wanted; flags say that themselves. */
function fragment(row: Row): Condition {
  const { kind } = subject(row.subject);
  if (kind === 'flag') return { [row.subject]: row.wanted };
  if (kind === 'time') return { [row.subject]: row.time };
  if (kind === 'choices') return { [row.subject]: [...row.chosen] };
  if (kind === 'week') {
    const made: Condition = {};
    if (row.chosen.length > 0) made.weekday = [...row.chosen];
    const hours = splitList(row.hours);
    if (hours.length > 0) made.hours = hours;
    if (row.timezone.trim() !== '') made.timezone = row.timezone.trim();
    return made;
  }
  const key = kind === 'parameter' ? `query.${row.name.trim()}` : row.subject;
  const values = splitList(row.values);
  // A parameter or a referrer without values: that there is one at all.
  if (values.length === 0 && saysPresence(row.subject)) return { [key]: row.wanted };
  return { [key]: values };
}

const saysPresence = (key: string) => key === 'query' || key === 'referrer';

/** A fragment that says itself that it is not wanted. */
const negatesItself = (made: Condition) => Object.values(made).some((value) => value === false);

export interface Built {
  condition: Condition;
  /** for each row, where the engine finds it: "all[1].not"; empty for the condition itself */
  places: string[];
}

/** The condition of `rows`, of which all must hold, or any. */
export function build(rows: readonly Row[], any: boolean): Built {
  const parts = rows.map((row) => {
    const made = fragment(row);
    const negated = !row.wanted && !negatesItself(made);
    return { made, negated, whole: negated ? { not: made } : made };
  });
  if (any) {
    return {
      condition: { any: parts.map(({ whole }) => whole) },
      places: parts.map(({ negated }, n) => `any[${n}]${negated ? '.not' : ''}`),
    };
  }
  const condition: Condition = {};
  const rest: Condition[] = [];
  // Weekday, hours and timezone belong together wherever they stand.
  const family = (key: string) => (/^(weekday|hours|timezone)$/.test(key) ? 'week' : key);
  const taken = new Set<string>();
  const places = parts.map(({ made, negated, whole }) => {
    const families = Object.keys(whole).map(family);
    if (families.length > 0 && families.every((name) => !taken.has(name))) {
      families.forEach((name) => taken.add(name));
      Object.assign(condition, whole);
      return negated ? 'not' : '';
    }
    if (Object.keys(made).length === 0) return '';
    rest.push(whole);
    return `all[${rest.length - 1}]${negated ? '.not' : ''}`;
  });
  if (rest.length > 0) condition.all = rest;
  return { condition, places };
}

const isObject = (value: Json | undefined): value is Condition =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Texts without commas, of which a row can be made. */
function texts(value: Json): string[] | null {
  const list = Array.isArray(value) ? value : [value];
  const plain = list.every((item) => typeof item === 'string' && !item.includes(',') && item.trim() !== '');
  return plain ? (list as string[]) : null;
}

function rowOf(key: string, value: Json): Row | null {
  const name = key.startsWith('query.') ? 'query' : key;
  const found = subjectOf.get(name);
  if (!found || found.kind === 'week') return null;
  const row = newRow(name);
  if (name === 'query') row.name = key.slice('query.'.length);
  if (found.kind === 'flag' || (saysPresence(name) && typeof value === 'boolean')) {
    if (typeof value !== 'boolean') return null;
    return { ...row, wanted: value };
  }
  if (found.kind === 'time') return typeof value === 'string' ? { ...row, time: value } : null;
  const list = texts(value);
  if (!list || list.length === 0) return null;
  if (found.kind === 'choices') {
    const known = list.map(
      (item) => found.choices?.find(([choice]) => choice.toLowerCase() === item.toLowerCase())?.[0],
    );
    return known.every((choice) => choice !== undefined) ? { ...row, chosen: known as string[] } : null;
  }
  return { ...row, values: list.join(', ') };
}

function weekOf(object: Condition): Row | null {
  const days = object.weekday === undefined ? [] : texts(object.weekday);
  const hours = object.hours === undefined ? [] : texts(object.hours);
  const { timezone = '' } = object;
  if (!days || !hours || typeof timezone !== 'string') return null;
  const chosen = days.map((day) => weekdays.find(([known]) => known === day.toLowerCase().slice(0, 3))?.[0]);
  if (chosen.some((day) => day === undefined)) return null;
  return { ...newRow('week'), chosen: chosen as string[], hours: hours.join(', '), timezone };
}

/** The rows of an object without `all` and `any`; null where rows cannot say it. */
function rowsOf(object: Condition, mayNegate: boolean): Row[] | null {
  const rows: (Row | null)[] = [];
  let week = false;
  for (const [key, value] of Object.entries(object)) {
    if (key === 'weekday' || key === 'hours' || key === 'timezone') {
      if (!week) rows.push(weekOf(object));
      week = true;
    } else if (key === 'query' && isObject(value)) {
      for (const [name, of] of Object.entries(value)) rows.push(rowOf(`query.${name}`, of));
    } else if (key === 'not' && mayNegate && isObject(value)) {
      const [row, ...others] = rowsOf(value, false) ?? [];
      // "Not both" is no row, and neither is a double negation.
      rows.push(row && others.length === 0 && row.wanted ? negated(row) : null);
    } else {
      rows.push(rowOf(key, value));
    }
  }
  return rows.every((row) => row !== null) ? rows : null;
}

const negated = (row: Row): Row => ({ ...row, wanted: false });

/** The rows that say the same; null where only the text can. */
export function parse(condition: Condition): { rows: Row[]; any: boolean } | null {
  const { all, any, ...plain } = condition;
  if (any !== undefined && (all !== undefined || Object.keys(plain).length > 0)) return null;
  const lists = any ?? all ?? [];
  if (!Array.isArray(lists)) return null;
  const rows: Row[] = [];
  for (const item of lists) {
    const made = isObject(item) ? rowsOf(item, true) : null;
    if (!made || (any !== undefined && made.length !== 1)) return null;
    rows.push(...made);
  }
  const own = rowsOf(plain, true);
  return own && own.length + rows.length > 0 ? { rows: [...own, ...rows], any: any !== undefined } : null;
}
