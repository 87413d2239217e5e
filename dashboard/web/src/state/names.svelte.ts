// The names of links whose ids appear in answers. Asked for once each, a few at a time, and kept while the
// page lives.

import { get } from '../api/client';
import type { Link, Page } from '../api/types';
import { SvelteMap } from 'svelte/reactivity';

const names = new SvelteMap<string, string>();
const asked = new Set<string>();
/** The list's first page names the links that most answers mention; stragglers are asked for one by one. */
const FIRST_PAGE = 200;
const MOST_STRAGGLERS = 200;
let first: Promise<void> | null = null;

export function rememberLink(link: Pick<Link, 'id' | 'slug'>): void {
  if (names.get(link.id) !== link.slug) names.set(link.id, link.slug);
}

export function linkName(id: string): string {
  if (!id.startsWith('lnk_')) return id;
  const name = names.get(id);
  if (name === undefined) queueMicrotask(() => void ask(id));
  return name === undefined ? id : `/${name}`;
}

async function ask(id: string): Promise<void> {
  if (asked.has(id) || asked.size > MOST_STRAGGLERS) return;
  asked.add(id);
  try {
    first ??= get<Page<Link>>(`/v1/links?limit=${FIRST_PAGE}`).then(({ data }) => data.forEach(rememberLink));
    await first;
    if (!names.has(id)) rememberLink(await get<Link>(`/v1/links/${encodeURIComponent(id)}`));
  } catch {
    // The id itself is shown: a deleted link still has its history.
  }
}
