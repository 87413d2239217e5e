// The rows of one subscription. A row's key is its dimension cells, so a delta's whole rows replace or add,
// and `removed` names keys. Frames older than what is held change nothing.

import type { Cell, Column, DeltaFrame, Recover, SnapshotFrame } from './protocol';

export function rowKey(dimensionCells: Cell[]): string {
  return JSON.stringify(dimensionCells);
}

export class RowStore {
  columns: Column[] = [];
  totals: Record<string, Cell> | null = null;
  private readonly byKey = new Map<string, Cell[]>();
  private position: Recover | null = null;

  constructor(private readonly dimensions: number) {}

  /** Where to resume after a lost connection; null before the first snapshot. */
  get recover(): Recover | null {
    return this.position;
  }

  get size(): number {
    return this.byKey.size;
  }

  rows(): Cell[][] {
    return [...this.byKey.values()];
  }

  row(key: Cell[]): Cell[] | undefined {
    return this.byKey.get(rowKey(key));
  }

  /** @returns whether anything was taken over */
  applySnapshot(frame: SnapshotFrame): boolean {
    const held = this.position;
    if (held && held.epoch === frame.epoch && frame.seq < held.seq) return false;
    this.columns = frame.columns;
    this.totals = frame.totals ?? null;
    this.byKey.clear();
    for (const row of frame.rows) this.put(row);
    this.position = { epoch: frame.epoch, seq: frame.seq };
    return true;
  }

  /** @returns whether anything was taken over; a delta before the first snapshot has nothing to apply to */
  applyDelta(frame: DeltaFrame): boolean {
    if (!this.position || frame.seq <= this.position.seq) return false;
    for (const key of frame.removed ?? []) this.byKey.delete(rowKey(key));
    for (const row of frame.rows ?? []) this.put(row);
    if (frame.totals) this.totals = frame.totals;
    this.position = { epoch: this.position.epoch, seq: frame.seq };
    return true;
  }

  private put(row: Cell[]): void {
    this.byKey.set(rowKey(row.slice(0, this.dimensions)), row);
  }
}
