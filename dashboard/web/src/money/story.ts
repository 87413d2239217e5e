// Why a conversion was credited as it was, told in sentences.

import type { Candidate, Trace } from '../api/money';
import type { Conversion } from '../api/types';
import { counted } from '../format/number';

export interface Step {
  rule: string;
  /** "2 days before the sale" */
  when: string;
  credited: boolean;
  reason: string;
  link: string | null;
  partner: string | null;
  click: string | null;
  at: string | null;
}

/** By what a conversion was credited, in words. */
export const ruleNames: Record<string, string> = {
  wclid: 'the click token that came back with the order',
  click_id: 'the click id that came with the order',
  coupon: 'the coupon that was used',
  partner_code: "the partner's code that was given",
  customer: "the customer's earlier click",
  subscription: "the subscription's first conversion",
};

const UNITS: [milliseconds: number, one: string][] = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
  [1_000, 'second'],
];

/** How long before or after, in the largest unit that is full. */
export function apart(clicked: string, occurred: string, event: string): string {
  const gap = Date.parse(occurred) - Date.parse(clicked);
  const [milliseconds, unit] = UNITS.find(([each]) => Math.abs(gap) >= each) ?? [1, ''];
  if (unit === '') return `right before the ${event}`;
  const count = Math.floor(Math.abs(gap) / milliseconds);
  return `${counted(count, unit)} ${gap < 0 ? 'after' : 'before'} the ${event}`;
}

export function stepsOf(trace: Trace, conversion: Conversion): Step[] {
  return trace.candidates.map((each: Candidate) => ({
    rule: ruleNames[each.rule] ?? each.rule,
    when: each.clicked_at ? apart(each.clicked_at, conversion.occurred_at, conversion.event) : '',
    credited: each.credited,
    reason: each.reason,
    link: each.link_id,
    partner: each.partner_id,
    click: each.click_id,
    at: each.clicked_at,
  }));
}
