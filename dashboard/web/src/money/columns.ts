// The columns of the lists about money, shared by the pages that show them.

import type { Commission, Entry, Partner, Payout } from '../api/money';
import type { Conversion, Link } from '../api/types';
import { code, money, named, status, when, type Column, type Shown } from '../table/cell';
import { view } from '../state/view.svelte';
import { rateWords } from './terms';

/** By whom it was earned; their own list does not say. */
const whose: Column<Commission> = {
  title: 'Partner',
  cell: (row) => named(row.partner_id ?? row.customer),
};

export const commissionColumns = (own: boolean): Column<Commission>[] => [
  { title: 'When', cell: (row) => when(row.occurred_at), spare: 1 },
  ...(own ? [] : [whose]),
  {
    title: 'For',
    cell: (row): Shown => ({
      text: row.order_id ?? row.kind,
      mono: row.order_id !== null,
      whole: row.order_id !== null && row.order_id.length < 24,
      href: own ? undefined : view.href(`/conversions/${row.conversion_id}`),
      sub: row.kind === 'commission' || row.order_id === null ? undefined : row.kind,
    }),
  },
  { title: 'Sale', cell: (row) => money(row.sale), number: true, spare: 2 },
  {
    title: 'Rate',
    cell: (row) => ({ text: rateWords(row.rate, ' an order'), sub: row.tier ?? undefined }),
    spare: 2,
  },
  {
    title: 'Earned',
    cell: (row): Shown => ({
      text: money(row.amount) ?? '',
      title: row.platform_fee?.amount ? `after ${money(row.platform_fee)} to the platform` : undefined,
      sub: row.amount.amount === row.original.amount ? undefined : `was ${money(row.original)}`,
    }),
    number: true,
  },
  {
    title: 'State',
    cell: (row) =>
      status(
        row.status,
        row.reason ?? (row.status === 'pending' ? `until ${when(row.due_at, false)?.text}` : null),
      ),
  },
];

export const payoutColumns = (own: boolean): Column<Payout>[] => [
  {
    title: 'When',
    cell: (row) => ({
      ...(when(row.created_at) ?? { text: '' }),
      href: own || row.id === null ? undefined : view.href(`/payouts/${row.id}`),
    }),
  },
  ...(own ? [] : [{ title: 'To', cell: (row: Payout) => named(row.partner_id) }]),
  { title: 'Amount', cell: (row) => money(row.amount), number: true },
  { title: 'Commissions', cell: (row) => row.commissions, number: true, spare: 1 },
  { title: 'State', cell: (row) => status(row.status, row.reason ?? row.reference) },
];

export const entryColumns = (own: boolean): Column<Entry>[] => [
  { title: 'When', cell: (row) => when(row.created_at) },
  { title: 'What', cell: (row) => row.type.replaceAll('_', ' ') },
  {
    title: 'Concerns',
    // A partner knows an order by what they earned for it, and sees no conversion.
    cell: (row) => named(row.payout_id ?? (own ? null : row.conversion_id) ?? row.commission_id),
    spare: 2,
  },
  { title: 'Amount', cell: (row) => money(row.amount), number: true },
  { title: 'Balance', cell: (row) => money(row.balance), number: true },
];

export const linkColumns = (): Column<Link>[] => [
  {
    title: 'Link',
    cell: (row): Shown => ({
      text: `/${row.slug}`,
      href: view.href(`/links/${row.id}`),
      sub: row.title ?? row.destination,
    }),
  },
  {
    title: 'Short link',
    cell: (row) => ({ text: row.short_url, mono: true, copy: row.short_url }),
    spare: 1,
  },
  { title: 'Clicks', cell: (row) => row.clicks, number: true },
  { title: 'Made', cell: (row) => when(row.created_at), spare: 2 },
];

export const partnerColumns = (): Column<Partner>[] => [
  {
    title: 'Partner',
    cell: (row) => ({ text: row.name, href: view.href(`/partners/${row.id}`), sub: row.email ?? undefined }),
  },
  { title: 'Code', cell: (row) => code(row.code) },
  { title: 'Coupons', cell: (row) => row.coupons.map((text) => ({ text, badge: '' as const })), spare: 2 },
  { title: 'Program', cell: (row) => named(row.program_id), spare: 1 },
  { title: 'Since', cell: (row) => when(row.created_at), spare: 2 },
  { title: 'State', cell: (row) => status(row.status) },
];

/** The verb of an event: what it is, in the tone of what it brings. */
export const conversionColumns = (): Column<Conversion>[] => [
  {
    title: 'When',
    cell: (row) => ({
      ...(when(row.occurred_at) ?? { text: '' }),
      href: view.href(`/conversions/${row.id}`),
    }),
  },
  {
    title: 'Event',
    cell: (row) => ({ text: row.event, badge: row.amount ? 'good' : 'accent' }),
  },
  { title: 'Order', cell: (row) => code(row.order_id), spare: 1 },
  {
    title: 'Credited to',
    cell: (row) =>
      [named(row.attribution?.link_id), named(row.attribution?.partner_id)].flatMap((each) => each ?? []),
    spare: 1,
  },
  { title: 'Amount', cell: (row) => money(row.amount), number: true },
  {
    title: 'Refunded',
    cell: (row) => (row.refunded?.amount ? money(row.refunded) : null),
    number: true,
    spare: 1,
  },
];
