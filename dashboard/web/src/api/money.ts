// The shapes of api.md about money and who it goes to, as far as the pages read them.

import type { Money } from '../format/money';
import type { Conversion } from './types';

export interface Rate {
  bp?: number;
  fixed?: Money;
}

export interface Tier extends Rate {
  name: string;
  from: { orders?: number; revenue?: Money };
}

export interface ProductRate extends Rate {
  product?: string;
  tag?: string;
}

/** Exactly one of them. */
export interface Target {
  orders?: number;
  revenue?: Money;
  signups?: number;
}

export interface Program {
  id: string;
  version: number;
  name: string;
  attribution: 'last' | 'first';
  window_days: number;
  /** Instead of the days, where they are too coarse. */
  window_minutes: number | null;
  commission: {
    base: Rate;
    tiers?: Tier[];
    period: 'all' | 'month' | 'quarter' | 'year';
    products?: ProductRate[];
    recurring_months: number | null;
    caps?: { per: string; scope: string; amount: Money }[];
  };
  milestones?: { name: string; target: Target; per: string; scope: string; bonus: Money | null }[];
  sign_up?: string;
  platform_fee_bp: number;
  hold_days: number;
  min_payout: Money | null;
  cashback_bp: number;
  referral: { referrer?: Rate; referee?: Rate } | null;
  created_at: string;
  updated_at: string;
}

export type ProgramVersion = Omit<Program, 'id' | 'created_at' | 'updated_at'> & { since: string };

export interface Partner {
  id: string;
  name: string;
  code: string;
  coupons: string[];
  status: 'pending' | 'approved' | 'suspended' | 'rejected';
  program_id: string | null;
  customer_id: string | null;
  payout_method: { type: string; account: string; holder?: string; bic?: string } | null;
  email: string | null;
  created_at: string;
  updated_at: string;
}

export interface Standing {
  program_id: string;
  orders: number;
  revenue: Money;
}

export interface PartnerStats {
  partner_id: string;
  orders: number;
  revenue: Money[];
  commission: Money[];
  balances: { kind: string; balance: Money }[];
  programs: Standing[];
  /** null where the warehouse is away */
  clicks: number | null;
  links: number;
}

export interface Place {
  rank: number;
  partner_id: string;
  name: string;
  orders: number;
  revenue: Money;
}

export interface Commission {
  id: string;
  kind: string;
  partner_id: string | null;
  customer: string | null;
  program_id: string;
  program_version: number;
  conversion_id: string;
  order_id: string | null;
  status: string;
  amount: Money;
  original: Money;
  platform_fee: Money;
  paid: Money;
  sale: Money;
  rate: Rate;
  tier: string | null;
  reason: string | null;
  payout_id: string | null;
  occurred_at: string;
  due_at: string;
  updated_at: string;
}

export interface Payout {
  /** null in a preview */
  id: string | null;
  batch_id: string | null;
  partner_id: string;
  status: string;
  amount: Money;
  commissions: number;
  reference: string | null;
  reason: string | null;
  created_at: string | null;
  updated_at: string | null;
}

export interface PayoutBatch {
  id: string | null;
  data: Payout[];
  totals: Money[];
  carried: { partner_id: string; amount: Money; reason: string }[];
}

export interface Account {
  id: string;
  owner: string;
  owner_id: string | null;
  kind: string;
  balance: Money;
  entries: number;
}

export interface Entry {
  id: number;
  sequence: number;
  type: string;
  amount: Money;
  balance: Money;
  conversion_id: string | null;
  commission_id: string | null;
  payout_id: string | null;
  created_at: string;
}

export interface CustomerLine {
  id: string;
  customer_id: string;
  created_at: string;
  erased_at: string | null;
  orders: number;
}

export interface Customer extends Omit<CustomerLine, 'orders'> {
  email: string | null;
  name: string | null;
  merged_ids: string[];
  subscriptions: {
    /** null: renewals that name none */
    subscription_id: string | null;
    status: string | null;
    price: Money | null;
    created_at: string;
  }[];
  touches: { click_id: string; clicked_at: string; link_id: string | null }[];
  orders: Conversion[];
  lifetime_value: Money[];
}

export interface Candidate {
  rule: string;
  click_id: string | null;
  clicked_at: string | null;
  link_id: string | null;
  partner_id: string | null;
  credited: boolean;
  reason: string;
}

export interface Trace {
  conversion_id: string;
  candidates: Candidate[];
}

export interface OutboundEndpoint {
  id: string;
  url: string;
  events: string[];
  description: string | null;
  enabled: boolean;
  disabled_reason: string | null;
  created_at: string;
}

export interface OutboundMessage {
  id: string;
  event: string;
  state: 'waiting' | 'delivered';
  attempts: number;
  next_attempt_at: string | null;
  payload: unknown;
  created_at: string;
  delivered_at: string | null;
  log: { at: string; status: number | null; error: string | null; excerpt: string }[];
}

export interface PostbackToken {
  id: string;
  name: string;
  network: string | null;
  parameters: Record<string, string>;
  statuses: Record<string, string>;
  allow: string[];
  currency: string | null;
  hint: string;
  previous_until: string | null;
  created_at: string;
}

interface OfMilestone {
  program_id: string;
  name: string;
  scope: string;
  partner_id: string | null;
  per: string;
  /** the day or month that is counted */
  span: string | null;
  target: Target;
  /** what there is of it, in the target's unit */
  value: number;
  bonus: Money | null;
}

export interface MilestoneProgress extends OfMilestone {
  progress_bp: number;
  reached: boolean;
  reached_at: string | null;
}

export interface MilestoneReached extends OfMilestone {
  conversion_id: string;
  reached_at: string;
}

/** A month's sums in one currency: opening + earned + reversed - paid = closing. */
export interface StatementSums {
  currency: string;
  opening: Money;
  earned: Money;
  reversed: Money;
  paid: Money;
  closing: Money;
}

export interface StatementOf {
  month: string;
  currencies: StatementSums[];
}

export interface Statement extends StatementSums {
  lines: {
    at: string;
    type: string;
    amount: Money;
    balance: Money;
    order_id: string | null;
    payout_id: string | null;
  }[];
}

/** What a sale mints: a link that ends. */
export interface Fulfilment {
  id: string;
  name: string;
  event: string;
  product: string | null;
  destination: string;
  expires_days: number;
  max_uses: number;
  created_at: string;
}
