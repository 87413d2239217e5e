// Something about money happened: lists of it are to be read again. Operators hear of every event; a partner
// does not, and watches sums of their own instead.

import { untrack } from 'svelte';
import { session } from '../state/session.svelte';
import { live, liveStatus, tailEvents } from './page.svelte';

const DAY = 86_400_000;
/** How far back a partner's sums reach: what is older changes rarely, and shows with the next look. */
const SPAN_DAYS = 30;

/** Conversions come in bursts; one look shows them all. */
const BURST_MS = 400;

/** Runs `read` a moment after money moved, as long as the component that called lives and `wanted` holds. */
export function whenMoneyMoves(read: () => void, wanted: () => boolean = () => true): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = () =>
    (timer ??= setTimeout(() => {
      timer = undefined;
      read();
    }, BURST_MS));

  if (session.now?.role === 'partner') {
    // Its end lies ahead: a range that ended now would hear of nothing.
    const now = Date.now();
    const range: [string, string] = [now - SPAN_DAYS * DAY, now + DAY].map((at) =>
      new Date(at).toISOString(),
    ) as [string, string];
    const sums = live(() =>
      wanted()
        ? {
            metrics: ['conversions', 'leads', 'revenue', 'refunds', 'commission'],
            dimensions: ['currency'],
            date_range: range,
          }
        : null,
    );
    // Also the first time: what moved before the sums were there may be missing from the list.
    $effect(() => {
      if (sums.rows) untrack(soon);
    });
  } else {
    $effect(() => {
      if (!wanted()) return;
      return tailEvents((events) => {
        if (events.some(({ kind }) => kind !== 'click')) soon();
      });
    });
    // What moved while nobody was told, before the connection stood or while it was lost, may be missing from the list.
    let told = untrack(() => liveStatus.state === 'live');
    $effect(() => {
      const tells = liveStatus.state === 'live';
      if (tells && !told && untrack(wanted)) soon();
      told = tells;
    });
  }
  $effect(() => () => clearTimeout(timer));
}
