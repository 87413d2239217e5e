// The page's one live connection, and `live()`: a query's rows as Svelte state.

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

/**
 * Several deltas between two frames cost one drawing; a hidden tab draws nothing and keeps only the latest
 * rows.
 */
const waiting = new Set<() => void>();
function onNextFrame(draw: () => void): void {
  if (waiting.size === 0) {
    requestAnimationFrame(() => {
      const draws = [...waiting];
      waiting.clear();
      for (const each of draws) each();
    });
  }
  waiting.add(draw);
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
    const changed = () => onNextFrame(draw);
    const subscription = connection.subscribe(wanted, changed);
    if (subscription.rows.store.recover || subscription.rows.problem) draw();
    return () => {
      waiting.delete(draw);
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
