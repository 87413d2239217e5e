// What can be done with programs' people and money, each with what it asks before.

import { patch, post } from '../api/client';
import type { Commission, Partner, Payout } from '../api/money';
import type { ApiKey } from '../api/types';
import type { Action } from '../form/act';
import { choices, type FieldSpec } from '../form/fields';
import { formatMoney, type Money } from '../format/money';
import { session } from '../state/session.svelte';

const text = (money: Money) => formatMoney(money.amount, money.currency);

const reason: FieldSpec = { name: 'reason', label: 'Reason', kind: 'area', required: true };

export function commissionActs(commission: Commission): Action[] {
  if (!session.mayAdminister) return [];
  const { id, status } = commission;
  const of = `${text(commission.amount)} of ${commission.order_id ?? commission.conversion_id}`;
  const to = (verdict: string) => (body: object) => post(`/v1/commissions/${id}/${verdict}`, body);
  const approve: Action = { label: 'Approve', of, run: to('approve') };
  const release: Action = { label: 'Release', of, run: to('release') };
  const hold: Action = {
    label: 'Hold',
    of,
    title: `Hold ${of}?`,
    text: 'It is kept from being paid until somebody releases it. The partner sees the reason.',
    fields: [reason],
    run: to('hold'),
  };
  const reject: Action = {
    label: 'Reject',
    of,
    danger: true,
    title: `Reject ${of}?`,
    text: 'It is taken back for good. The partner sees the reason.',
    fields: [reason],
    run: to('reject'),
  };
  if (status === 'pending') return [approve, hold, reject];
  if (status === 'approved') return [hold, reject];
  return status === 'held' ? [release, reject] : [];
}

/** For a payout or, by its id, a whole batch. */
export function payoutActs(id: string | null, status: string, of: string): Action[] {
  if (!session.mayAdminister || id === null) return [];
  const to = (next: string) => (body: object) => post(`/v1/payouts/${id}/${next}`, body);
  const processing: Action = { label: 'Mark as sent', of, run: to('processing') };
  const paid: Action = {
    label: 'Mark as paid',
    of,
    title: `Mark ${of} as paid?`,
    text: 'Do this once the money has arrived. It cannot be undone.',
    fields: [{ name: 'reference', label: 'Reference', hint: 'The number that the bank or provider gave it' }],
    run: to('paid'),
  };
  const failed: Action = {
    label: 'Mark as failed',
    of,
    danger: true,
    title: `Mark ${of} as failed?`,
    text: 'What it held is due again and comes with the next payout.',
    fields: [{ ...reason, required: false }],
    run: to('failed'),
  };
  const cancel: Action = {
    label: 'Cancel',
    of,
    danger: true,
    title: `Cancel ${of}?`,
    text: 'What it held is due again and comes with the next payout.',
    confirm: 'Cancel the payout',
    fields: [{ ...reason, required: false }],
    run: to('cancel'),
  };
  if (status === 'pending') return [processing, paid, failed, cancel];
  return status === 'processing' ? [paid, failed] : [];
}

export const payoutWords = (payout: Payout, name: string) => `${text(payout.amount)} to ${name}`;

export const partnerFields = (programs: readonly { id: string; name: string }[]): FieldSpec[] => [
  { name: 'name', label: 'Name', required: true, placeholder: 'Anna Example' },
  { name: 'email', label: 'Mail address', hint: 'Kept sealed' },
  { name: 'code', label: 'Code', mono: true, hint: 'Drawn where empty. Unique, whatever its case' },
  { name: 'coupons', label: 'Coupons', kind: 'list', placeholder: 'ANNA10, ANNA20' },
  {
    name: 'program_id',
    label: 'Program',
    kind: 'choice',
    choices: [{ id: '', title: 'None of its own' }, ...programs.map(({ id, name }) => ({ id, title: name }))],
  },
  {
    name: 'status',
    label: 'State',
    kind: 'choice',
    required: true,
    choices: choices('approved', 'pending', 'suspended', 'rejected'),
    start: 'approved',
    hint: 'What a pending partner earns is held until they are approved',
  },
  {
    name: 'customer_id',
    label: 'Their customer id',
    mono: true,
    hint: 'Nobody earns by buying from themselves',
  },
];

/** Where the money goes: whole, as the account is only ever shown masked. */
const methodFields: FieldSpec[] = [
  {
    name: 'payout_method.type',
    label: 'Paid by',
    kind: 'choice',
    required: true,
    choices: [
      { id: 'bank', title: 'Bank transfer' },
      { id: 'paypal', title: 'PayPal' },
      { id: 'wise', title: 'Wise' },
    ],
    start: 'bank',
  },
  {
    name: 'payout_method.account',
    label: 'Account',
    required: true,
    mono: true,
    hint: 'IBAN or account number; of PayPal and Wise the mail address. It is kept sealed',
  },
  { name: 'payout_method.holder', label: 'Holder', hint: "The partner's name where empty" },
  {
    name: 'payout_method.bic',
    label: 'BIC',
    mono: true,
    when: (model) => model['payout_method.type'] === 'bank',
  },
];

const become = (partner: Partner, status: string, more: Partial<Action> & { label: string }): Action => ({
  of: partner.name,
  run: () => patch(`/v1/partners/${partner.id}`, { status }),
  ...more,
});

export function partnerStateActs(partner: Partner): Action[] {
  if (!session.mayEdit) return [];
  const approve = become(partner, 'approved', { label: 'Approve' });
  switch (partner.status) {
    case 'pending':
      return [
        approve,
        become(partner, 'rejected', {
          label: 'Reject',
          danger: true,
          title: `Reject ${partner.name}?`,
          text: 'They earn nothing. They can be approved later.',
        }),
      ];
    case 'approved':
      return [
        become(partner, 'suspended', {
          label: 'Suspend',
          danger: true,
          title: `Suspend ${partner.name}?`,
          text: 'They earn nothing from now on. What they have earned stays theirs.',
        }),
      ];
    default:
      return [approve];
  }
}

export function partnerActs(partner: Partner, programs: readonly { id: string; name: string }[]): Action[] {
  if (!session.mayEdit) return [];
  const path = `/v1/partners/${partner.id}`;
  const edit: Action = {
    label: 'Edit',
    title: `Edit ${partner.name}`,
    confirm: 'Save changes',
    fields: partnerFields(programs),
    value: partner,
    run: (body) => (Object.keys(body).length > 0 ? patch(path, body) : Promise.resolve()),
  };
  const method: Action = {
    label: 'Payout method',
    title: `How ${partner.name} is paid`,
    confirm: 'Save',
    fields: methodFields,
    run: (body) => patch(path, body),
  };
  const key: Action = {
    label: 'Make a portal key',
    title: `A portal key for ${partner.name}`,
    text: 'With it they sign in to this dashboard and see their own numbers, links, commissions and payouts, and nothing else.',
    fields: [{ name: 'name', label: 'Name of the key', required: true, start: `Portal of ${partner.name}` }],
    run: async ({ name }) => {
      const body = { name, role: 'partner', partner_id: partner.id };
      const made = await post<ApiKey & { key: string }>('/v1/keys', body);
      return { title: 'The portal key', text: made.key };
    },
  };
  return [edit, method, ...(session.mayAdminister ? [key] : []), ...partnerStateActs(partner)];
}
