// The names of what answers mention by id: links, partners, orders, payouts, keys. Asked for once each, a few at a time,
// and kept while the page lives.

import { get } from '../api/client';
import type { Link, Page } from '../api/types';
import { dimensionName } from '../format/dimension';
import { formatMoney, type Money } from '../format/money';
import type { Cell } from '../live/protocol';
import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { session } from './session.svelte';

/** What an answer says of a thing, as far as it names it. */
interface Told {
  id: string;
  name?: string | null;
  slug?: string;
  domain?: string | null;
  order_id?: string | null;
  event?: string;
  amount?: Money | null;
  totals?: Money[];
  customer_id?: string | null;
  provider?: string;
  description?: string | null;
  url?: string;
  pattern?: string;
  product?: string | null;
}

const moneyOf = ({ amount, currency }: Money) => formatMoney(amount, currency);
const byName = ({ name }: Told) => name || undefined;
const capital = (text = '') => text.charAt(0).toUpperCase() + text.slice(1);

interface Kind {
  /** where they are listed, and each stands below its id */
  list: string;
  /** undefined: it has no name, and its id is shown */
  name: (told: Told) => string | undefined;
  /** the path of their pages, where they have one */
  page?: string;
}

/** By the ids' prefix. */
const kinds: Record<string, Kind> = {
  lnk: {
    list: '/v1/links',
    name: ({ slug = '', domain = null }) => pathOfLink({ slug, domain }),
    page: '/links',
  },
  ptn: { list: '/v1/partners', name: byName, page: '/partners' },
  prg: { list: '/v1/programs', name: byName, page: '/programs' },
  cnv: {
    list: '/v1/conversions',
    name: ({ order_id, event }) => order_id ?? capital(event),
    page: '/conversions',
  },
  com: {
    list: '/v1/commissions',
    name: ({ order_id, amount }) => order_id ?? (amount ? `Commission of ${moneyOf(amount)}` : undefined),
  },
  cus: { list: '/v1/customers', name: ({ customer_id }) => customer_id ?? undefined, page: '/customers' },
  pay: {
    list: '/v1/payouts',
    name: ({ amount, totals = [] }) =>
      amount ? `Payout of ${moneyOf(amount)}` : `Batch of ${totals.map(moneyOf).join(' and ')}`,
    page: '/payouts',
  },
  alr: { list: '/v1/alerts', name: byName, page: '/alerts' },
  qry: { list: '/v1/saved-queries', name: byName, page: '/saved' },
  whk: { list: '/v1/webhook-endpoints', name: ({ provider }) => capital(provider), page: '/webhooks' },
  out: {
    list: '/v1/outbound-endpoints',
    name: ({ description, url }) => description || url,
    page: '/outbound',
  },
  key: { list: '/v1/keys', name: byName },
  pbt: { list: '/v1/postback-tokens', name: byName },
  ful: { list: '/v1/fulfilments', name: ({ name, product, event }) => name || product || event },
  ste: { list: '/v1/sites', name: byName },
  shr: { list: '/v1/shares', name: byName },
  blk: { list: '/v1/blocklist', name: ({ pattern }) => pattern },
};
const kindOf = (id: string): Kind | undefined => kinds[/^([a-z]{3})_\w+$/.exec(id)?.[1] ?? ''];
/** What a partner may ask for: the rest of what their numbers mention has pages for operators alone. */
const PARTNERS = ['/v1/links', '/v1/commissions', '/v1/payouts'];

const names = new SvelteMap<string, string>();
const asked = new Set<string>();
/** Asked for, and answered one way or the other. */
const settled = new SvelteSet<string>();
/** Stands for a name that is on its way: ids that turn into names would be read twice. */
const ON_ITS_WAY = '…';
/** A list's first page names what most answers mention; stragglers are asked for one by one. */
const FIRST_PAGE = 200;
const MOST_STRAGGLERS = 200;
let stragglers = 0;
const first = new Map<string, Promise<void>>();

function remember(told: Told): void {
  const name = kindOf(told.id)?.name(told);
  if (name !== undefined && names.get(told.id) !== name) names.set(told.id, name);
}

/** What a link is called: its path, behind its host where that is not the engine's own. */
export const pathOfLink = ({ slug, domain }: Pick<Link, 'slug' | 'domain'>): string =>
  `${domain ?? ''}/${slug === '_root' ? '' : slug}`;

export function rememberLink({ id, slug, domain }: Pick<Link, 'id' | 'slug' | 'domain'>): void {
  remember({ id, slug, domain });
}

/** What people call it; the id itself where nobody can tell, and for what has no name. */
export function nameOf(id: string): string {
  const kind = kindOf(id);
  if (!kind || !mayAsk(kind)) return id;
  const name = names.get(id);
  if (name === undefined) queueMicrotask(() => void ask(kind, id));
  return name ?? (settled.has(id) ? id : ON_ITS_WAY);
}

export const linkName = nameOf;

/** The page about a thing, if there is one that the reader may see: of all this a partner has only links. */
export function placeOf(id: string): string | undefined {
  const page = kindOf(id)?.page;
  if (page === undefined || (session.now?.role === 'partner' && page !== '/links')) return undefined;
  return `${page}/${id}`;
}

/** A dimension's cell in words. */
export function valueName(dimension: string, cell: Cell): string {
  return typeof cell === 'string' && /^(lnk|ptn|prg|cus)_/.test(cell)
    ? nameOf(cell)
    : dimensionName(dimension, cell);
}

const mayAsk = ({ list }: Kind) => session.now?.role !== 'partner' || PARTNERS.includes(list);

async function ask({ list }: Kind, id: string): Promise<void> {
  if (asked.has(id)) return;
  asked.add(id);
  try {
    let page = first.get(list);
    if (!page) {
      page = get<Page<Told>>(`${list}?limit=${FIRST_PAGE}`).then(({ data }) => data.forEach(remember));
      first.set(list, page);
    }
    await page;
    if (names.has(id) || ++stragglers > MOST_STRAGGLERS) return;
    remember(await get<Told>(`${list}/${encodeURIComponent(id)}`));
  } catch {
    // The id itself is shown: what was deleted still has its history.
  } finally {
    settled.add(id);
  }
}
