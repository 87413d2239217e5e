import { describe, expect, it } from 'vitest';
import type { Link } from '../api/types';
import { build, newRow, parse, type Condition, type Row } from './condition';
import { creation, edit, emptyForm, fieldsOf, formOf, newRule, newVariant, withUtm } from './form';
import { place } from './faults';

const ZONE = 'Europe/Berlin';
const link: Link = {
  id: 'lnk_1',
  slug: 'spring',
  domain: null,
  destination: 'https://shop.example/',
  short_url: 'http://127.0.0.1/spring',
  status_code: 302,
  title: null,
  tags: ['mail'],
  track_conversions: true,
  utm: { source: 'news' },
  forward_query: true,
  // seconds, which the form does not show
  starts_at: '2026-07-01T08:00:30Z',
  expires_at: null,
  max_clicks: null,
  daily_click_cap: 5,
  cap_timezone: 'UTC',
  fallback: null,
  password: true,
  rules: [{ if: { country: 'de' }, destination: 'https://de.example/' }],
  variants: [],
  sticky_days: 7,
  allocation: 'fixed',
  enabled: true,
  created_at: '2026-06-01T00:00:00Z',
  clicks: 0,
};
const row = (subject: string, over: Partial<Row> = {}): Row => ({ ...newRow(subject), ...over });

describe('a new link', () => {
  it('says the destination and what differs from the defaults', () => {
    const form = { ...emptyForm(), destination: ' https://a.example/ ' };
    expect(creation(form, ZONE)).toEqual({ body: { destination: 'https://a.example/' }, faults: [] });
  });

  it('says everything that was filled in, in the words of the API', () => {
    const form = { ...emptyForm(), destination: 'https://a.example/', slug: 'x', tags: 'a, b,, ' };
    form.utm.campaign = 'May';
    form.startsAt = '2026-07-01T10:00';
    form.maxClicks = '100';
    form.dedupe = '3600';
    form.capTimezone = ZONE;
    form.password = ' secret ';
    form.allocation = 'bandit';
    form.stickyDays = '0';
    form.variants = [
      { ...newVariant('a'), destination: 'https://v.example/' },
      { ...newVariant('b', '0'), destination: 'https://w.example/' },
    ];
    form.rules = [{ ...newRule([row('device', { chosen: ['mobile'] })]), destination: 'https://m.example/' }];
    expect(creation(form, ZONE).body).toEqual({
      destination: 'https://a.example/',
      slug: 'x',
      tags: ['a', 'b'],
      utm: { campaign: 'May' },
      starts_at: '2026-07-01T08:00:00Z',
      max_clicks: 100,
      dedupe_window_seconds: 3600,
      cap_timezone: ZONE,
      password: ' secret ',
      allocation: 'bandit',
      sticky_days: 0,
      variants: [
        { name: 'a', destination: 'https://v.example/', weight: 50 },
        { name: 'b', destination: 'https://w.example/', weight: 0 },
      ],
      rules: [{ if: { device: ['mobile'] }, destination: 'https://m.example/' }],
    });
  });

  it('is refused before it is sent where the API has no word for what was typed', () => {
    const form = { ...emptyForm(), destination: 'https://a.example/', maxClicks: '1.5', stickyDays: '' };
    form.variants = [newVariant('a', '')];
    form.rules = [
      newRule(),
      { ...newRule(), text: '{"country"' },
      newRule([row('query'), row('week'), row('country', { values: 'DE' })]),
    ];
    expect(creation(form, ZONE).faults.map(({ field }) => field)).toEqual([
      'max_clicks',
      'rules[0].if',
      'rules[1].if',
      'rules[2].if.query.',
      'rules[2].if.weekday',
      'variants[0].weight',
      'sticky_days',
    ]);
  });
});

describe('an edit', () => {
  it('of nothing sends nothing, though the form rounds and rewrites', () => {
    expect(edit(link, formOf(link, ZONE), ZONE)).toEqual({ body: {}, faults: [] });
  });

  it('sends what changed, and null for what was emptied', () => {
    const form = formOf(link, ZONE);
    Object.assign(form, { dailyCap: '', dedupe: '60', title: 'Spring', tags: '' });
    form.utm.source = '';
    expect(edit(link, form, ZONE).body).toEqual({
      daily_click_cap: null,
      dedupe_window_seconds: 60,
      title: 'Spring',
      tags: [],
      utm: {},
    });
  });

  it('sends the other end of the schedule as the link has it, to the second', () => {
    const form = { ...formOf(link, ZONE), expiresAt: '2026-12-24T18:00' };
    expect(edit(link, form, ZONE).body).toEqual({
      starts_at: '2026-07-01T08:00:30Z',
      expires_at: '2026-12-24T17:00:00Z',
    });
  });

  it('keeps, replaces or takes away the password', () => {
    const patch = (over: object) => edit(link, { ...formOf(link, ZONE), ...over }, ZONE).body;
    expect(patch({})).toEqual({});
    expect(patch({ password: 'new' })).toEqual({ password: 'new' });
    expect(patch({ dropPassword: true })).toEqual({ password: null });
    expect(patch({ dropPassword: true, password: 'new' })).toEqual({ password: 'new' });
  });
});

describe('conditions', () => {
  it.each<[Condition, number]>([
    [{ country: ['DE', 'AT'], device: ['mobile'] }, 2],
    [{ bot: false, returning: true }, 2],
    [{ weekday: ['mon', 'fri'], hours: ['09:00-17:30'], timezone: ZONE }, 1],
    [{ 'query.source': ['mail'], 'query.ref': true, referrer: false }, 3],
    [{ country: ['DE'], not: { city: ['Berlin'] } }, 2],
    [{ not: { city: ['Berlin'] }, all: [{ not: { os: ['iOS'] } }] }, 2],
    [{ any: [{ country: ['DE'] }, { not: { weekday: ['sun'] } }] }, 2],
    [{ after: '2026-11-01T00:00:00Z', before: '2026-11-02T00:00:30Z' }, 2],
    [{ country: ['DE'], all: [{ country: ['AT'] }] }, 2],
  ])('%j is %i rows and comes back the same', (condition, count) => {
    const read = parse(condition);
    expect(read?.rows).toHaveLength(count);
    expect(build(read?.rows ?? [], read?.any ?? false).condition).toEqual(condition);
  });

  it.each<Condition>([
    {},
    { not: { country: ['DE'], device: ['mobile'] } },
    { not: { not: { country: ['DE'] } } },
    { all: [{ any: [{ country: ['DE'] }] }] },
    { country: ['DE'], any: [{ os: ['iOS'] }] },
    { any: [{ country: ['DE'], os: ['iOS'] }] },
    { city: ['Washington, D.C.'] },
    { device: ['toaster'] },
    { country: [] },
    { later: true },
  ])('%j stays text', (condition) => {
    expect(parse(condition)).toBeNull();
    const form = formOf({ ...link, rules: [{ if: condition, destination: 'https://x.example/' }] }, ZONE);
    const rule = form.rules[0];
    expect(JSON.parse(rule?.text ?? '')).toEqual(condition);
    expect(
      edit({ ...link, rules: [{ if: condition, destination: 'https://x.example/' }] }, form, ZONE),
    ).toEqual({
      body: {},
      faults: [],
    });
  });

  it('understands other spellings of the same', () => {
    expect(parse({ device: 'Mobile' })?.rows[0]?.chosen).toEqual(['mobile']);
    expect(parse({ query: { source: ['mail'] } })?.rows[0]).toMatchObject({ name: 'source', values: 'mail' });
    expect(parse({ weekday: ['Monday'] })?.rows[0]?.chosen).toEqual(['mon']);
  });
});

describe('faults', () => {
  it('find the inputs that the engine names', () => {
    const form = emptyForm();
    form.rules = [
      newRule([
        row('country', { values: 'XX' }),
        row('country', { values: 'YY' }),
        row('device', { wanted: false, chosen: ['tv'] }),
        row('week', { chosen: ['mon'], timezone: 'Mars' }),
      ]),
      { ...newRule([row('os', { values: '', wanted: false }), row('query', { name: 'q' })]), any: true },
      { ...newRule(), text: '{"all":[{"later":true}]}' },
    ];
    form.variants = [newVariant('')];
    const fields = [
      'rules[0].if.country',
      'rules[0].if.all[0].country',
      'rules[0].if.not.device',
      'rules[0].if.timezone',
      'rules[0].destination',
      'rules[1].if.any[0].not.os',
      'rules[1].if.any[1].query.q',
      'variants[0].name',
      '/utm/source',
    ];
    const placed = place(
      fields.map((field) => ({ field, detail: 'is wrong' })),
      fieldsOf(form),
    );
    expect(placed.stray).toEqual([]);
    expect(placed.at).toEqual(
      Object.fromEntries(fields.map((field) => [field.replace('/utm/', 'utm.'), 'is wrong'])),
    );
  });

  it('say where inside an input they are, and stay readable where there is none', () => {
    const faults = [
      { field: 'tags[1]', detail: 'must have 1 to 64 bytes' },
      { field: 'rules[0].if.all[0].later', detail: 'unknown condition' },
      { field: 'rules', detail: 'holds more than 50 rules' },
      { field: 'nonsense', detail: 'unknown field' },
    ];
    expect(place(faults, ['tags', 'rules', 'rules[0].if'])).toEqual({
      at: {
        tags: 'number 2 must have 1 to 64 bytes',
        'rules[0].if': 'all[0].later: unknown condition',
        rules: 'holds more than 50 rules',
      },
      stray: ['nonsense: unknown field'],
    });
  });
});

describe('the UTM builder', () => {
  it('replaces parameters of the same name and keeps the rest', () => {
    const utm = { source: 'a b', medium: '', campaign: 'c', term: '', content: '' };
    expect(withUtm('https://a.example/p?id=1&utm_source=old#top', utm)).toBe(
      'https://a.example/p?id=1&utm_source=a%20b&utm_campaign=c#top',
    );
    expect(withUtm('https://a.example/#x', { ...utm, source: '', campaign: '' })).toBe(
      'https://a.example/#x',
    );
  });
});
