// A report as Svelte state: asked anew when its range, filters or own settings change, one at a time; the answer
// before stays until the new one is there. A report's own settings live in the address, as the range does.

import { ApiError, post } from '../api/client';
import type { Answer } from '../api/types';
import type { Cell, Filter } from '../live/protocol';
import { asDateRange } from '../range/range';
import { route } from '../state/route.svelte';
import { view } from '../state/view.svelte';

/** Settings change in steps (a digit, another): the last one within this time is asked for. */
const SETTLED_AFTER_MS = 250;

export interface Report<T extends Answer = Answer> {
  /** its name in the API */
  readonly name: string;
  readonly answer: T | null;
  readonly failed: Error | null;
  readonly busy: boolean;
  /** what was asked, for a saved query or another program */
  readonly asked: Record<string, unknown>;
  /** the engine's words about a member of the request */
  wrong(field: string): string | undefined;
  run(): void;
  /** ends what is being asked */
  stop(): void;
}

/** `own` is null while the report cannot be asked yet. */
export function report<T extends Answer = Answer>(
  name: string,
  own: () => Record<string, unknown> | null,
  also: () => Filter[] = () => [],
): Report<T> {
  let answer = $state.raw<T | null>(null);
  let failed = $state.raw<Error | null>(null);
  let busy = $state(true);
  let again = $state(0);
  let stopping = new AbortController();
  const asked = $derived({
    date_range: asDateRange(view.bounds),
    timezone: view.zone,
    filters: view.where(...also()),
  });
  const text = $derived.by(() => {
    const spec = own();
    return spec && JSON.stringify({ ...asked, ...spec });
  });

  $effect(() => {
    void again;
    const body = text;
    if (body === null) {
      busy = false;
      answer = null;
      failed = null;
      return;
    }
    let current = true;
    busy = true;
    stopping = new AbortController();
    const { signal } = stopping;
    const ask = () =>
      post<T>(`/v1/reports/${name}`, JSON.parse(body), signal).then(
        (found) => {
          if (!current) return;
          answer = found;
          failed = null;
          busy = false;
        },
        (error: Error) => {
          if (!current) return;
          failed = error;
          busy = false;
        },
      );
    const timer = setTimeout(ask, SETTLED_AFTER_MS);
    return () => {
      current = false;
      clearTimeout(timer);
      // Nobody waits for it any more.
      stopping.abort();
    };
  });

  return {
    name,
    get answer() {
      return answer;
    },
    get failed() {
      return failed;
    },
    get busy() {
      return busy;
    },
    get asked() {
      return text ? (JSON.parse(text) as Record<string, unknown>) : {};
    },
    wrong: (field) => (failed instanceof ApiError ? failed.field(field) : undefined),
    run: () => (again += 1),
    stop: () => stopping.abort(),
  };
}

/** A setting that is kept in the address; `fallback` is left out of it. */
export function setting(name: string, fallback: string): { value: string } {
  return {
    get value() {
      return route.params.get(name) ?? fallback;
    },
    set value(value) {
      view.set(name, value === fallback ? null : value);
    },
  };
}

/** An answer's row by its columns' names. */
export function records(answer: Answer): Record<string, Cell>[] {
  return answer.rows.map((row) =>
    Object.fromEntries(answer.columns.map(({ name }, at) => [name, row[at] ?? null])),
  );
}
