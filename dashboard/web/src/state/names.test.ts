import { afterEach, expect, it, vi } from 'vitest';

const asked: string[] = [];
const answers: Record<string, unknown> = {
  '/v1/conversions?limit=200': { data: [{ id: 'cnv_1', order_id: 'F-1', event: 'sale' }] },
  '/v1/conversions/cnv_2': { id: 'cnv_2', order_id: null, event: 'lead' },
  '/v1/payouts?limit=200': { data: [] },
  '/v1/payouts/pay_1': { id: 'pay_1', totals: [{ amount: 1234, currency: 'USD' }], data: [] },
  '/v1/commissions?limit=200': {
    data: [{ id: 'com_1', order_id: null, amount: { amount: 500, currency: 'EUR' } }],
  },
  '/v1/links?limit=200': { data: [{ id: 'lnk_1', slug: '_root', domain: 'go.example' }] },
};
vi.mock('../api/client', () => ({
  get: (path: string) => {
    asked.push(path);
    return path in answers ? Promise.resolve(answers[path]) : Promise.reject(new Error('404'));
  },
}));
const session = vi.hoisted(() => ({ now: { role: 'admin' } }));
vi.mock('./session.svelte', () => ({ session }));

const { nameOf, placeOf } = await import('./names.svelte');
const named = async (id: string) => {
  nameOf(id);
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(0));
  await new Promise((settle) => setTimeout(settle));
  return nameOf(id);
};

afterEach(() => {
  asked.length = 0;
  session.now.role = 'admin';
});

it('calls things what people call them, and asks for a list once', async () => {
  expect(nameOf('cnv_1'), 'on its way').toBe('…');
  expect(await named('cnv_1')).toBe('F-1');
  expect(asked).toEqual(['/v1/conversions?limit=200']);
  expect(await named('cnv_2')).toBe('Lead');
  expect(asked).toEqual(['/v1/conversions?limit=200', '/v1/conversions/cnv_2']);
  expect(await named('pay_1')).toBe('Batch of $12.34');
  expect(await named('lnk_1')).toBe('go.example/');
});

it('leaves the id of what was deleted, and of what has no name, and asks no more', async () => {
  expect(await named('lnk_gone')).toBe('lnk_gone');
  asked.length = 0;
  nameOf('lnk_gone');
  nameOf('clk_1');
  nameOf('u42');
  await new Promise((settle) => setTimeout(settle));
  expect(asked).toEqual([]);
});

it('asks nothing that a partner may not see, and links them to links alone', async () => {
  session.now.role = 'partner';
  expect(nameOf('cnv_3')).toBe('cnv_3');
  expect(await named('com_1')).toBe('Commission of €5.00');
  expect(asked).toEqual(['/v1/commissions?limit=200']);
  expect([placeOf('lnk_1'), placeOf('pay_1'), placeOf('nothing')]).toEqual([
    '/links/lnk_1',
    undefined,
    undefined,
  ]);
});
