// A form as a list of fields: what each is called in the API's body, how it is written by people, and back.
// Pure, so that a page only says what it asks for.

import type { Fault } from '../links/faults';
import { decimal, parseDecimal } from '../format/money';
import { fromLocal, toLocal } from '../range/local';

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
export type Body = { [name: string]: Json };

export interface Choice {
  id: string;
  title: string;
}

/** One of the things that an amount may be: under `id` in the body, or the amount itself where that is ''. */
export interface Unit {
  id: string;
  title: string;
  kind: 'percent' | 'money' | 'integer';
}

export interface FieldSpec {
  /** where it stands in the body: `commission.base`; '' in a row: the row itself */
  name: string;
  label: string;
  kind?:
    | 'text'
    | 'area'
    | 'password'
    | 'url'
    | 'integer'
    | 'number'
    | 'percent'
    | 'list'
    | 'pairs'
    | 'choice'
    | 'check'
    | 'checks'
    | 'time'
    | 'amount'
    | 'rows';
  hint?: string;
  placeholder?: string;
  required?: boolean;
  mono?: boolean;
  choices?: readonly Choice[];
  units?: readonly Unit[];
  /** of rows: the fields of each, and what another one is called */
  of?: readonly FieldSpec[];
  another?: string;
  /** a heading that begins with this field */
  section?: string;
  /** what the body holds where nothing was said yet */
  start?: Json;
  /** whether it is asked for, by what was said so far */
  when?: (model: Model) => boolean;
}

export interface Amount {
  unit: string;
  text: string;
  currency: string;
}

export type Held = string | boolean | string[] | Amount | Model[];
export type Model = { [name: string]: Held };

export interface Context {
  zone: string;
  /** of amounts that name none */
  currency: string;
}

export const MONEY: readonly Unit[] = [{ id: '', title: '', kind: 'money' }];
export const RATE: readonly Unit[] = [
  { id: 'bp', title: '% of the sale', kind: 'percent' },
  { id: 'fixed', title: 'fixed', kind: 'money' },
];

export const choices = (...names: string[]): Choice[] =>
  names.map((id) => ({ id, title: id === '' ? '–' : id.replaceAll('_', ' ') }));

/** 1250 → "12.5" */
export const percentOf = (bp: number): string => decimal(bp, 'USD').replace(/\.?0+$/, '');

function at(body: Json | undefined, path: string): Json | undefined {
  if (path === '') return body;
  let found: Json | undefined = body;
  for (const name of path.split('.')) {
    if (found === null || typeof found !== 'object' || Array.isArray(found)) return undefined;
    found = found[name];
  }
  return found;
}

function put(body: Body, path: string, value: Json | undefined): void {
  const names = path.split('.');
  const last = names.pop() ?? '';
  let into = body;
  for (const name of names) {
    const next = into[name];
    if (next !== null && typeof next === 'object' && !Array.isArray(next)) into = next;
    else if (value === undefined) return;
    else into = into[name] = {};
  }
  if (value === undefined) delete into[last];
  else into[last] = value;
}

type Money = { amount: number; currency: string };

function openAmount(spec: FieldSpec, value: Json | undefined, { currency }: Context): Amount {
  const units = spec.units ?? MONEY;
  for (const unit of units) {
    const found = at(value, unit.id);
    if (found === undefined || found === null) continue;
    if (unit.kind === 'money') {
      const money = found as unknown as Money;
      return { unit: unit.id, text: decimal(money.amount, money.currency), currency: money.currency };
    }
    return {
      unit: unit.id,
      text: unit.kind === 'percent' ? percentOf(Number(found)) : String(found),
      currency,
    };
  }
  return { unit: units[0]?.id ?? '', text: '', currency };
}

function openField(spec: FieldSpec, value: Json | undefined, context: Context): Held {
  const text = value === undefined || value === null ? '' : String(value);
  switch (spec.kind) {
    case 'check':
      return value === true;
    case 'checks':
      return Array.isArray(value) ? value.map(String) : [];
    case 'amount':
      return openAmount(spec, value, context);
    case 'rows':
      return Array.isArray(value) ? value.map((row) => open(spec.of ?? [], row as Body, context)) : [];
    case 'percent':
      return text === '' ? '' : percentOf(Number(text));
    case 'list':
      return Array.isArray(value) ? value.join(', ') : '';
    case 'pairs':
      return Object.entries((value ?? {}) as Body)
        .map(([theirs, ours]) => `${theirs} = ${String(ours)}`)
        .join('\n');
    case 'time':
      return text === '' ? '' : toLocal(text, context.zone);
    default:
      return text;
  }
}

/** What the form shows of a body; of nothing: how it begins. */
export function open(specs: readonly FieldSpec[], body: Body | undefined, context: Context): Model {
  const model: Model = {};
  for (const spec of specs) {
    model[spec.name] = openField(spec, body === undefined ? spec.start : at(body, spec.name), context);
  }
  return model;
}

export const isAsked = (spec: FieldSpec, model: Model): boolean => spec.when?.(model) ?? true;

const WRONG: Record<string, string> = {
  integer: 'must be a whole number',
  number: 'must be a number such as 12.5',
  percent: 'must be a percentage such as 12.5',
  money: 'must be an amount such as 19.99',
};

function readNumber(kind: Unit['kind'] | 'number', text: string, currency: string): Json | undefined {
  if (kind === 'number')
    return /^-?\d{1,15}([.,]\d{1,9})?$/.test(text) ? Number(text.replace(',', '.')) : undefined;
  if (kind === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
  const minor = parseDecimal(text, kind === 'percent' ? 'USD' : currency);
  if (minor === null) return undefined;
  return kind === 'percent' ? minor : { amount: minor, currency };
}

const pair = /^\s*([^=]+?)\s*=\s*(.*?)\s*$/;

/** A field's value for the body; undefined: nothing was said. Throws what is wrong with it. */
function closeField(spec: FieldSpec, held: Held | undefined, { zone }: Context): Json | undefined {
  if (typeof held === 'boolean') return held;
  if (typeof held !== 'string') return held as string[];
  const text = held.trim();
  switch (spec.kind) {
    case 'list':
      return text.split(/[,\n]/).flatMap((item) => item.trim() || []);
    case 'pairs': {
      const lines = text.split('\n').filter((line) => line.trim() !== '');
      const wrong = lines.find((line) => !pair.test(line));
      if (wrong !== undefined) throw new Error(`“${wrong}” is not of the form name = value`);
      return Object.fromEntries(lines.map((line) => pair.exec(line)?.slice(1, 3) as [string, string]));
    }
  }
  if (text === '') return undefined;
  if (spec.kind === 'time') return fromLocal(text, zone) ?? undefined;
  if (spec.kind === 'integer' || spec.kind === 'number' || spec.kind === 'percent') {
    const number = readNumber(spec.kind, text, '');
    if (number === undefined) throw new Error(WRONG[spec.kind]);
    return number;
  }
  return text;
}

function closeAmount(spec: FieldSpec, held: Amount, body: Body, path: string): void {
  const units = spec.units ?? MONEY;
  const prefix = (id: string) => [path, id].filter((part) => part !== '').join('.');
  for (const unit of units) put(body, prefix(unit.id), undefined);
  const unit = units.find(({ id }) => id === held.unit);
  if (!unit || held.text.trim() === '') return;
  const currency = held.currency.trim().toUpperCase();
  const value = readNumber(unit.kind, held.text.trim(), currency);
  if (value === undefined) throw new Error(WRONG[unit.kind]);
  put(body, prefix(unit.id), value);
}

/** The body that the form stands for, on top of what was there, and what cannot be read of it. */
export function close(
  specs: readonly FieldSpec[],
  model: Model,
  context: Context,
  before: Body = {},
  prefix = '',
): { body: Body; faults: Fault[] } {
  const body = structuredClone(before);
  const faults: Fault[] = [];
  for (const spec of specs) {
    const field = prefix + spec.name;
    const held = model[spec.name];
    try {
      if (!isAsked(spec, model)) put(body, spec.name, undefined);
      else if (spec.kind === 'amount') closeAmount(spec, held as Amount, body, spec.name);
      else if (spec.kind === 'rows') {
        const rows = (held as Model[]).map((row, n) =>
          close(spec.of ?? [], row, context, {}, `${field}[${n}].`),
        );
        faults.push(...rows.flatMap((row) => row.faults));
        put(body, spec.name, rows.length > 0 ? rows.map((row) => row.body) : undefined);
      } else put(body, spec.name, closeField(spec, held, context));
      if (spec.required && isAsked(spec, model) && isNothing(at(body, spec.name), spec)) {
        throw new Error('is required');
      }
    } catch (error) {
      faults.push({ field: field.replace(/\.$/, ''), detail: (error as Error).message });
    }
  }
  return { body, faults };
}

function isNothing(value: Json | undefined, spec: FieldSpec): boolean {
  if (spec.name === '') return !(spec.units ?? []).some(({ id }) => at(value, id) !== undefined);
  return value === undefined || (Array.isArray(value) && value.length === 0);
}

/** The same for what means the same: names in order, and nothing of what says nothing. */
function canonical(value: Json | undefined): string {
  return JSON.stringify(value ?? null, (_, each: Json) => {
    if (each === null || typeof each !== 'object' || Array.isArray(each)) return each;
    const said = Object.entries(each).filter(
      ([, held]) => held !== null && !(Array.isArray(held) && held.length === 0),
    );
    return Object.fromEntries(said.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Of a change what is new: whole fields of the body, emptied ones as null. */
export function changes(before: Body, after: Body): Body {
  const changed: Body = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, value] = [before[name], after[name]];
    if (canonical({ value: old ?? null }) !== canonical({ value: value ?? null }))
      changed[name] = value ?? null;
  }
  return changed;
}

/** Every field's place in the body, for complaints. */
export function places(specs: readonly FieldSpec[], model: Model, prefix = ''): string[] {
  return specs.flatMap((spec) => {
    const field = (prefix + spec.name).replace(/\.$/, '');
    if (spec.kind !== 'rows') return [field];
    const rows = (model[spec.name] as Model[]) ?? [];
    return [field, ...rows.flatMap((row, n) => places(spec.of ?? [], row, `${field}[${n}].`))];
  });
}
