// The frames of `weir.v1.json`, as the engine speaks them on /v1/live, and the query that a subscription
// carries.

export type Cell = string | number | boolean | null;
export type ColumnType = 'string' | 'integer' | 'number' | 'money' | 'time' | 'bool';

export interface Column {
  name: string;
  type: ColumnType;
}

export type FilterValue = string | number | boolean;
export type Filter =
  | ['is' | 'is_not' | 'contains' | 'matches' | 'gt' | 'lt', string, FilterValue[]]
  | ['and' | 'or', Filter[]]
  | ['not', Filter];

export interface Query {
  metrics: string[];
  date_range: string | [string, string];
  timezone?: string;
  dimensions?: string[];
  filters?: Filter;
  order_by?: [string, 'asc' | 'desc'][];
  limit?: number;
  include?: { total?: boolean; compare?: string };
}

/** RFC 9457, with the fields that were refused. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  request_id?: string;
  errors?: { field: string; detail: string }[];
}

export interface LiveEvent {
  /** click, conversion (then `event` names which), refund, chargeback */
  kind: string;
  at: string;
  id?: string | null;
  provider?: string | null;
  link?: string | null;
  slug?: string | null;
  country?: string | null;
  city?: string | null;
  /** where the city is: latitude and longitude in degrees */
  point?: [number, number] | null;
  device?: string | null;
  browser?: string | null;
  referrer?: string | null;
  verdict?: string | null;
  event?: string | null;
  order_id?: string | null;
  amount?: { amount: number; currency: string } | null;
}

export interface Recover {
  epoch: string;
  seq: number;
}

export type ClientFrame =
  | { type: 'connect'; ticket: string }
  | { type: 'subscribe'; id: string; query: Query; recover?: Recover }
  | { type: 'events'; id: string }
  | { type: 'unsubscribe'; id: string }
  | { type: 'ping' }
  | { type: 'pong' };

export interface SnapshotFrame {
  type: 'snapshot';
  id: string;
  epoch: string;
  seq: number;
  columns: Column[];
  rows: Cell[][];
  /** set where the engine runs the query again every so often instead of keeping it up to date */
  refreshed_every_ms?: number;
  /** one cell per metric */
  totals?: Record<string, Cell>;
}

export interface DeltaFrame {
  type: 'delta';
  id: string;
  seq: number;
  rows?: Cell[][];
  removed?: Cell[][];
  /** one cell per metric */
  totals?: Record<string, Cell>;
}

export interface EventsFrame {
  type: 'events';
  id: string;
  seq: number;
  sampled: boolean;
  rows: LiveEvent[];
}

export type ServerFrame =
  | { type: 'connected'; epoch: string; seq: number; tick_ms: number }
  | SnapshotFrame
  | DeltaFrame
  | EventsFrame
  | { type: 'error'; id?: string; code: string; problem?: Problem }
  | { type: 'ping' }
  | { type: 'pong' };

export const SUBPROTOCOL = 'weir.v1.json';

/** Why the engine closed a connection (api.md, Live). */
export const Close = {
  BadRequest: 4400,
  Unauthenticated: 4401,
  Forbidden: 4403,
  ConnectTimeout: 4408,
  TooMany: 4429,
  SlowConsumer: 3008,
  ShuttingDown: 3001,
} as const;
