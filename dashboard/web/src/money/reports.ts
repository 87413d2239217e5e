// What people report by hand: conversions and refunds.

import { post } from '../api/client';
import type { Conversion } from '../api/types';
import type { Action } from '../form/act';
import type { FieldSpec } from '../form/fields';
import { formatMoney } from '../format/money';
import { session } from '../state/session.svelte';

const occurred: FieldSpec = { name: 'occurred_at', label: 'When', kind: 'time', hint: 'Now where empty' };

const conversionFields: readonly FieldSpec[] = [
  {
    name: 'event',
    label: 'Event',
    required: true,
    start: 'sale',
    hint: 'sale, renewal, lead, or a name of your own',
  },
  { name: 'order_id', label: 'Order', mono: true, hint: 'With the event it is counted once' },
  { name: 'amount', label: 'Amount', kind: 'amount' },
  occurred,
  {
    section: 'Where it came from',
    name: 'wclid',
    label: 'Click token',
    mono: true,
    hint: 'wclid, as the visitor brought it to the shop',
  },
  { name: 'click_id', label: 'Or click id', mono: true, placeholder: 'clk_…' },
  { name: 'coupon', label: 'Coupon', mono: true },
  { name: 'partner_code', label: "Partner's code", mono: true },
  { section: 'The customer', name: 'customer_id', label: 'Customer id', mono: true },
  { name: 'customer.email', label: 'Mail address', hint: 'Kept sealed under their own key' },
  { name: 'customer.name', label: 'Name' },
  { name: 'subscription_id', label: 'Subscription', mono: true },
  {
    name: 'properties',
    label: 'Properties',
    kind: 'pairs',
    mono: true,
    placeholder: 'product = ebook',
    hint: 'One a line: name = value',
  },
];

const refundFields: readonly FieldSpec[] = [
  { name: 'amount', label: 'Amount', kind: 'amount', hint: 'All that is left of it where empty' },
  {
    name: 'reason',
    label: 'Why',
    kind: 'choice',
    required: true,
    choices: [
      { id: 'refund', title: 'given back by the shop' },
      { id: 'chargeback', title: 'taken back by the bank' },
    ],
    start: 'refund',
  },
  { name: 'refund_id', label: 'Refund id', mono: true, hint: 'With it the refund is counted once' },
  occurred,
];

export const recordConversion = (): Action => ({
  label: 'Record a conversion',
  title: 'Record a conversion',
  confirm: 'Record',
  primary: true,
  fields: conversionFields,
  run: (body) => post('/v1/conversions', body),
});

export const recordRefund = (): Action => ({
  label: 'Record a refund',
  title: 'Record a refund',
  confirm: 'Record',
  fields: [{ name: 'order_id', label: 'Order', required: true, mono: true }, ...refundFields],
  run: (body) => post('/v1/refunds', body),
});

export function refundActs({ order_id: order, amount, refunded }: Conversion): Action[] {
  const left = (amount?.amount ?? 0) - (refunded?.amount ?? 0);
  if (!session.mayEdit || !amount || order === null || left <= 0) return [];
  return [
    {
      label: 'Refund',
      of: order,
      title: `Refund ${order}`,
      text: `${formatMoney(left, amount.currency)} of it are left. Partners' commissions follow what remains.`,
      confirm: 'Record the refund',
      fields: refundFields.map((field) =>
        field.name === 'amount' ? { ...field, start: { amount: left, currency: amount.currency } } : field,
      ),
      run: (body) => post('/v1/refunds', { order_id: order, ...body }),
    },
  ];
}
