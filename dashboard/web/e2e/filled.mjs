// A workspace with something on every page: what the pictures and measurements are taken of.

const usd = (amount) => ({ amount, currency: 'USD' });

const MONTH_MS = 30 * 86_400_000;
const MONTHS = 7;
/** Customers who come each month, and one in how many of them buys again the next. */
const NEW_EACH_MONTH = 6;
const STAYS = 0.72;

/** What was sold in the months before, as a shop tells it that comes with a past: reports have something to compare. */
async function earlier(post) {
  for (let month = MONTHS; month > 0; month--) {
    for (let who = 0; who < NEW_EACH_MONTH; who++) {
      const customer_id = `past-${month}-${who}`;
      // Fewer of them with every month, the same ones each time.
      const stays = Math.floor((who + 1) / NEW_EACH_MONTH / (1 - STAYS)) + 1;
      for (let later = 0; later < Math.min(stays, month); later++) {
        await post('/v1/conversions', {
          event: later === 0 ? 'sale' : 'renewal',
          order_id: `P-${month}-${who}-${later}`,
          customer_id,
          amount: usd(1_900 + who * 400 + later * 50),
          occurred_at: new Date(Date.now() - (month - later) * MONTH_MS + who * 86_400_000).toISOString(),
          ...(who % 2 === 0 ? { subscription_id: `past-${month}-${who}`, properties: { months: 1 } } : {}),
        });
      }
    }
  }
}

/** @returns the address of every page by name, those of the portal, its key, and a share link */
export async function fill({ api, visit, engine }) {
  const post = (path, body) => api('POST', path, body);
  const program = await post('/v1/programs', {
    name: 'Affiliates',
    commission: {
      base: { bp: 1000 },
      tiers: [{ name: 'Silver', bp: 1500, from: { orders: 2 } }],
    },
    platform_fee_bp: 2000,
    hold_days: 0,
    min_payout: usd(500),
    milestones: [
      {
        name: 'First ten',
        target: { orders: 10 },
        per: 'month',
        scope: 'partner',
        bonus: usd(5_000),
      },
      { name: 'First sale', target: { orders: 1 }, per: 'program', scope: 'partner' },
    ],
  });
  const partners = [];
  for (const [name, code] of [
    ['Anna Lindgren', 'ANNA'],
    ['Ben Carter', 'BEN'],
    ['Chloé Martin', 'CHLOE'],
  ]) {
    const partner = await post('/v1/partners', {
      name,
      code,
      email: `${code.toLowerCase()}@example.com`,
      coupons: [`${code}10`],
      program_id: program.id,
    });
    partners.push(partner);
    await post('/v1/links', {
      destination: 'https://shop.example/spring',
      slug: `with-${code.toLowerCase()}`,
      title: `${name}’s channel`,
      partner_id: partner.id,
      program_id: program.id,
    });
  }
  await post('/v1/partners', { name: 'Dana Ito', code: 'DANA', status: 'pending', program_id: program.id });
  const split = await post('/v1/links', {
    destination: 'https://shop.example/',
    slug: 'split-test',
    title: 'Headline test',
    tags: ['mail', 'spring'],
    utm: { source: 'news', campaign: 'spring' },
    max_clicks: 100_000,
    daily_click_cap: 5_000,
    cap_timezone: 'Europe/Berlin',
    fallback: 'https://shop.example/over',
    allocation: 'bandit',
    rules: [
      {
        if: {
          country: ['CH', 'AT'],
          weekday: ['mon', 'fri'],
          hours: ['09:00-17:30'],
          not: { device: ['tv'] },
        },
        destination: 'https://ch.shop.example/',
      },
      { if: { any: [{ all: [{ bot: true }, { os: ['iOS'] }] }] }, destination: 'https://m.shop.example/' },
    ],
    variants: ['control', 'bold'].map((name) => ({
      name,
      destination: `https://shop.example/${name}`,
      weight: 50,
    })),
  });
  const addresses = ['81.2.69.142', '89.160.20.112', '2.125.160.216', '175.16.199.1', '203.0.113.9'];
  for (let at = 0; at < 30; at++) {
    const headers = { 'X-Forwarded-For': addresses[at % addresses.length] };
    const slug = ['split-test', 'with-anna', 'with-ben', 'with-chloe'][at % 4];
    const wclid = (await visit(slug, headers)).searchParams.get('wclid');
    if (at % 3 !== 0) continue;
    await post('/v1/conversions', {
      event: at === 27 ? 'lead' : 'sale',
      order_id: `F-${1000 + at}`,
      wclid,
      customer_id: `u${at % 4}`,
      customer: { name: 'Ada Example', email: `u${at % 4}@example.com` },
      ...(at === 27 ? {} : { amount: usd(4_900 + at * 130) }),
      ...(at % 6 === 0 ? { subscription_id: `sub-${at}`, properties: { plan: 'pro', months: 1 } } : {}),
    });
  }
  await earlier(post);
  await post('/v1/refunds', { order_id: 'F-1003', amount: usd(1_000), reason: 'refund', refund_id: 'R-1' });
  await post('/v1/links', {
    domain: 'go.shop.example',
    slug: '_root',
    destination: 'https://shop.example/',
    track_conversions: false,
  });
  const hook = await post('/v1/webhook-endpoints', {
    provider: 'stripe',
    secrets: ['whsec_of_the_pictures'],
  });
  const outbound = await post('/v1/outbound-endpoints', {
    url: 'https://hooks.example/weir',
    description: 'CRM',
    events: ['conversion.created', 'payout.paid'],
  });
  await post('/v1/postback-tokens', { name: 'Acme network', network: 'acme' });
  await post('/v1/fulfilments', {
    destination: 'https://files.example/book.pdf',
    product: 'book',
    expires_days: 7,
    max_uses: 5,
  });
  await post('/v1/sites', { name: 'Shop', origins: ['https://shop.example'] });
  await post('/v1/blocklist', { pattern: 'evil.example', reason: 'phishing' });
  await api('PUT', '/v1/fx-rates', {
    base: 'EUR',
    source: 'ECB',
    rates: [{ date: '2026-11-20', currency: 'USD', rate: '1.0856' }],
  });
  const alert = await post('/v1/alerts', {
    name: 'Hardly any clicks',
    kind: 'threshold',
    metric: 'clicks',
    comparison: 'lt',
    threshold: 5,
    window_seconds: 300,
    for_seconds: 0,
  });
  const saved = await post('/v1/saved-queries', {
    name: 'Clicks by country',
    query: { metrics: ['clicks', 'visitors'], dimensions: ['country'], date_range: '7d' },
  });
  const share = await post('/v1/shares', { saved_query_id: saved.id, name: 'Clicks by country' });
  await post('/v1/keys', { name: 'Wall screen', role: 'viewer' });
  const batch = await post('/v1/payouts', { partner_id: partners[0].id, currency: 'USD' });
  const key = await post('/v1/keys', { name: 'Portal of Anna', role: 'partner', partner_id: partners[0].id });
  const [conversion] = (await api('GET', '/v1/conversions?limit=1&order_id=F-1003')).data;
  const partner = partners[0].id;
  return {
    shared: share.url.replace(/^https?:\/\/[^/]+/, engine.admin),
    portalKey: key.key,
    pages: {
      map: '/map?range=24h',
      'map-heat': '/map?range=24h&map=heat',
      pages: '/pages',
      alerts: '/alerts',
      alert: `/alerts/${alert.id}`,
      links: '/links',
      'link-new': '/links/new',
      'link-edit': `/links/${split.id}/edit`,
      link: `/links/${split.id}?range=24h`,
      sites: '/sites',
      funnels: '/reports/funnels?range=24h',
      retention: '/reports/retention?range=24h&period=day',
      cohorts: '/reports/cohorts?range=12mo',
      subscriptions: '/reports/subscriptions?range=12mo',
      segments: '/reports/segments?range=12mo',
      experiments: '/reports/experiments?range=24h',
      attribution: '/reports/attribution?range=24h',
      anomalies: '/reports/anomalies?range=24h',
      saved: '/saved',
      'saved-one': `/saved/${saved.id}`,
      conversions: '/conversions',
      conversion: `/conversions/${conversion.id}`,
      customers: '/customers',
      customer: '/customers/u0',
      partners: '/partners',
      partner: `/partners/${partner}`,
      'partner-links': `/partners/${partner}?tab=links`,
      'partner-commissions': `/partners/${partner}?tab=commissions`,
      'partner-balance': `/partners/${partner}?tab=balance`,
      'partner-statements': `/partners/${partner}?tab=statements`,
      programs: '/programs',
      'program-new': '/programs/new',
      program: `/programs/${program.id}`,
      'program-edit': `/programs/${program.id}/edit`,
      milestones: '/milestones',
      commissions: '/commissions',
      payouts: '/payouts',
      payout: `/payouts/${batch.data?.[0]?.id ?? batch.id}`,
      connections: '/connections',
      webhook: `/webhooks/${hook.id}`,
      outbound: `/outbound/${outbound.id}`,
      health: '/health',
      audit: '/audit',
      workspaces: '/workspaces',
      settings: '/settings',
      'settings-team': '/settings?tab=team',
      'settings-domains': '/settings?tab=domains',
      'settings-rates': '/settings?tab=rates',
      'settings-privacy': '/settings?tab=privacy',
      'settings-blocklist': '/settings?tab=blocklist',
      // The last: by then there is something to see.
      overview: '/?range=1h',
    },
    portal: {
      'portal-overview': '/?range=24h',
      'portal-links': '/links',
      'portal-milestones': '/milestones',
      'portal-commissions': '/commissions',
      'portal-balance': '/balance',
      'portal-payouts': '/payouts',
      'portal-statements': '/statements',
      'portal-statement': `/statements?month=${new Date().toISOString().slice(0, 7)}`,
    },
  };
}
