// The shapes of api.md that the pages read. Fields that an older engine may leave out are optional.

import type { Cell, Column } from '../live/protocol';
import type { Money } from '../format/money';
import type { Condition } from '../links/condition';

export interface Session {
  workspace: { id: number | string; name: string; currency: string; timezone: string };
  role: string;
  /** of a key of role partner */
  partner_id?: string | null;
  /** null: the engine's own key */
  key_name: string | null;
}

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

export interface Link {
  id: string;
  slug: string;
  domain: string | null;
  destination: string;
  short_url: string;
  status_code: number;
  title: string | null;
  tags: string[];
  notes?: string | null;
  archived?: boolean;
  track_conversions: boolean;
  utm?: Record<string, string> | null;
  forward_query?: boolean;
  starts_at?: string | null;
  expires_at?: string | null;
  max_clicks?: number | null;
  daily_click_cap?: number | null;
  cap_timezone?: string;
  dedupe_window_seconds?: number | null;
  fallback?: string | null;
  /** whether there is one: what it is stays with the engine */
  password?: boolean | string | null;
  program_id?: string | null;
  partner_id?: string | null;
  rules?: Rule[];
  variants?: Variant[];
  sticky_days?: number;
  allocation?: 'fixed' | 'bandit';
  enabled: boolean;
  created_at: string;
  /** null where the warehouse is away */
  clicks: number | null;
  /** what is allowed and worth a second look */
  warnings?: { field: string; detail: string }[];
}

export interface Rule {
  if: Condition;
  destination: string;
}

export interface Variant {
  name: string;
  destination: string;
  weight: number;
}

/** A variant's part of the visits, in basis points, with what it was decided from. */
export interface Share {
  name: string;
  share: number;
  clicks?: number;
  conversions?: number;
}

export interface Decision {
  at: string;
  variants: Share[];
}

export interface Allocated {
  allocation: 'fixed' | 'bandit';
  variants: Share[];
  decided_at: string | null;
  rules: { floor: number; margin: number; window_days: number } | null;
  decisions: Decision[];
}

/** What became of one item of a bulk call; `line` is its row's in a table. */
export interface BulkResult {
  status: number;
  id?: string;
  line?: number;
  link?: Link;
  error?: { title?: string; detail?: string; errors?: { field: string; detail: string }[] };
}

export interface Signals {
  since: string;
  data: {
    signal: string;
    clicks: number;
    recent: { click_id: string; at: string; evidence: string }[];
  }[];
}

export interface Preview {
  verdict: string;
  destination: string | null;
  rule: number | null;
  words: string[];
}

export interface Site {
  id: string;
  name: string;
  origins: string[];
  snippet: string;
  created_at: string;
}

export interface BlockedPattern {
  id: string;
  pattern: string;
  reason: string | null;
  created_at: string;
}

export interface TagCount {
  tag: string;
  links: number;
}

export interface ApiKey {
  id: string;
  name: string;
  role: string;
  /** of a key of role partner */
  partner_id?: string | null;
  /** how the secret begins */
  hint: string;
  created_at: string;
  revoked_at: string | null;
  /** to the minute; null where it was never used */
  last_used_at?: string | null;
}

export interface CreatedKey extends ApiKey {
  key: string;
}

export interface WebhookEndpoint {
  id: string;
  provider: string;
  url: string;
  program_id?: string | null;
  /** null until its first payment tells */
  livemode?: boolean | null;
  created_at?: string;
}

export interface Delivery {
  id: string;
  event_type: string;
  /** what makes a repeat of it a repeat: the provider's id of the event */
  dedupe_key: string;
  livemode: boolean;
  /** processed, duplicate, conflict, ignored, parked, mode_mismatch, failed */
  outcome: string;
  /** the same in a sentence */
  detail: string;
  /** of the raw body */
  body_sha256: string;
  received_at: string;
}

export interface Attribution {
  rule: string;
  link_id: string | null;
  partner_id: string | null;
  program_id: string | null;
  click_id: string | null;
  clicked_at: string | null;
}

export interface CommissionLine {
  id: string;
  kind: string;
  platform_fee: Money;
  tier: string | null;
  partner_id: string;
  amount: Money;
  status: string;
}

export interface Conversion {
  id: string;
  event: string;
  order_id: string | null;
  /** Weir's id of them, and the caller's */
  customer?: string | null;
  customer_id: string | null;
  subscription_id: string | null;
  properties?: Record<string, unknown>;
  amount: Money | null;
  refunded: Money | null;
  provider: string;
  occurred_at: string;
  created_at: string;
  attribution: Attribution | null;
  commissions: CommissionLine[];
  /** the gravest first */
  signals?: { signal: string; evidence: string }[];
}

export interface Answer {
  columns: Column[];
  rows: Cell[][];
  totals?: Record<string, Cell>;
  meta?: Record<string, unknown>;
}
