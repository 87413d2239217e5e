// Every page of the app: its address, its name, where the navigation lists it, who sees it, and the chunk
// that draws it. A new page is one entry here; the shell, the command palette and the browser tests read this
// list.

import type { Component } from 'svelte';
import Overview from './pages/Overview.svelte';

/** The groups of the navigation, in their order. */
export const groups = {
  watch: 'Watch',
  links: 'Links',
  reports: 'Reports',
  customers: 'Customers',
  programs: 'Programs',
  connections: 'Connections',
  workspace: 'Workspace',
} as const;
export type Group = keyof typeof groups;

export type Role = 'admin' | 'editor' | 'viewer' | 'partner';
/** Who sees a place that says nothing of it: the people who run the workspace, not its partners. */
const OPERATORS: readonly Role[] = ['admin', 'editor', 'viewer'];

export type PageComponent = Component<{ id: string }>;

export interface Place {
  /** `/links/:id`; what stands for `:id` is handed to the page */
  path: string;
  title: string;
  load: () => Promise<{ default: unknown }>;
  /** without one it is reached from another page only */
  group?: Group;
  /** the path of a line drawing on 20 × 20 */
  icon?: string;
  roles?: readonly Role[];
  /** it shows the view's filters, so they go along when it is opened */
  filtered?: boolean;
  /** other words that the command palette finds it by */
  words?: string;
}

/** What a partner's key opens: the same app with pages of their own numbers. */
const portal: Place[] = [
  {
    path: '/',
    title: 'Overview',
    group: 'watch',
    icon: 'M3 16V9m4.7 7V4m4.6 12v-5M17 16V7',
    roles: ['partner'],
    load: () => import('./pages/PortalHome.svelte'),
  },
  {
    path: '/links',
    title: 'Links',
    group: 'watch',
    icon: 'M8 12l4-4m-5.5 1.5l-2 2a2.8 2.8 0 0 0 4 4l2-2m3-3l2-2a2.8 2.8 0 0 0-4-4l-2 2',
    roles: ['partner'],
    load: () => import('./pages/PortalLinks.svelte'),
  },
  { path: '/links/:id', title: 'Link', roles: ['partner'], load: () => import('./pages/LinkDetail.svelte') },
  {
    path: '/commissions',
    title: 'Commissions',
    group: 'programs',
    icon: 'M15 5L5 15M6.5 8a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3m7 7a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3',
    roles: ['partner'],
    load: () => import('./pages/Commissions.svelte'),
  },
  {
    path: '/balance',
    title: 'Balance',
    group: 'programs',
    icon: 'M3 5h14v10H3zM3 8.5h14M6 12h3',
    roles: ['partner'],
    load: () => import('./pages/PortalBalance.svelte'),
  },
  {
    path: '/statements',
    title: 'Statements',
    group: 'programs',
    icon: 'M5 3h10v14l-2.500-1.500L10 17l-2.500-1.500L5 17zM7.500 7h5M7.500 10.500h5',
    words: 'months csv print tax',
    roles: ['partner'],
    load: () => import('./pages/PortalStatements.svelte'),
  },
  {
    path: '/payouts',
    title: 'Payouts',
    group: 'programs',
    icon: 'M3 5.5h14v9H3zM10 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4',
    roles: ['partner'],
    load: () => import('./pages/Payouts.svelte'),
  },
];

/** In the order of the navigation. Of two that match an address, the first that the role may see is shown. */
export const places: Place[] = [
  {
    path: '/',
    title: 'Overview',
    group: 'watch',
    icon: 'M3 16V9m4.7 7V4m4.6 12v-5M17 16V7',
    words: 'home dashboard clicks revenue live',
    filtered: true,
    load: () => Promise.resolve({ default: Overview }),
  },
  {
    path: '/map',
    title: 'Map',
    group: 'watch',
    icon: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM3.3 8h13.4M3.3 12h13.4M10 3c-2.4 2-3.4 4.300-3.400 7s1 5 3.400 7c2.400-2 3.400-4.300 3.400-7s-1-5-3.400-7z',
    words: 'live geo countries world heat',
    filtered: true,
    load: () => import('./maps/Map.svelte'),
  },
  {
    path: '/pages',
    title: 'Page heat map',
    group: 'watch',
    icon: 'M3.5 3.5h13v13h-13zM7 7.500h.1M10.500 8.500h.1M8.500 11h.1M12.500 12.500h.1',
    words: 'clicks elements grid site x y',
    filtered: true,
    load: () => import('./pages/PageHeat.svelte'),
  },
  {
    path: '/alerts',
    title: 'Alerts',
    group: 'watch',
    icon: 'M10 3a4.500 4.500 0 0 0-4.500 4.500c0 4-2 5-2 6.500h13c0-1.500-2-2.500-2-6.500A4.500 4.500 0 0 0 10 3zM8.500 16.500h3',
    words: 'rules threshold drop anomaly notify',
    filtered: true,
    load: () => import('./pages/workspace/Alerts.svelte'),
  },
  { path: '/alerts/:id', title: 'Alert', load: () => import('./pages/workspace/AlertDetail.svelte') },
  {
    path: '/links',
    title: 'Links',
    group: 'links',
    icon: 'M8.2 11.8a3 3 0 0 0 4.3 0l3.2-3.2a3 3 0 0 0-4.3-4.3l-1.2 1.2m1.6 2.7a3 3 0 0 0-4.3 0l-3.2 3.2a3 3 0 0 0 4.3 4.3l1.2-1.2',
    words: 'slug redirect short url',
    load: () => import('./pages/Links.svelte'),
  },
  {
    path: '/links/new',
    title: 'New link',
    roles: ['admin', 'editor'],
    words: 'create',
    load: () => import('./pages/LinkEditor.svelte'),
  },
  { path: '/links/:id/edit', title: 'Edit link', load: () => import('./pages/LinkEditor.svelte') },
  { path: '/links/:id', title: 'Link', load: () => import('./pages/LinkDetail.svelte') },
  {
    path: '/sites',
    title: 'Sites',
    group: 'links',
    icon: 'M3 4.5h14v11H3zM3 8h14M5.5 6.3h.1M8 6.3h.1',
    words: 'snippet events page views weir.js',
    load: () => import('./pages/Sites.svelte'),
  },
  {
    path: '/reports/funnels',
    title: 'Funnels',
    group: 'reports',
    icon: 'M3 4.5h14l-5.3 6.4v5.2l-3.4-1.8v-3.4z',
    words: 'steps drop off conversion',
    filtered: true,
    load: () => import('./pages/reports/Funnel.svelte'),
  },
  {
    path: '/reports/retention',
    title: 'Retention',
    group: 'reports',
    icon: 'M16 10a6 6 0 1 1-1.8-4.3M14.5 2.8v3.4h-3.4',
    words: 'come back cohort',
    filtered: true,
    load: () => import('./pages/reports/Retention.svelte'),
  },
  {
    path: '/reports/cohorts',
    title: 'Cohorts',
    group: 'reports',
    icon: 'M3.5 4h13M3.5 8h9.5M3.5 12h6M3.5 16h3',
    words: 'ltv lifetime value revenue',
    filtered: true,
    load: () => import('./pages/reports/Cohorts.svelte'),
  },
  {
    path: '/reports/subscriptions',
    title: 'Subscriptions',
    group: 'reports',
    icon: 'M3.5 14.5l4-4.5 3 2.5 6-7M12.5 5.5h4v4',
    words: 'mrr churn arpu recurring revenue',
    filtered: true,
    load: () => import('./pages/reports/Subscriptions.svelte'),
  },
  {
    path: '/reports/segments',
    title: 'Customer segments',
    group: 'reports',
    icon: 'M3.5 3.5h5.5v5.5H3.5zM11 3.5h5.5v5.5H11zM3.5 11h5.5v5.5H3.5zM11 11h5.5v5.5H11z',
    words: 'rfm champions lost',
    filtered: true,
    load: () => import('./pages/reports/Segments.svelte'),
  },
  {
    path: '/reports/experiments',
    title: 'Experiments',
    group: 'reports',
    icon: 'M7.5 3h5M8.5 3v5L4 15.2a1.2 1.2 0 0 0 1 1.8h10a1.2 1.2 0 0 0 1-1.8L11.5 8V3',
    words: 'ab test variants split significance',
    filtered: true,
    load: () => import('./pages/reports/Experiments.svelte'),
  },
  {
    path: '/reports/attribution',
    title: 'Attribution',
    group: 'reports',
    icon: 'M5 14.5a2 2 0 1 0 0-.1M15 5.5a2 2 0 1 0 0-.1M6.5 13l7-6',
    words: 'models paths markov shapley credit',
    filtered: true,
    load: () => import('./pages/reports/Attribution.svelte'),
  },
  {
    path: '/reports/anomalies',
    title: 'Anomalies',
    group: 'reports',
    icon: 'M2.500 12h4l2-7.500 3 11 2-6 1 2.500h2.500',
    words: 'unusual hours outliers spikes drops',
    filtered: true,
    load: () => import('./pages/reports/Anomalies.svelte'),
  },
  {
    path: '/conversions',
    title: 'Conversions',
    group: 'customers',
    icon: 'M3.5 10.5l4 4 9-9',
    words: 'sales leads orders attribution',
    load: () => import('./pages/Conversions.svelte'),
  },
  { path: '/conversions/:id', title: 'Conversion', load: () => import('./pages/ConversionDetail.svelte') },
  {
    path: '/saved',
    title: 'Saved queries',
    group: 'reports',
    icon: 'M5.500 3.500h9v13l-4.500-3.300-4.500 3.300z',
    words: 'share links',
    load: () => import('./pages/workspace/Saved.svelte'),
  },
  { path: '/saved/:id', title: 'Saved query', load: () => import('./pages/workspace/SavedOne.svelte') },
  {
    path: '/health',
    title: 'Health',
    group: 'workspace',
    icon: 'M2.500 10.500h3.500l2-5.500 3.500 10 2-4.500h4',
    roles: ['admin'],
    words: 'followers watermarks lag drops dead letters admin machine',
    load: () => import('./pages/workspace/Health.svelte'),
  },
  {
    path: '/audit',
    title: 'Audit log',
    group: 'workspace',
    icon: 'M5 3h7l3.500 3.500V17H5zM8 9h5M8 12h5',
    roles: ['admin'],
    words: 'who changed what history admin',
    load: () => import('./pages/workspace/Audit.svelte'),
  },
  {
    path: '/workspaces',
    title: 'Workspaces',
    group: 'workspace',
    icon: 'M3.500 7h13v9.500h-13zM7 7V3.500h6V7',
    roles: ['admin'],
    words: 'tenants currency timezone name admin',
    load: () => import('./pages/workspace/Workspaces.svelte'),
  },
  {
    path: '/customers',
    title: 'Customers',
    group: 'customers',
    icon: 'M10 9.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4M4 17a6 6 0 0 1 12 0',
    words: 'people lifetime value erase merge wallet',
    load: () => import('./pages/Customers.svelte'),
  },
  { path: '/customers/:id', title: 'Customer', load: () => import('./pages/CustomerDetail.svelte') },
  {
    path: '/partners',
    title: 'Partners',
    group: 'programs',
    icon: 'M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2.5 16.5a5 5 0 0 1 10 0M13 4a3 3 0 0 1 0 5.2m1.5 2.3a5 5 0 0 1 3 5',
    words: 'affiliates influencers codes coupons portal',
    load: () => import('./pages/Partners.svelte'),
  },
  { path: '/partners/:id', title: 'Partner', load: () => import('./pages/PartnerDetail.svelte') },
  {
    path: '/programs',
    title: 'Programs',
    group: 'programs',
    icon: 'M4 3.5h9l3 3v10H4zM7 9h6M7 12.5h6',
    words: 'terms tiers commission cashback referral',
    load: () => import('./pages/Programs.svelte'),
  },
  { path: '/programs/new', title: 'New program', load: () => import('./pages/ProgramEditor.svelte') },
  { path: '/programs/:id/edit', title: 'Edit program', load: () => import('./pages/ProgramEditor.svelte') },
  { path: '/programs/:id', title: 'Program', load: () => import('./pages/ProgramDetail.svelte') },
  {
    path: '/milestones',
    title: 'Milestones',
    group: 'programs',
    icon: 'M5 17V3.5m0 .5h9l-2 3 2 3H5',
    roles: [...OPERATORS, 'partner'],
    words: 'targets goals bonus progress reached',
    load: () => import('./pages/Milestones.svelte'),
  },
  {
    path: '/commissions',
    title: 'Commissions',
    group: 'programs',
    icon: 'M15 5L5 15M6.5 8a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3m7 7a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3',
    words: 'earned approve hold reject',
    load: () => import('./pages/Commissions.svelte'),
  },
  {
    path: '/payouts',
    title: 'Payouts',
    group: 'programs',
    icon: 'M3 5.5h14v9H3zM10 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4',
    words: 'pay due batch csv bank paypal wise',
    load: () => import('./pages/Payouts.svelte'),
  },
  { path: '/payouts/:id', title: 'Payout', load: () => import('./pages/PayoutDetail.svelte') },
  {
    path: '/connections',
    title: 'Connections',
    group: 'connections',
    icon: 'M7 3v4m6-4v4M5 7h10v3a5 5 0 0 1-10 0zm5 8v3',
    words: 'webhooks deliveries outbound postback tokens providers stripe paypal',
    load: () => import('./pages/Connections.svelte'),
  },
  { path: '/webhooks/:id', title: 'Webhook', load: () => import('./pages/WebhookDetail.svelte') },
  { path: '/outbound/:id', title: 'Outbound webhook', load: () => import('./pages/OutboundDetail.svelte') },
  {
    path: '/settings',
    title: 'Settings',
    group: 'workspace',
    icon: 'M3 6h8m4 0h2M3 14h2m4 0h8M13 4v4M7 12v4',
    words: 'keys team people users invite exchange rates privacy erase retention blocklist domains sign out',
    load: () => import('./pages/settings/Settings.svelte'),
  },
  ...portal,
];

export interface Found {
  place: Place;
  id: string;
}

function segments(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '' && segment !== 'index.html');
}

/** What stands for the place's `:id`; null where the address is another's. */
function match(place: Place, path: string[]): string | null {
  const wanted = segments(place.path);
  if (wanted.length !== path.length) return null;
  let id = '';
  for (const [at, segment] of wanted.entries()) {
    const found = path[at] ?? '';
    if (segment === ':id') id = decode(found);
    else if (segment !== found) return null;
  }
  return id;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export function placesFor(role: string, all: Place[] = places): Place[] {
  return all.filter(({ roles = OPERATORS }) => (roles as readonly string[]).includes(role));
}

export function placeAt(path: string, role: string, all: Place[] = places): Found | null {
  const asked = segments(path);
  for (const place of placesFor(role, all)) {
    const id = match(place, asked);
    if (id !== null) return { place, id };
  }
  return null;
}

/** Whether the navigation's entry is the page shown, or the page shown belongs to it. */
export function isWithin(entry: Place, path: string): boolean {
  const [wanted, asked] = [segments(entry.path), segments(path)];
  if (wanted.length === 0) return asked.length === 0;
  return wanted.every((segment, at) => segment === asked[at]);
}
