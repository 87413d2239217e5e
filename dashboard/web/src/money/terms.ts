// A program's terms: the form that asks for them, and the same in words.

import type { Program, ProgramVersion, Rate, Target, Tier } from '../api/money';
import { formatMoney, type Money } from '../format/money';
import { MONEY, RATE, percentOf, type FieldSpec, type Unit } from '../form/fields';
import { counted } from '../format/number';

const FROM: readonly Unit[] = [
  { id: 'orders', title: 'orders', kind: 'integer' },
  { id: 'revenue', title: 'revenue', kind: 'money' },
];

const TARGET: readonly Unit[] = [
  { id: 'orders', title: 'orders', kind: 'integer' },
  { id: 'revenue', title: 'revenue', kind: 'money' },
  { id: 'signups', title: 'signups', kind: 'integer' },
];

export const spans: Record<string, string> = { day: 'a day', month: 'a month', program: 'in all' };
const per: FieldSpec = {
  name: 'per',
  label: 'Over',
  kind: 'choice',
  required: true,
  choices: Object.entries(spans).map(([id, title]) => ({ id, title })),
  start: 'program',
};
const scope: FieldSpec = {
  name: 'scope',
  label: 'For',
  kind: 'choice',
  required: true,
  choices: [
    { id: 'partner', title: 'each partner' },
    { id: 'program', title: 'all together' },
  ],
  start: 'partner',
};

const pays: FieldSpec = { name: '', label: 'Pays', kind: 'amount', units: RATE, required: true };

export const periods: Record<string, string> = {
  all: 'all time',
  month: 'the calendar month',
  quarter: 'the calendar quarter',
  year: 'the calendar year',
};

const signUps: Record<string, string> = {
  closed: 'closed',
  review: 'by themselves, then approved',
  open: 'by themselves, at once',
};

export const programFields: readonly FieldSpec[] = [
  { name: 'name', label: 'Name', required: true, placeholder: 'Friends of the shop' },
  {
    name: 'commission.base',
    label: 'Base commission',
    kind: 'amount',
    units: RATE,
    required: true,
    hint: 'What a partner earns by an order where no tier or product says otherwise',
  },
  {
    name: 'attribution',
    label: 'Credit goes to',
    kind: 'choice',
    required: true,
    choices: [
      { id: 'last', title: 'the last click' },
      { id: 'first', title: 'the first click' },
    ],
    start: 'last',
  },
  {
    name: 'window_days',
    label: 'A click earns for, days',
    kind: 'integer',
    required: true,
    start: 30,
  },
  {
    name: 'window_minutes',
    label: 'or for, minutes',
    kind: 'integer',
    hint: 'Where days are too coarse: instead of the days',
  },
  {
    section: 'Tiers',
    name: 'commission.tiers',
    label: 'Tiers',
    kind: 'rows',
    another: 'tier',
    hint: 'A tier applies once the partner already has so much. Of several that apply the last counts.',
    of: [
      { name: 'name', label: 'Name', required: true, placeholder: 'Silver' },
      pays,
      { name: 'from', label: 'From', kind: 'amount', units: FROM, required: true },
    ],
  },
  {
    name: 'commission.period',
    label: 'Tiers count over',
    kind: 'choice',
    required: true,
    choices: Object.entries(periods).map(([id, title]) => ({ id, title })),
    start: 'all',
    hint: 'With a new calendar period the count begins anew',
  },
  {
    section: 'Products and tags',
    name: 'commission.products',
    label: 'Products and tags',
    kind: 'rows',
    another: 'product or tag',
    hint: 'Rates of their own, which go before tiers and base.',
    of: [
      { name: 'product', label: 'Product', placeholder: 'ebook' },
      { name: 'tag', label: 'Or a tag', placeholder: 'course' },
      pays,
    ],
  },
  {
    section: 'Caps',
    name: 'commission.caps',
    label: 'Caps',
    kind: 'rows',
    another: 'cap',
    hint: 'The most that is given in commissions, in one currency, by the calendar in UTC. Beyond it nothing is earned.',
    of: [{ name: 'amount', label: 'At most', kind: 'amount', required: true }, per, scope],
  },
  {
    section: 'Milestones',
    name: 'milestones',
    label: 'Milestones',
    kind: 'rows',
    another: 'milestone',
    hint: 'Told once when it is reached, and with a bonus where each partner is counted.',
    of: [
      { name: 'name', label: 'Name', required: true, placeholder: 'First ten' },
      { name: 'target', label: 'Reached with', kind: 'amount', units: TARGET, required: true },
      per,
      scope,
      {
        name: 'bonus',
        label: 'Bonus',
        kind: 'amount',
        when: ({ scope }) => scope === 'partner',
      },
    ],
  },
  {
    section: 'When it is earned and paid',
    name: 'commission.recurring_months',
    label: 'Renewals earn for, months',
    kind: 'integer',
    hint: 'Empty: as long as there are any. 0: only the first order earns',
  },
  {
    name: 'hold_days',
    label: 'Hold, days',
    kind: 'integer',
    start: 30,
    hint: 'How long a commission stays pending after its sale',
  },
  {
    name: 'min_payout',
    label: 'Minimum payout',
    kind: 'amount',
    units: MONEY,
    hint: 'Less is carried on to the next payout',
  },
  {
    name: 'platform_fee_bp',
    label: 'Platform fee',
    kind: 'percent',
    hint: 'Of every commission',
  },
  {
    name: 'sign_up',
    label: 'Sign-up of partners',
    kind: 'choice',
    required: true,
    start: 'closed',
    choices: Object.entries(signUps).map(([id, title]) => ({ id, title })),
  },
  {
    section: 'Customers',
    name: 'cashback_bp',
    label: 'Cashback',
    kind: 'percent',
    hint: "Of a purchase, to the customer's wallet",
  },
  {
    name: 'referral.referrer',
    label: 'Bonus to the partner',
    kind: 'amount',
    units: RATE,
    hint: 'For a new customer, once, on top of the commission',
  },
  {
    name: 'referral.referee',
    label: 'Bonus to the customer',
    kind: 'amount',
    units: RATE,
    hint: 'To the wallet of a new customer, once',
  },
];

export function rateWords(rate: Rate | null | undefined, each = ''): string {
  if (rate?.bp !== undefined) return `${percentOf(rate.bp)}%`;
  return rate?.fixed ? `${formatMoney(rate.fixed.amount, rate.fixed.currency)}${each}` : '–';
}

export const fromWords = ({ from }: Tier): string =>
  from.revenue
    ? `from ${formatMoney(from.revenue.amount, from.revenue.currency)} of revenue`
    : `from ${counted(from.orders ?? 0, 'order')}`;

const text = (money: Money) => formatMoney(money.amount, money.currency);
const forWhom = (scope: string) => (scope === 'program' ? ' for all together' : ' for each partner');

export const targetWords = ({ orders, revenue, signups }: Target): string =>
  revenue
    ? `${text(revenue)} of revenue`
    : orders !== undefined
      ? counted(orders, 'order')
      : counted(signups ?? 0, 'signup');

const days = (count: number) => counted(count, 'day');

/** For how long a click earns. */
export function windowOf({ window_days, window_minutes }: Program | ProgramVersion): string {
  if (!window_minutes) return days(window_days);
  return counted(window_minutes, 'minute');
}

/** Its terms, each with its name. Two versions are compared by this. */
export function termsOf(program: Program | ProgramVersion): [string, string][] {
  const { commission, referral } = program;
  const months = commission.recurring_months;
  return [
    ['Name', program.name],
    ['Base commission', rateWords(commission.base, ' an order')],
    [
      'Tiers',
      (commission.tiers ?? []).map((tier) => `${tier.name} ${rateWords(tier)} ${fromWords(tier)}`).join('; '),
    ],
    ['Tiers count over', commission.tiers?.length ? (periods[commission.period] ?? commission.period) : ''],
    [
      'Products and tags',
      (commission.products ?? [])
        .map((each) => `${each.product ?? `tag ${each.tag}`} ${rateWords(each)}`)
        .join('; '),
    ],
    [
      'Caps',
      (commission.caps ?? [])
        .map(({ amount, per, scope }) => `${text(amount)} ${spans[per]}${forWhom(scope)}`)
        .join('; '),
    ],
    [
      'Milestones',
      (program.milestones ?? [])
        .map(
          (each) =>
            `${each.name}: ${targetWords(each.target)} ${spans[each.per]}${forWhom(each.scope)}` +
            (each.bonus ? `, bonus ${text(each.bonus)}` : ''),
        )
        .join('; '),
    ],
    ['Sign-up of partners', signUps[program.sign_up ?? 'closed'] ?? ''],
    ['Renewals earn', months === null ? 'always' : months === 0 ? 'never' : `for ${months} months`],
    ['Credit goes to', `the ${program.attribution} click within ${windowOf(program)}`],
    ['Hold', days(program.hold_days)],
    [
      'Minimum payout',
      program.min_payout ? formatMoney(program.min_payout.amount, program.min_payout.currency) : '',
    ],
    ['Platform fee', program.platform_fee_bp ? `${percentOf(program.platform_fee_bp)}%` : ''],
    ['Cashback', program.cashback_bp ? `${percentOf(program.cashback_bp)}%` : ''],
    ['Bonus to the partner', referral?.referrer ? rateWords(referral.referrer) : ''],
    ['Bonus to the customer', referral?.referee ? rateWords(referral.referee) : ''],
  ];
}

/** What a version changed of the one before, in words. */
export function changesOf(version: ProgramVersion, before: ProgramVersion | undefined): string {
  if (!before) return 'The first terms';
  const old = new Map(termsOf(before));
  const changed = termsOf(version).filter(([name, value]) => old.get(name) !== value);
  return changed
    .map(([name, value]) => `${name}: ${old.get(name) || 'none'} → ${value || 'none'}`)
    .join(' · ');
}

/** Which tier someone with so much is in, and the next one. */
export function standing(
  program: Program,
  orders: number,
  revenue: { amount: number; currency: string },
): { tier: Tier | null; next: Tier | null; part: number } {
  const tiers = program.commission.tiers ?? [];
  const parts = tiers.map(({ from }) =>
    from.orders !== undefined
      ? orders / Math.max(1, from.orders)
      : from.revenue?.currency === revenue.currency
        ? revenue.amount / Math.max(1, from.revenue.amount)
        : 0,
  );
  const at = parts.findLastIndex((part) => part >= 1);
  return { tier: tiers[at] ?? null, next: tiers[at + 1] ?? null, part: Math.min(1, parts[at + 1] ?? 1) };
}
