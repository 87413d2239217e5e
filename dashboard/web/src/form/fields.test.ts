import { describe, expect, it } from 'vitest';
import { programFields } from '../money/terms';
import {
  changes,
  close,
  isAsked,
  open,
  percentOf,
  places,
  type Body,
  type FieldSpec,
  type Model,
} from './fields';

const context = { zone: 'Europe/Berlin', currency: 'USD' };
const program: Body = {
  name: 'Friends',
  attribution: 'first',
  window_days: 7,
  commission: {
    base: { bp: 1250 },
    tiers: [
      { name: 'Silver', bp: 1500, from: { orders: 10 } },
      {
        name: 'Gold',
        fixed: { amount: 700, currency: 'EUR' },
        from: { revenue: { amount: 500_000, currency: 'JPY' } },
      },
    ],
    period: 'month',
    products: [{ tag: 'course', bp: 5 }],
    recurring_months: 0,
  },
  sign_up: 'review',
  milestones: [
    {
      name: 'Ten',
      target: { signups: 10 },
      per: 'month',
      scope: 'partner',
      bonus: { amount: 900, currency: 'USD' },
    },
  ],
  hold_days: 14,
  min_payout: { amount: 5000, currency: 'USD' },
  platform_fee_bp: 2000,
  cashback_bp: 0,
  referral: { referrer: { fixed: { amount: 500, currency: 'USD' } } },
};

describe('a form of fields', () => {
  it('gives back what it was opened with, to the basis point and the minor unit', () => {
    const model = open(programFields, program, context);
    const { body, faults } = close(programFields, model, context, program);
    expect(faults).toEqual([]);
    expect(body).toEqual(program);
    expect(changes(program, body)).toEqual({});
  });

  it('sends of a change the fields that are new, and null for what was emptied', () => {
    const model = open(programFields, program, context);
    model.hold_days = '30';
    model.min_payout = { unit: '', text: '', currency: 'USD' };
    const { body } = close(programFields, model, context, program);
    expect(changes(program, body)).toEqual({ hold_days: 30, min_payout: null });
  });

  it('sees no change where lists are empty, null or not there, whatever the order of names', () => {
    const told: Body = {
      ...program,
      commission: { period: 'month', caps: [], ...(program.commission as Body) },
      milestones: [],
      sign_up: 'closed',
      referral: null,
    };
    const { body } = close(programFields, open(programFields, told, context), context, told);
    expect(changes(told, body)).toEqual({});
    expect(changes({ coupons: ['A'] }, { coupons: [] })).toEqual({ coupons: [] });
  });

  it('puts the other unit away when an amount becomes something else', () => {
    const model = open(programFields, program, context);
    model['commission.base'] = { unit: 'fixed', text: '3', currency: 'kwd' };
    const { body } = close(programFields, model, context, program);
    expect((body.commission as never)['base']).toEqual({ fixed: { amount: 3000, currency: 'KWD' } });
  });

  it('names the place of what it cannot read', () => {
    const model = open(programFields, program, context);
    model.name = ' ';
    model.window_days = '7.5';
    (model['commission.tiers'] as Model[])[1]!.from = { unit: 'orders', text: 'ten', currency: 'USD' };
    (model['commission.tiers'] as Model[])[0]![''] = { unit: 'bp', text: '1.999', currency: 'USD' };
    const { faults } = close(programFields, model, context, program);
    expect(faults.map(({ field }) => field)).toEqual([
      'name',
      'window_days',
      'commission.tiers[0]',
      'commission.tiers[1].from',
    ]);
    for (const { field } of faults) expect(places(programFields, model)).toContain(field);
  });

  it('asks for what depends on an answer only then', () => {
    const specs: FieldSpec[] = [
      { name: 'to', label: 'To', kind: 'choice', start: 'bank' },
      { name: 'bic', label: 'BIC', required: true, when: (model) => model.to === 'bank' },
    ];
    const model = open(specs, undefined, context);
    expect(close(specs, model, context).faults).toEqual([{ field: 'bic', detail: 'is required' }]);
    model.to = 'paypal';
    model.bic = 'left over';
    expect(isAsked(specs[1]!, model)).toBe(false);
    expect(close(specs, model, context).body).toEqual({ to: 'paypal' });
  });

  it('reads lists, pairs and wall clocks', () => {
    const specs: FieldSpec[] = [
      { name: 'tags', label: 'Tags', kind: 'list' },
      { name: 'names', label: 'Names', kind: 'pairs' },
      { name: 'at', label: 'At', kind: 'time' },
    ];
    const model = { tags: 'a, b ,,c', names: 'aff_sub = click_id\n\nx=y=z', at: '2026-07-01T12:00' };
    expect(close(specs, model, context).body).toEqual({
      tags: ['a', 'b', 'c'],
      names: { aff_sub: 'click_id', x: 'y=z' },
      at: '2026-07-01T10:00:00Z',
    });
    expect(close(specs, { ...model, names: 'nonsense' }, context).faults[0]?.field).toBe('names');
  });

  it('writes basis points as people write percentages', () => {
    expect([0, 5, 10, 1000, 1250, 10_000].map(percentOf)).toEqual(['0', '0.05', '0.1', '10', '12.5', '100']);
  });
});
