import { describe, expect, it } from 'vitest';
import type { SnapshotFrame } from './protocol';
import { RowStore } from './rows';

const columns = [
  { name: 'country', type: 'string' as const },
  { name: 'clicks', type: 'integer' as const },
];

function snapshot(seq: number, rows: SnapshotFrame['rows'], epoch = 'e'): SnapshotFrame {
  return { type: 'snapshot', id: 'q1', epoch, seq, columns, rows };
}

describe('RowStore', () => {
  it('replaces, adds and removes rows by their dimension cells', () => {
    const store = new RowStore(1);
    store.applySnapshot(
      snapshot(10, [
        ['DE', 3],
        ['FR', 1],
      ]),
    );
    const taken = store.applyDelta({
      type: 'delta',
      id: 'q1',
      seq: 11,
      rows: [
        ['DE', 4],
        ['US', 1],
      ],
      removed: [['FR']],
    });
    expect(taken).toBe(true);
    expect(store.rows()).toEqual([
      ['DE', 4],
      ['US', 1],
    ]);
    expect(store.row(['FR'])).toBeUndefined();
  });

  it('keeps exactly one row when there are no dimensions', () => {
    const store = new RowStore(0);
    store.applySnapshot(snapshot(1, [[5]]));
    store.applyDelta({ type: 'delta', id: 'q1', seq: 2, rows: [[6]] });
    expect(store.rows()).toEqual([[6]]);
  });

  it('tells null, the empty string and text that looks like JSON apart', () => {
    const store = new RowStore(1);
    store.applySnapshot(
      snapshot(1, [
        [null, 1],
        ['', 2],
        ['null', 3],
        ['["x"]', 4],
      ]),
    );
    expect(store.size).toBe(4);
    store.applyDelta({ type: 'delta', id: 'q1', seq: 2, removed: [[null]] });
    expect(store.rows()).toEqual([
      ['', 2],
      ['null', 3],
      ['["x"]', 4],
    ]);
  });

  it('ignores a delta that is not newer than what it holds', () => {
    const store = new RowStore(1);
    store.applySnapshot(snapshot(10, [['DE', 3]]));
    expect(store.applyDelta({ type: 'delta', id: 'q1', seq: 10, rows: [['DE', 99]] })).toBe(false);
    expect(store.applyDelta({ type: 'delta', id: 'q1', seq: 12, rows: [['DE', 5]] })).toBe(true);
    expect(store.applyDelta({ type: 'delta', id: 'q1', seq: 11, rows: [['DE', 4]] })).toBe(false);
    expect(store.rows()).toEqual([['DE', 5]]);
    expect(store.recover).toEqual({ epoch: 'e', seq: 12 });
  });

  it('has nothing to apply a delta to before the first snapshot', () => {
    const store = new RowStore(1);
    expect(store.applyDelta({ type: 'delta', id: 'q1', seq: 5, rows: [['DE', 1]] })).toBe(false);
    expect(store.recover).toBeNull();
  });

  it('ignores an older snapshot of its own epoch and takes any of another', () => {
    const store = new RowStore(1);
    store.applySnapshot(snapshot(10, [['DE', 3]]));
    expect(store.applySnapshot(snapshot(9, [['DE', 2]]))).toBe(false);
    expect(store.rows()).toEqual([['DE', 3]]);
    expect(store.applySnapshot(snapshot(1, [['DE', 1]], 'restarted'))).toBe(true);
    expect(store.rows()).toEqual([['DE', 1]]);
    expect(store.recover).toEqual({ epoch: 'restarted', seq: 1 });
  });

  it('removes before it adds, so that a row that comes back in one delta stays', () => {
    const store = new RowStore(1);
    store.applySnapshot(snapshot(1, [['DE', 3]]));
    store.applyDelta({ type: 'delta', id: 'q1', seq: 2, rows: [['DE', 7]], removed: [['DE']] });
    expect(store.rows()).toEqual([['DE', 7]]);
  });

  it('agrees with a naive twin over a long run of random deltas', () => {
    let state = 7;
    const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below;
    const store = new RowStore(1);
    const twin = new Map<string, number>();
    store.applySnapshot(snapshot(0, []));
    let seq = 0;
    for (let step = 0; step < 2_000; step++) {
      const late = random(5) === 0;
      const frameSeq = late ? Math.max(0, seq - random(3)) : ++seq;
      const name = `c${random(20)}`;
      if (random(4) === 0) {
        store.applyDelta({ type: 'delta', id: 'q1', seq: frameSeq, removed: [[name]] });
        if (!late) twin.delete(name);
      } else {
        store.applyDelta({ type: 'delta', id: 'q1', seq: frameSeq, rows: [[name, step]] });
        if (!late) twin.set(name, step);
      }
    }
    expect(new Map(store.rows().map(([name, value]) => [name, value]))).toEqual(twin);
  });
});
