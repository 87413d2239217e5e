// The page's one live connection, and `live()`: a query's rows as Svelte state.

import { flushSync } from 'svelte';
import { ApiError } from '../api/client';
import { session } from '../state/session.svelte';
import { LiveConnection, SignedOut, type LiveState, type Ports } from './connection';
import type { Cell, LiveEvent, Problem, Query } from './protocol';
import { SUBPROTOCOL } from './protocol';

const ports: Ports = {
  socket: () => {
    const url = new URL('/v1/live', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    return new WebSocket(url, SUBPROTOCOL) as never;
  },
  ticket: async () => {
    try {
      return await session.ticket();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) throw new SignedOut();
      throw error;
    }
  },
  now: () => Date.now(),
  random: () => Math.random(),
  timer: (run, milliseconds) => {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
};

class LiveStatus {
  state = $state<LiveState>('idle');
  lastUpdateAt = $state(0);
}

export const liveStatus = new LiveStatus();

/** A page shows the age in whole seconds: more updates of it than this would be work for nothing. */
const AGE_STEP_MS = 500;
let shownUpdateAt = 0;
// Only writes state: effects that start or stop the connection must not come to depend on what it then
// reports.
const connection = new LiveConnection(ports, () => {
  liveStatus.state = connection.state;
  if (connection.lastUpdateAt - shownUpdateAt < AGE_STEP_MS) return;
  shownUpdateAt = connection.lastUpdateAt;
  liveStatus.lastUpdateAt = shownUpdateAt;
});

export function startLive(): void {
  connection.start();
}

export function stopLive(): void {
  connection.stop();
}

addEventListener('online', () => connection.hurry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection.hurry();
});

/** How often one query's rows are drawn at most: a figure that changes faster cannot be read. */
const REDRAW_EVERY_MS = 200;
/** What one frame gives to drawing; the queries that are left have the next one. */
const FRAME_BUDGET_MS = 8;

const waiting = new Set<() => void>();
let scheduled = false;

function onNextFrame(draw: () => void): void {
  waiting.add(draw);
  schedule();
}

function schedule(): void {
  if (scheduled || waiting.size === 0) return;
  scheduled = true;
  requestAnimationFrame(frame);
}

/** One query after another, each with all that hangs on it, so that many at once make no long task. */
function frame(): void {
  const end = performance.now() + FRAME_BUDGET_MS;
  scheduled = false;
  try {
    for (const draw of waiting) {
      waiting.delete(draw);
      flushSync(draw);
      if (performance.now() >= end) break;
    }
  } finally {
    // What one drawing breaks must not keep the others from being drawn.
    schedule();
  }
}

export interface Paced {
  ask(): void;
  cancel(): void;
}

/**
 * However often it is asked for, `draw` runs in a frame and at most every REDRAW_EVERY_MS; a hidden tab draws
 * nothing.
 */
export function paced(draw: () => void): Paced {
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const run = () => {
    last = performance.now();
    draw();
  };
  const next = () => {
    timer = undefined;
    onNextFrame(run);
  };
  return {
    ask() {
      if (timer !== undefined || waiting.has(run)) return;
      const wait = last + REDRAW_EVERY_MS - performance.now();
      if (wait > 0) timer = setTimeout(next, wait);
      else next();
    },
    cancel() {
      clearTimeout(timer);
      timer = undefined;
      waiting.delete(run);
    },
  };
}

export interface LiveRows {
  /** null: nothing has arrived yet */
  readonly rows: Cell[][] | null;
  readonly problem: Problem | null;
  /** true while the rows shown belong to the query before this one */
  readonly waiting: boolean;
}

/**
 * Subscribes to what `query` returns and follows it when it changes (null: to nothing). The rows of the query
 * before stay until those of the new one arrive, so a filter does not make the page flash.
 */
export function live(query: () => Query | null): LiveRows {
  let rows = $state.raw<Cell[][] | null>(null);
  let problem = $state.raw<Problem | null>(null);
  let pending = $state(true);
  const text = $derived(JSON.stringify(query()));

  $effect(() => {
    const wanted = JSON.parse(text) as Query | null;
    pending = true;
    if (!wanted) {
      rows = null;
      problem = null;
      return;
    }
    const draw = () => {
      problem = subscription.rows.problem;
      if (subscription.rows.store.recover) {
        rows = subscription.rows.store.rows();
        pending = false;
      } else if (problem) {
        rows = null;
        pending = false;
      }
    };
    const pace = paced(draw);
    const subscription = connection.subscribe(wanted, pace.ask);
    if (subscription.rows.store.recover || subscription.rows.problem) draw();
    return () => {
      pace.cancel();
      subscription.release();
    };
  });

  return {
    get rows() {
      return rows;
    },
    get problem() {
      return problem;
    },
    get waiting() {
      return pending;
    },
  };
}

export function tailEvents(listener: (rows: LiveEvent[], sampled: boolean) => void): () => void {
  return connection.tailEvents(listener);
}
