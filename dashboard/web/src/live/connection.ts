// One WebSocket for the whole page, and the state machine that keeps it: ticket → socket → connect →
// subscriptions, and the same again with `recover` after every loss. Everything from outside (socket, ticket,
// clock, timers, chance) is passed in, so the tests drive it without a network.
//
// Invariants: a subscription outlives connections and keeps its id; equal queries share one subscription;
// frames for unknown ids change nothing; at most one socket and one retry timer exist.

import { backoff } from './backoff';
import type { ClientFrame, EventsFrame, LiveEvent, Problem, Query, ServerFrame } from './protocol';
import { Close } from './protocol';
import { RowStore } from './rows';

/**
 * idle: not started · live: connected · reconnecting: lost, will retry · stopped: signed out or refused for
 * good
 */
export type LiveState = 'idle' | 'connecting' | 'live' | 'reconnecting' | 'stopped';

/** What `ports.ticket` throws when the session is gone: retrying cannot help. */
export class SignedOut extends Error {}

export interface Socket {
  /** as WebSocket's: 1 while it is open */
  readonly readyState: number;
  send(text: string): void;
  close(code?: number): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
}

export interface Ports {
  socket(): Socket;
  ticket(): Promise<string>;
  now(): number;
  random(): number;
  timer(run: () => void, milliseconds: number): () => void;
}

const OPEN = 1;
/** The engine's own pings are answered by the browser unseen, so the page asks for itself. */
export const PING_EVERY_MS = 15_000;
export const PONG_WITHIN_MS = 10_000;
/** From asking for a ticket to being connected; then another attempt is made. */
export const ATTEMPT_WITHIN_MS = 10_000;

export interface Rows {
  store: RowStore;
  problem: Problem | null;
}

interface Subscription extends Rows {
  id: string;
  query: Query;
  listeners: Set<() => void>;
}

interface Tail {
  id: string;
  listeners: Set<(rows: LiveEvent[], sampled: boolean) => void>;
}

export class LiveConnection {
  state: LiveState = 'idle';
  /** When the last snapshot, delta or event arrived, in milliseconds of `ports.now()`; 0: never. */
  lastUpdateAt = 0;
  private socket: Socket | null = null;
  private attempt = 0;
  private lastFrameAt = 0;
  private nextId = 1;
  private current: object | null = null;
  private cancelTimer: (() => void) | null = null;
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly byId = new Map<string, Subscription>();
  private tail: Tail | null = null;

  constructor(
    private readonly ports: Ports,
    private readonly changed: () => void = () => {},
  ) {}

  start(): void {
    if (this.state === 'idle' || this.state === 'stopped') this.open('connecting');
  }

  /** Ends the connection without a retry; subscriptions stay and resume on the next start. */
  stop(): void {
    this.drop();
    this.become('stopped');
  }

  /** Retries now instead of waiting out the back-off (the browser came online, the tab came back). */
  hurry(): void {
    if (this.state === 'reconnecting' && !this.socket) this.open('reconnecting');
  }

  subscribe(query: Query, listener: () => void): { rows: Rows; release: () => void } {
    const key = JSON.stringify(query);
    let subscription = this.subscriptions.get(key);
    if (!subscription) {
      const id = `q${this.nextId++}`;
      const store = new RowStore(query.dimensions?.length ?? 0);
      subscription = { id, query, store, problem: null, listeners: new Set() };
      this.subscriptions.set(key, subscription);
      this.byId.set(id, subscription);
      if (this.state === 'live') this.send({ type: 'subscribe', id, query });
    }
    const held = subscription;
    held.listeners.add(listener);
    const release = () => {
      if (!held.listeners.delete(listener) || held.listeners.size > 0) return;
      this.subscriptions.delete(key);
      this.byId.delete(held.id);
      if (this.state === 'live') this.send({ type: 'unsubscribe', id: held.id });
    };
    return { rows: held, release };
  }

  tailEvents(listener: (rows: LiveEvent[], sampled: boolean) => void): () => void {
    if (!this.tail) {
      this.tail = { id: `e${this.nextId++}`, listeners: new Set() };
      if (this.state === 'live') this.send({ type: 'events', id: this.tail.id });
    }
    const tail = this.tail;
    tail.listeners.add(listener);
    return () => {
      if (!tail.listeners.delete(listener) || tail.listeners.size > 0) return;
      if (this.tail === tail) this.tail = null;
      if (this.state === 'live') this.send({ type: 'unsubscribe', id: tail.id });
    };
  }

  private open(as: 'connecting' | 'reconnecting'): void {
    this.drop();
    this.become(as);
    // A token for this attempt: answers that belong to an earlier one find another object here and are
    // ignored.
    const attempt = (this.current = {});
    // A ticket that never comes, or a handshake that nobody ends, must not be waited for: an engine that is just
    // stopping may have taken the request along.
    this.cancelTimer = this.ports.timer(() => this.retry(), ATTEMPT_WITHIN_MS);
    this.ports.ticket().then(
      (ticket) => {
        if (this.current === attempt) this.dial(ticket);
      },
      (error: unknown) => {
        if (this.current !== attempt) return;
        if (error instanceof SignedOut) this.stop();
        else this.retry();
      },
    );
  }

  private dial(ticket: string): void {
    const socket = this.ports.socket();
    this.socket = socket;
    this.lastFrameAt = this.ports.now();
    socket.onopen = () => {
      this.send({ type: 'connect', ticket });
    };
    socket.onmessage = (event) => {
      if (this.socket === socket) this.receive(event.data);
    };
    socket.onclose = (event) => {
      if (this.socket === socket) this.closed(event.code);
    };
  }

  private receive(data: unknown): void {
    let frame: ServerFrame;
    try {
      frame = JSON.parse(String(data)) as ServerFrame;
    } catch {
      this.socket?.close(Close.BadRequest);
      return;
    }
    this.lastFrameAt = this.ports.now();
    switch (frame.type) {
      case 'connected':
        return this.connected();
      case 'snapshot':
      case 'delta': {
        const subscription = this.byId.get(frame.id);
        if (!subscription) return;
        const { store } = subscription;
        const taken = frame.type === 'snapshot' ? store.applySnapshot(frame) : store.applyDelta(frame);
        if (!taken) return;
        subscription.problem = null;
        this.updated();
        for (const listener of subscription.listeners) listener();
        return;
      }
      case 'events':
        return this.tailed(frame);
      case 'error':
        return this.refused(frame.id, frame.problem ?? { detail: `refused with code ${frame.code}` });
      case 'ping':
        return this.send({ type: 'pong' });
    }
  }

  private connected(): void {
    this.attempt = 0;
    this.cancelTimer?.();
    this.watch();
    this.become('live');
    for (const { id, query, store } of this.byId.values()) {
      const recover = store.recover;
      this.send({ type: 'subscribe', id, query, ...(recover ? { recover } : {}) });
    }
    if (this.tail) this.send({ type: 'events', id: this.tail.id });
  }

  private tailed(frame: EventsFrame): void {
    if (frame.id !== this.tail?.id || frame.rows.length === 0) return;
    this.updated();
    for (const listener of this.tail.listeners) listener(frame.rows, frame.sampled);
  }

  private refused(id: string | undefined, problem: Problem): void {
    const subscription = id === undefined ? undefined : this.byId.get(id);
    if (!subscription) return;
    subscription.problem = problem;
    for (const listener of subscription.listeners) listener();
  }

  private closed(code: number): void {
    this.drop();
    if (code === Close.Forbidden) return this.become('stopped');
    this.retry();
  }

  private retry(): void {
    this.drop();
    this.become('reconnecting');
    const wait = backoff(this.attempt++, this.ports.random());
    this.cancelTimer = this.ports.timer(() => this.open('reconnecting'), wait);
  }

  /** Asks on a quiet line and gives the line up when nothing comes back. */
  private watch(): void {
    this.cancelTimer = this.ports.timer(() => {
      if (this.ports.now() - this.lastFrameAt < PING_EVERY_MS) return this.watch();
      this.send({ type: 'ping' });
      const asked = this.ports.now();
      this.cancelTimer = this.ports.timer(() => {
        if (this.lastFrameAt >= asked) this.watch();
        else this.retry();
      }, PONG_WITHIN_MS);
    }, PING_EVERY_MS);
  }

  private drop(): void {
    this.current = null;
    this.cancelTimer?.();
    this.cancelTimer = null;
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private send(frame: ClientFrame): void {
    // One that is closing has not said so yet; what it cannot take is asked for anew by the next.
    if (this.socket?.readyState === OPEN) this.socket.send(JSON.stringify(frame));
  }

  private updated(): void {
    this.lastUpdateAt = this.ports.now();
    this.changed();
  }

  private become(state: LiveState): void {
    this.state = state;
    this.changed();
  }
}
