// The names of what answers mention by id: links, partners, programs. Asked for once each, a few at a time, and
// kept while the page lives.

import { get } from '../api/client';
import type { Link, Page } from '../api/types';
import { dimensionName } from '../format/dimension';
import type { Cell } from '../live/protocol';
import { SvelteMap } from 'svelte/reactivity';
import { session } from './session.svelte';

interface Named {
  id: string;
  name?: string;
  slug?: string;
  domain?: string | null;
}

const names = new SvelteMap<string, string>();
const asked = new Set<string>();
const lists: Record<string, string> = { lnk: '/v1/links', ptn: '/v1/partners', prg: '/v1/programs' };
/** A list's first page names what most answers mention; stragglers are asked for one by one. */
const FIRST_PAGE = 200;
const MOST_STRAGGLERS = 200;
const first = new Map<string, Promise<void>>();

function remember(named: Named): void {
  const { id, slug, domain = null } = named;
  const name = slug === undefined ? named.name : pathOfLink({ slug, domain });
  if (name !== undefined && names.get(id) !== name) names.set(id, name);
}

/** What a link is called: its path, behind its host where that is not the engine's own. */
export const pathOfLink = ({ slug, domain }: Pick<Link, 'slug' | 'domain'>): string =>
  `${domain ?? ''}/${slug === '_root' ? '' : slug}`;

export function rememberLink({ id, slug, domain }: Pick<Link, 'id' | 'slug' | 'domain'>): void {
  remember({ id, slug, domain });
}

/** What people call it; the id itself until that is known, and for what has no name. */
export function nameOf(id: string): string {
  const list = lists[id.slice(0, id.indexOf('_'))];
  if (!list) return id;
  const name = names.get(id);
  if (name === undefined) queueMicrotask(() => void ask(list, id));
  return name ?? id;
}

export const linkName = nameOf;

/** Things with a page and without a name. */
const pages: Record<string, string> = { cnv: '/conversions', cus: '/customers', pay: '/payouts' };

/** The page about a thing, if there is one that the reader may see: of all this a partner has only links. */
export function placeOf(id: string): string | undefined {
  const prefix = id.slice(0, id.indexOf('_'));
  if (session.now?.role === 'partner' && prefix !== 'lnk') return undefined;
  const place = lists[prefix]?.replace('/v1', '') ?? pages[prefix];
  return place && `${place}/${id}`;
}

/** A dimension's cell in words. */
export function valueName(dimension: string, cell: Cell): string {
  return typeof cell === 'string' && /^(lnk|ptn|prg)_/.test(cell)
    ? nameOf(cell)
    : dimensionName(dimension, cell);
}

async function ask(list: string, id: string): Promise<void> {
  if (asked.has(id) || asked.size > MOST_STRAGGLERS) return;
  if (session.now?.role === 'partner' && list !== lists.lnk) return;
  asked.add(id);
  try {
    let page = first.get(list);
    if (!page) {
      page = get<Page<Named>>(`${list}?limit=${FIRST_PAGE}`).then(({ data }) => data.forEach(remember));
      first.set(list, page);
    }
    await page;
    if (!names.has(id)) remember(await get<Named>(`${list}/${encodeURIComponent(id)}`));
  } catch {
    // The id itself is shown: what was deleted still has its history.
  }
}
