import { beforeEach, describe, expect, it } from 'vitest';
import { FIRST_WAIT_MS, LONGEST_WAIT_MS, backoff } from './backoff';
import {
  ATTEMPT_WITHIN_MS,
  LiveConnection,
  PING_EVERY_MS,
  PONG_WITHIN_MS,
  SignedOut,
  type Ports,
  type Socket,
} from './connection';
import type { LiveEvent, Query } from './protocol';

class FakeSocket implements Socket {
  sent: Record<string, unknown>[] = [];
  closedByUs = false;
  readyState = 1;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.closedByUs = true;
  }
  receive(frame: unknown): void {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }
  take(): Record<string, unknown>[] {
    return this.sent.splice(0);
  }
}

/** A world with its own clock: timers run when `pass` moves it. */
class World {
  time = 1_000;
  sockets: FakeSocket[] = [];
  tickets = 0;
  ticketFails: Error | null = null;
  ticketHangs = false;
  private timers: { at: number; run: () => void }[] = [];

  readonly ports: Ports = {
    socket: () => {
      const socket = new FakeSocket();
      this.sockets.push(socket);
      return socket;
    },
    ticket: () =>
      this.ticketHangs
        ? new Promise(() => {})
        : this.ticketFails
          ? Promise.reject(this.ticketFails)
          : Promise.resolve(`ticket-${++this.tickets}`),
    now: () => this.time,
    random: () => 1,
    timer: (run, milliseconds) => {
      const timer = { at: this.time + milliseconds, run };
      this.timers.push(timer);
      return () => (this.timers = this.timers.filter((each) => each !== timer));
    },
  };

  async pass(milliseconds: number): Promise<void> {
    const until = this.time + milliseconds;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((each) => each !== next);
      this.time = next.at;
      next.run();
      await settle();
    }
    this.time = until;
    await settle();
  }

  get waiting(): number {
    return this.timers.length;
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (!last) throw new Error('no socket yet');
    return last;
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
const clicks: Query = { metrics: ['clicks'], date_range: 'today' };
const byCountry: Query = { metrics: ['clicks'], dimensions: ['country'], date_range: 'today' };
const columns = [{ name: 'clicks', type: 'integer' }];

let world: World;
let connection: LiveConnection;
beforeEach(() => {
  world = new World();
  connection = new LiveConnection(world.ports);
});

async function connect(): Promise<FakeSocket> {
  connection.start();
  await settle();
  world.socket.onopen?.();
  world.socket.receive({ type: 'connected' });
  return world.socket;
}

describe('connecting', () => {
  it('makes another attempt when a ticket or a handshake never ends', async () => {
    world.ticketHangs = true;
    connection.start();
    await world.pass(ATTEMPT_WITHIN_MS);
    expect(connection.state).toBe('reconnecting');
    world.ticketHangs = false;
    await world.pass(FIRST_WAIT_MS);
    const { socket } = world;
    socket.onopen?.();
    await world.pass(ATTEMPT_WITHIN_MS);
    expect(socket.closedByUs).toBe(true);
    await world.pass(2 * FIRST_WAIT_MS);
    expect(world.socket).not.toBe(socket);
    world.socket.onopen?.();
    world.socket.receive({ type: 'connected' });
    expect(connection.state).toBe('live');
    await world.pass(ATTEMPT_WITHIN_MS);
    expect(connection.state).toBe('live');
  });

  it('sends the ticket first and subscribes only once connected', async () => {
    connection.subscribe(clicks, () => {});
    connection.start();
    expect(connection.state).toBe('connecting');
    await settle();
    const { socket } = world;
    socket.onopen?.();
    expect(socket.take()).toEqual([{ type: 'connect', ticket: 'ticket-1' }]);
    socket.receive({ type: 'connected' });
    expect(connection.state).toBe('live');
    expect(socket.take()).toEqual([{ type: 'subscribe', id: 'q1', query: clicks }]);
  });

  it('sends nothing to a socket that is closing, and everything to the next', async () => {
    const first = await connect();
    first.take();
    first.readyState = 2;
    connection.subscribe(clicks, () => {});
    expect(first.sent).toEqual([]);
    first.onclose?.({ code: 3001 });
    await world.pass(60_000);
    world.socket.onopen?.();
    world.socket.receive({ type: 'connected' });
    expect(world.socket.sent).toContainEqual(expect.objectContaining({ type: 'subscribe', query: clicks }));
  });

  it('stops for good when the session is gone and when the engine forbids it', async () => {
    world.ticketFails = new SignedOut();
    connection.start();
    await settle();
    expect(connection.state).toBe('stopped');
    expect(world.waiting).toBe(0);

    world.ticketFails = null;
    const socket = await connect();
    socket.onclose?.({ code: 4403 });
    expect(connection.state).toBe('stopped');
    expect(world.waiting).toBe(0);
  });

  it('retries when no ticket can be had', async () => {
    world.ticketFails = new Error('unreachable');
    connection.start();
    await settle();
    expect(connection.state).toBe('reconnecting');
    world.ticketFails = null;
    await world.pass(FIRST_WAIT_MS);
    expect(world.sockets.length).toBe(1);
  });

  it('ignores a ticket that arrives after the connection was stopped', async () => {
    connection.start();
    connection.stop();
    await settle();
    expect(world.sockets.length).toBe(0);
    expect(connection.state).toBe('stopped');
  });
});

describe('subscriptions', () => {
  it('hands rows over, tells the listener, and remembers when', async () => {
    let calls = 0;
    const { rows } = connection.subscribe(clicks, () => calls++);
    const socket = await connect();
    world.time = 5_000;
    socket.receive({ type: 'snapshot', id: 'q1', epoch: 'a', seq: 5, columns, rows: [[1]] });
    socket.receive({ type: 'delta', id: 'q1', seq: 6, rows: [[2]] });
    expect(rows.store.rows()).toEqual([[2]]);
    expect(calls).toBe(2);
    expect(connection.lastUpdateAt).toBe(5_000);
  });

  it('tells nobody about a delta that is old', async () => {
    let calls = 0;
    connection.subscribe(clicks, () => calls++);
    const socket = await connect();
    socket.receive({ type: 'snapshot', id: 'q1', epoch: 'a', seq: 5, columns, rows: [[1]] });
    socket.receive({ type: 'delta', id: 'q1', seq: 5, rows: [[9]] });
    socket.receive({ type: 'delta', id: 'q1', seq: 4, rows: [[9]] });
    expect(calls).toBe(1);
  });

  it('shares one subscription among equal queries and ends it with the last listener', async () => {
    const socket = await connect();
    const first = connection.subscribe(clicks, () => {});
    const second = connection.subscribe({ ...clicks }, () => {});
    expect(second.rows).toBe(first.rows);
    first.release();
    first.release();
    expect(socket.take().map(({ type }) => type)).toEqual(['connect', 'subscribe']);
    second.release();
    expect(socket.take()).toEqual([{ type: 'unsubscribe', id: 'q1' }]);
  });

  it('gives a refused subscription its problem, and takes it back with the next snapshot', async () => {
    const { rows } = connection.subscribe(clicks, () => {});
    const socket = await connect();
    socket.receive({ type: 'error', id: 'q1', code: 4400, problem: { detail: 'no such metric' } });
    expect(rows.problem?.detail).toBe('no such metric');
    socket.receive({ type: 'snapshot', id: 'q1', epoch: 'a', seq: 1, columns, rows: [[1]] });
    expect(rows.problem).toBeNull();
  });

  it('changes nothing for frames of unknown ids', async () => {
    const socket = await connect();
    socket.receive({ type: 'snapshot', id: 'q9', epoch: 'a', seq: 1, columns, rows: [[1]] });
    socket.receive({ type: 'events', id: 'e9', seq: 1, sampled: false, rows: [{ kind: 'click', at: '' }] });
    expect(connection.lastUpdateAt).toBe(0);
  });
});

describe('after a lost connection', () => {
  it('subscribes again under the same ids, recovering from where each stood', async () => {
    const { rows } = connection.subscribe(byCountry, () => {});
    connection.subscribe(clicks, () => {});
    const before = await connect();
    before.receive({ type: 'snapshot', id: 'q1', epoch: 'a', seq: 5, columns, rows: [['DE', 1]] });
    before.receive({ type: 'delta', id: 'q1', seq: 8, rows: [['FR', 1]] });
    before.onclose?.({ code: 1006 });
    expect(connection.state).toBe('reconnecting');
    expect(rows.store.size).toBe(2);

    await world.pass(FIRST_WAIT_MS);
    const after = world.socket;
    expect(after).not.toBe(before);
    after.onopen?.();
    after.receive({ type: 'connected' });
    expect(after.take()).toEqual([
      { type: 'connect', ticket: 'ticket-2' },
      { type: 'subscribe', id: 'q1', query: byCountry, recover: { epoch: 'a', seq: 8 } },
      { type: 'subscribe', id: 'q2', query: clicks },
    ]);
    // The engine may answer with only what was missed: it goes on top of what is held.
    after.receive({ type: 'delta', id: 'q1', seq: 9, rows: [['DE', 2]] });
    expect(rows.store.rows()).toEqual([
      ['DE', 2],
      ['FR', 1],
    ]);
  });

  it('takes a whole snapshot of a new epoch, whatever its sequence', async () => {
    const { rows } = connection.subscribe(clicks, () => {});
    const before = await connect();
    before.receive({ type: 'snapshot', id: 'q1', epoch: 'a', seq: 500, columns, rows: [[7]] });
    before.onclose?.({ code: 3001 });
    await world.pass(FIRST_WAIT_MS);
    world.socket.onopen?.();
    world.socket.receive({ type: 'connected' });
    world.socket.receive({ type: 'snapshot', id: 'q1', epoch: 'b', seq: 3, columns, rows: [[1]] });
    expect(rows.store.rows()).toEqual([[1]]);
  });

  it('ignores what a socket says after it was given up', async () => {
    const { rows } = connection.subscribe(clicks, () => {});
    const before = await connect();
    const late = before.onmessage;
    before.onclose?.({ code: 1006 });
    late?.({
      data: JSON.stringify({ type: 'snapshot', id: 'q1', epoch: 'a', seq: 1, columns, rows: [[1]] }),
    });
    expect(rows.store.recover).toBeNull();
  });

  it('waits longer each time, and from the start again once it has been live', async () => {
    const socket = await connect();
    world.ticketFails = new Error('down');
    socket.onclose?.({ code: 1006 });
    await world.pass(FIRST_WAIT_MS);
    await world.pass(2 * FIRST_WAIT_MS);
    world.ticketFails = null;
    await world.pass(4 * FIRST_WAIT_MS - 1);
    expect(world.sockets.length).toBe(1);
    await world.pass(1);
    expect(world.sockets.length).toBe(2);
    world.socket.onopen?.();
    world.socket.receive({ type: 'connected' });
    world.socket.onclose?.({ code: 1006 });
    await world.pass(FIRST_WAIT_MS);
    expect(world.sockets.length).toBe(3);
  });

  it('keeps at most one retry, also when hurried', async () => {
    const socket = await connect();
    socket.onclose?.({ code: 1006 });
    connection.hurry();
    connection.hurry();
    await settle();
    await world.pass(ATTEMPT_WITHIN_MS - 1);
    expect(world.sockets.length).toBe(2);
  });

  it('resumes the event tail', async () => {
    const seen: LiveEvent[] = [];
    const end = connection.tailEvents((rows) => seen.push(...rows));
    const before = await connect();
    expect(before.take().at(-1)).toEqual({ type: 'events', id: 'e1' });
    before.receive({ type: 'events', id: 'e1', seq: 1, sampled: false, rows: [{ kind: 'click', at: 't' }] });
    before.onclose?.({ code: 1006 });
    await world.pass(FIRST_WAIT_MS);
    world.socket.onopen?.();
    world.socket.receive({ type: 'connected' });
    expect(world.socket.take().at(-1)).toEqual({ type: 'events', id: 'e1' });
    expect(seen).toEqual([{ kind: 'click', at: 't' }]);
    end();
    expect(world.socket.take()).toEqual([{ type: 'unsubscribe', id: 'e1' }]);
  });
});

describe('a quiet line', () => {
  it('is asked, and kept when it answers', async () => {
    const socket = await connect();
    socket.take();
    await world.pass(PING_EVERY_MS);
    expect(socket.take()).toEqual([{ type: 'ping' }]);
    socket.receive({ type: 'pong' });
    await world.pass(PONG_WITHIN_MS);
    expect(connection.state).toBe('live');
    await world.pass(PING_EVERY_MS);
    expect(socket.take()).toEqual([{ type: 'ping' }]);
  });

  it('is given up when nothing comes back', async () => {
    const socket = await connect();
    await world.pass(PING_EVERY_MS + PONG_WITHIN_MS);
    expect(connection.state).toBe('reconnecting');
    expect(socket.closedByUs).toBe(true);
  });

  it('also gives up an engine that accepts the socket and then says nothing', async () => {
    connection.start();
    await settle();
    world.socket.onopen?.();
    await world.pass(PING_EVERY_MS + PONG_WITHIN_MS);
    expect(connection.state).toBe('reconnecting');
  });

  it('answers a ping of the engine', async () => {
    const socket = await connect();
    socket.take();
    socket.receive({ type: 'ping' });
    expect(socket.take()).toEqual([{ type: 'pong' }]);
  });
});

describe('backoff', () => {
  it('doubles up to its bound and stays within half of it', () => {
    expect(backoff(0, 1)).toBe(FIRST_WAIT_MS);
    expect(backoff(1, 1)).toBe(2 * FIRST_WAIT_MS);
    expect(backoff(1, 0)).toBe(FIRST_WAIT_MS);
    expect(backoff(50, 1)).toBe(LONGEST_WAIT_MS);
    expect(backoff(50, 0)).toBe(LONGEST_WAIT_MS / 2);
  });
});
