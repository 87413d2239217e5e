// Alerts as people read and write them: the rule in words, its figures in their own units, its form, and what can be
// done with one.

import { patch, post, remove } from '../../api/client';
import type { Action } from '../../form/act';
import type { Body, Choice, FieldSpec, Json, Model } from '../../form/fields';
import { decimal, formatMoney, parseDecimal } from '../../format/money';
import { formatCount, formatDecimal, formatRate } from '../../format/number';
import { columnTitle, formatDuration } from '../../reports/cells';
import { session } from '../../state/session.svelte';
import { view } from '../../state/view.svelte';
import type { Shown, Tone } from '../../table/cell';

export interface Change {
  state: string;
  at: string;
  value: number | null;
  reference: number | null;
}

export interface Alert {
  id: string;
  name: string;
  kind: 'threshold' | 'drop' | 'no_data' | 'anomaly';
  metric: string;
  value_of?: string | null;
  filters: unknown;
  window_seconds: number;
  for_seconds: number;
  comparison: 'gt' | 'lt';
  threshold: number | null;
  percent: number | null;
  recover: number | null;
  sensitivity: number | null;
  side: 'both' | 'up' | 'down';
  enabled: boolean;
  state: string;
  since: string;
  value: number | null;
  history?: Change[];
}

const MONEY = ['revenue', 'net_revenue', 'refunds'];
const METERS = ['sum', 'avg', 'min', 'max', 'last', 'first', 'count'].map((each) => `value_${each}`);
const COUNTS = ['clicks', 'visitors', 'conversions', 'leads', 'orders', 'events'];
const USUAL = '3.5';

const isMeter = (metric: string): boolean => metric.startsWith('value_');
const isMoney = (metric: string): boolean => MONEY.includes(metric);
const home = (): string => session.now?.workspace.currency ?? 'USD';

/** A metric's name, and of a meter what it measures. */
function titleOf(metric: string, valueOf?: string | null): string {
  if (!isMeter(metric)) return columnTitle(metric);
  const what = { avg: 'mean', min: 'least', max: 'most' }[metric.slice(6)] ?? metric.slice(6);
  return `${what.charAt(0).toUpperCase()}${what.slice(1)} of ${valueOf?.replace(/^property:/, '') ?? 'the events’ numbers'}`;
}

/** A figure of the alert's metric. */
export function figure({ metric }: Pick<Alert, 'metric'>, value: number | null): string {
  if (value === null) return '–';
  if (isMoney(metric)) return formatMoney(Math.round(value), home());
  if (metric === 'conversion_rate') return formatRate(value, 10_000);
  return isMeter(metric) ? formatDecimal(value) : formatCount(value);
}

/** The rule in a sentence. */
export function words(alert: Alert): string {
  const window = formatDuration(alert.window_seconds * 1000);
  const what = titleOf(alert.metric, alert.value_of);
  switch (alert.kind) {
    case 'threshold':
      return `${what} in ${window} ${alert.comparison === 'lt' ? 'below' : 'above'} ${figure(alert, alert.threshold)}`;
    case 'drop':
      return `${what} in ${window} ${alert.percent}% less than in the ${window} before`;
    case 'no_data':
      return `No ${what.toLowerCase()} for ${window}`;
    case 'anomaly':
      return `${what} of an hour unlike the same hour of eight weeks`;
  }
}

const states: Record<string, [Tone, string]> = {
  ok: ['good', 'fine'],
  firing: ['bad', 'firing'],
  no_data: ['warn', 'cannot be told'],
};

export function stateOf(state: string, enabled = true): Shown {
  const [badge, text] = enabled ? (states[state] ?? ['' as const, state]) : ['' as const, 'off'];
  return { badge, text };
}

const among = (pairs: Record<string, string>): Choice[] =>
  Object.entries(pairs).map(([id, title]) => ({ id, title }));
const kindIs =
  (...kinds: Alert['kind'][]) =>
  (model: Model): boolean =>
    kinds.includes(model.kind as Alert['kind']);

const fields: readonly FieldSpec[] = [
  { name: 'name', label: 'Name', required: true, placeholder: 'Hardly any clicks' },
  {
    name: 'metric',
    label: 'Watch',
    kind: 'choice',
    start: 'clicks',
    required: true,
    choices: [...COUNTS, 'conversion_rate', ...MONEY, ...METERS].map((id) => ({ id, title: titleOf(id) })),
  },
  {
    name: 'value_of',
    label: 'Which number',
    mono: true,
    placeholder: 'property:price',
    hint: 'A property of the events. Empty: their own value',
    when: (model) => isMeter(String(model.metric)),
  },
  {
    name: 'kind',
    label: 'Fire when',
    kind: 'choice',
    start: 'threshold',
    required: true,
    choices: among({
      threshold: 'it goes above or below',
      drop: 'it drops against the window before',
      no_data: 'nothing happens',
      anomaly: 'an hour is unlike its weeks',
    }),
  },
  {
    name: 'comparison',
    label: 'Side',
    kind: 'choice',
    required: true,
    start: 'lt',
    choices: among({ lt: 'below', gt: 'above' }),
    when: kindIs('threshold'),
  },
  {
    name: 'threshold',
    label: 'Threshold',
    kind: 'number',
    required: true,
    hint: 'Money in the workspace’s currency, rates in per cent',
    when: kindIs('threshold'),
  },
  {
    name: 'percent',
    label: 'By at least, %',
    kind: 'number',
    required: true,
    start: 50,
    when: kindIs('drop'),
  },
  {
    name: 'recover',
    label: 'Recovers at',
    kind: 'number',
    hint: 'Of a drop in per cent. Empty: as soon as the rule no longer holds',
    when: kindIs('threshold', 'drop'),
  },
  {
    name: 'sensitivity',
    label: 'Sensitivity',
    kind: 'choice',
    required: true,
    start: USUAL,
    choices: [
      { id: '2.5', title: 'high' },
      { id: USUAL, title: 'usual' },
      { id: '5', title: 'low' },
    ],
    when: kindIs('anomaly'),
  },
  {
    name: 'side',
    label: 'Which hours',
    kind: 'choice',
    required: true,
    start: 'both',
    choices: among({ both: 'too much or too little', up: 'too much', down: 'too little' }),
    when: kindIs('anomaly'),
  },
  {
    name: 'window_seconds',
    label: 'Over',
    kind: 'choice',
    required: true,
    start: '3600',
    choices: among({
      300: '5 minutes',
      900: '15 minutes',
      3600: 'an hour',
      21600: '6 hours',
      86400: 'a day',
    }),
    when: kindIs('threshold', 'drop', 'no_data'),
  },
  {
    name: 'for_seconds',
    label: 'For at least',
    kind: 'choice',
    required: true,
    start: '0',
    choices: among({ 0: 'a moment', 300: '5 minutes', 900: '15 minutes', 3600: 'an hour' }),
    when: kindIs('threshold', 'drop', 'no_data'),
  },
];
const NUMBERS = ['window_seconds', 'for_seconds', 'sensitivity'];
const IN_UNITS = ['threshold', 'recover'];
/** What an alert always has, asked for or not. */
const ALWAYS = ['window_seconds', 'for_seconds', 'comparison', 'side'];

/** In the unit that people write: money as a decimal, rates in per cent. `recover` of a drop is a percentage. */
function written(alert: Alert): object {
  const inUnits = (value: number | null): number | string | null => {
    if (value === null || alert.kind === 'drop') return value;
    if (isMoney(alert.metric)) return decimal(Math.round(value), home());
    return alert.metric === 'conversion_rate' ? value / 100 : value;
  };
  return { ...alert, threshold: inUnits(alert.threshold), recover: inUnits(alert.recover) };
}

/** The same back, as the API takes it; `before` has what a change does not name. */
function meant(body: Body, before?: Alert): Body {
  const metric = String(body.metric ?? before?.metric);
  const kind = String(body.kind ?? before?.kind);
  const asked: Body = { ...body };
  const read = (name: string, value: Json): Json => {
    if (NUMBERS.includes(name)) return Number(value);
    if (!IN_UNITS.includes(name) || kind === 'drop') return value;
    if (isMoney(metric)) return parseDecimal(String(value), home()) ?? value;
    return metric === 'conversion_rate' ? Number(value) * 100 : value;
  };
  for (const [name, value] of Object.entries(body)) {
    if (value !== null) asked[name] = read(name, value);
    else if (ALWAYS.includes(name)) delete asked[name];
  }
  // What the page is narrowed to becomes part of the rule; money is of one currency.
  if (!before || view.filters.length > 0 || body.metric !== undefined) {
    const currency = isMoney(metric) ? [['is', 'currency', [home()]] as never] : [];
    asked.filters = (view.where(...currency) as Json | undefined) ?? null;
  }
  return asked;
}

export const newAlert: Action = {
  label: 'New alert',
  primary: true,
  title: 'New alert',
  text: 'The filters of the page, if there are any, become part of the rule.',
  confirm: 'Create alert',
  fields,
  run: (body) => post('/v1/alerts', { ...meant(body), timezone: view.zone }),
};

/** What can be done with an alert; `gone` once it is deleted. */
export function alertActs(alert: Alert, gone: () => void = () => {}): Action[] {
  if (!session.mayEdit) return [];
  const { id, name: of, enabled } = alert;
  return [
    {
      label: 'Edit',
      of,
      title: `Edit ${of}`,
      text: view.filters.length > 0 ? 'The filters of the page become the rule’s.' : undefined,
      confirm: 'Save changes',
      fields,
      value: written(alert),
      run: (body) => patch(`/v1/alerts/${id}`, meant(body, alert)),
    },
    {
      label: enabled ? 'Disable' : 'Enable',
      of,
      run: () => patch(`/v1/alerts/${id}`, { enabled: !enabled }),
    },
    {
      label: 'Delete',
      of,
      danger: true,
      title: 'Delete this alert?',
      text: `${of} is not watched any more, and its history is gone.`,
      confirm: 'Delete the alert',
      run: () => remove(`/v1/alerts/${id}`).then(gone),
    },
  ];
}
