// The pages about money in headless Chromium against a real engine: a program and a partner by form, sales that
// earn, what is decided about them, a payout from preview to paid, customers, connections, and the portal that a
// partner's own key opens. The tests run in order and share one page.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { accessibility, eventually, openPage, picture, startBrowser } from './browser.mjs';
import { Engine } from './engine.mjs';

const AGENT =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) ' +
  'Chrome/142.0.0.0 Safari/537.36';
const SECRET = 'whsec_browser_test_secret';
const made = {};

let engine;
let browser;
let context;
let page;
let complaints;
let dialog;

before(async () => {
  engine = await Engine.start({ WEIR_OUTBOUND_ALLOW_PRIVATE: 'true' });
  browser = await startBrowser();
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  ({ page, complaints } = await openPage(context, engine.admin));
  await signIn(page, engine.key);
  dialog = page.getByRole('dialog');
});

after(async () => {
  await browser?.close();
  await engine?.remove();
});

async function signIn(on, key) {
  await on.goto(engine.admin);
  await on.getByLabel('Admin key').fill(key);
  await on.getByRole('button', { name: 'Sign in' }).click();
  await on.getByRole('navigation', { name: 'Main' }).waitFor();
}

async function ask(method, path, body, key = engine.key) {
  return fetch(engine.admin + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    body: body ? JSON.stringify(body) : undefined,
  });
}

async function api(method, path, body) {
  const answer = await ask(method, path, body);
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path} answered ${answer.status}: ${text}`);
  return text === '' ? null : JSON.parse(text);
}

const usd = (amount) => ({ amount, currency: 'USD' });
const open = (path) => page.goto(engine.admin + path);
const button = (name, on = page) => on.getByRole('button', { name, exact: true });
const box = (name, on = page) => on.getByRole('textbox', { name });
const region = (name, on = page) => on.getByRole('region', { name, exact: true });
const row = (name, on = page) => on.getByRole('row', { name });
const isFine = async (on = page) => assert.deepEqual(await accessibility(on), []);

/** A visit of a link; @returns its click token */
async function visit(slug) {
  const options = { redirect: 'manual', headers: { 'User-Agent': AGENT } };
  const answer = await fetch(`${engine.public}/${slug}`, options);
  return new URL(answer.headers.get('location')).searchParams.get('wclid');
}

test('an empty list says what to do first', async () => {
  for (const [path, words] of [
    ['/programs', 'No program yet'],
    ['/partners', 'No partner yet'],
    ['/commissions', 'Nothing earned yet'],
    ['/payouts', 'Nothing is due'],
    ['/conversions', 'No conversion yet'],
    ['/customers', 'No customer yet'],
    ['/connections', 'None yet'],
  ]) {
    await open(path);
    await page.getByText(words).first().waitFor();
    await isFine();
  }
});

test('a program is made: what is wrong stands at its field, tiers are rows', async () => {
  await open('/programs');
  await page.getByRole('link', { name: 'New program' }).click();
  await button('Create program').click();
  await page.locator('input[name=name][aria-invalid=true]').waitFor();
  await isFine();

  await box('Name').fill('Affiliates');
  await box('Base commission', page).first().fill('10');
  await button('Add tier').click();
  const tier = page.getByRole('group', { name: 'tier 1' });
  await box('Name', tier).fill('Silver');
  await box('Pays', tier).first().fill('150');
  await box('From', tier).first().fill('1');
  await box('Hold').fill('0');
  await box('Minimum payout').first().fill('5');
  await button('Create program').click();
  // The engine's complaint about 150 % stands beside the tier's rate.
  await tier.getByText('basis points from 0 to 10000').waitFor();
  await isFine();
  await box('Pays', tier).first().fill('12.5');
  await button('Create program').click();
  await page.getByRole('heading', { name: 'Affiliates' }).waitFor();
  made.program = new URL(page.url()).pathname.split('/').pop();
  const program = await api('GET', `/v1/programs/${made.program}`);
  assert.deepEqual(program.commission.tiers, [{ name: 'Silver', bp: 1250, from: { orders: 1 } }]);
  assert.deepEqual([program.commission.base, program.min_payout], [{ bp: 1000 }, usd(500)]);
});

test('an edit is a new version, which says what it changed', async () => {
  await page.getByRole('link', { name: 'Edit' }).click();
  await box('Platform fee').fill('20');
  await button('Save as a new version').click();
  const versions = region('Versions');
  await versions.getByText('Platform fee: none → 20%').waitFor();
  await isFine();
  const { version, platform_fee_bp, commission } = await api('GET', `/v1/programs/${made.program}`);
  assert.deepEqual([version, platform_fee_bp, commission.base], [2, 2000, { bp: 1000 }]);
});

test('a partner signs up, is approved, and is found by search and state', async () => {
  await open('/partners');
  await button('New partner').click();
  await box('Name', dialog).fill('Anna Lindgren');
  await box('Mail address', dialog).fill('nonsense');
  await box('Code', dialog).fill('ANNA');
  await box('Coupons', dialog).fill('ANNA10, ANNA20');
  await dialog.getByLabel('Program').selectOption({ label: 'Affiliates' });
  await dialog.getByLabel('State').selectOption('pending');
  await button('Create partner', dialog).click();
  await dialog.getByText('must be a mail address').waitFor();
  await isFine();
  await box('Mail address', dialog).fill('anna@example.com');
  await button('Create partner', dialog).click();
  await row(/Anna Lindgren/).waitFor();
  await button('Approve Anna Lindgren').click();
  await button('Suspend Anna Lindgren').waitFor();

  await page.getByLabel('State').selectOption('pending');
  await page.getByText('Nothing matches').waitFor();
  await button('Show all').click();
  await page.getByLabel('Search names and codes').fill('lindg');
  await page.waitForURL(/search=lindg/);
  await row(/Anna Lindgren/).waitFor();
  await isFine();
  const { data } = await api('GET', '/v1/partners?status=approved');
  assert.deepEqual([data.length, data[0].coupons], [1, ['ANNA10', 'ANNA20']]);
  made.partner = data[0].id;
});

test('a sale through the partner’s link appears by itself, is held with a reason and released', async () => {
  await api('POST', '/v1/links', {
    destination: 'https://shop.example/',
    slug: 'anna',
    partner_id: made.partner,
    program_id: made.program,
  });
  await open('/commissions');
  await page.waitForSelector('[data-live=live]');
  for (const [order, amount] of [
    ['A-1', 10_000],
    ['A-2', 20_000],
  ]) {
    const wclid = await visit('anna');
    await api('POST', '/v1/conversions', {
      event: 'sale',
      order_id: order,
      wclid,
      customer_id: 'u1',
      customer: { email: 'u1@example.com', name: 'Ulla Ek' },
      amount: usd(amount),
    });
  }
  // 10 % of 100.00 and, with one order already there, 12.5 % of 200.00; of both 20 % are the platform's.
  await row(/A-1.*\$8\.00.*approved/).waitFor();
  await row(/A-2.*Silver.*\$20\.00.*approved/).waitFor();
  await row(/A-1/).getByRole('button', { name: 'Hold' }).click();
  await button('Hold', dialog).click();
  await dialog.locator('textarea[aria-invalid=true]').waitFor();
  await dialog.getByLabel('Reason').fill('The same address as the customer');
  await isFine();
  await button('Hold', dialog).click();
  await row(/A-1.*held.*The same address/).waitFor();
  await isFine();
  await page.getByLabel('State').selectOption('held');
  await row(/A-2/).waitFor({ state: 'detached' });
  await row(/A-1/).getByRole('button', { name: 'Release' }).click();
  await page.getByText('Nothing matches').waitFor();
});

test('the partner’s page shows tier, links, and a ledger whose balance runs', async () => {
  await open(`/partners/${made.partner}`);
  const standing = region('Standing');
  await standing.getByText('Silver 12.5%').waitFor();
  await isFine();
  await page.getByRole('link', { name: 'Links', exact: true }).last().click();
  await row(/\/anna/).waitFor();
  await page
    .getByRole('navigation', { name: 'About this partner' })
    .getByRole('link', { name: 'Balance' })
    .click();
  const entries = region('Entries');
  // A-1 went to the held account and came back.
  const released = row(/release.*\$8\.00.*\$28\.00/, entries);
  await released.waitFor();
  // What an entry concerns has its name and its page; the id stands in the title.
  const order = released.getByRole('link', { name: 'A-1', exact: true });
  await order.waitFor();
  assert.match(await order.getAttribute('href'), /^\/conversions\/cnv_/);
  await isFine();
  await picture(page, 'partner-balance');
});

test('what is due is previewed, paid out, given as a table, and marked as paid', async () => {
  await open('/payouts');
  const due = region('Due now');
  await row(/Anna Lindgren.*\$28\.00/, due).waitFor();
  await isFine();
  await button('Pay out all').click();
  await button('Make the batch', dialog).click();
  await page.getByRole('heading', { name: 'Batch of $28.00' }).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), button('CSV, PayPal').click()]);
  // She has a mail address and no account.
  assert.match(download.suggestedFilename(), /^pay_.*-paypal\.csv$/);
  const table = readFileSync(await download.path(), 'utf8');
  assert.match(table, /28\.00.*USD|USD.*28\.00/, `no table to pay by: ${table}`);
  await isFine();
  // What a button does, not the state that its payouts are in.
  await button('Mark as sent the batch').click();
  await row(/Anna Lindgren.*processing/).waitFor();
  assert.equal(await button('Mark as sent the batch').count(), 0, 'it was sent');
  await button('Mark as failed the batch').waitFor();
  await button('Mark as paid the batch').click();
  await box('Reference', dialog).fill('SEPA 42');
  await isFine();
  await button('Mark as paid', dialog).click();
  await row(/Anna Lindgren.*paid.*SEPA 42/).waitFor();
  await open('/payouts');
  await page.getByText('Nothing is due').waitFor();
  await row(/paid.*SEPA 42/, region('Payouts'))
    .getByRole('link')
    .first()
    .click();
  await row(/A-2/).waitFor();
  const { data } = await api('GET', '/v1/payouts');
  assert.deepEqual([data.length, data[0].status, data[0].amount], [1, 'paid', usd(2800)]);
});

test('a month’s statement is opened line by line, and saved', async () => {
  await open(`/partners/${made.partner}?tab=statements`);
  // All of it is of one month, except where a month ended in the midst of these tests.
  const { data } = await api('GET', `/v1/partners/${made.partner}/statements`);
  const paid = data.find(({ currencies }) => currencies[0].paid.amount === 2_800).month;
  const commissions = await api('GET', '/v1/commissions');
  const earned = commissions.data.find(({ order_id }) => order_id === 'A-2').created_at.slice(0, 7);
  const titled = (month) => {
    const words = { month: 'long', year: 'numeric', timeZone: 'UTC' };
    return new Intl.DateTimeFormat('en-US', words).format(new Date(`${month}-01`));
  };
  await row(new RegExp(`${titled(paid)}.*\\$28\\.00.*\\$0\\.00`)).waitFor();
  const saved = button(`CSV ${titled(paid)}`);
  const [download] = await Promise.all([page.waitForEvent('download'), saved.click()]);
  assert.equal(download.suggestedFilename(), `statement-${paid}.csv`);
  assert.match(readFileSync(await download.path(), 'utf8'), /payout_paid.*-28\.00/);
  for (const [month, line] of [
    [earned, /commission.*A-2.*\$20\.00/],
    [paid, /payout paid.*-\$28\.00.*\$0\.00/],
  ]) {
    await button(`Open ${titled(month)}`).click();
    await page.getByRole('heading', { name: `Statement of ${titled(month)}, Anna Lindgren` }).waitFor();
    await row(line).waitFor();
    await isFine();
    await picture(page, 'statement');
    await button('All months').click();
    await row(new RegExp(titled(month))).waitFor();
  }
});

test('a milestone shows how far it is, and when it was reached', async () => {
  await open('/milestones');
  await page.getByText('No program has milestones yet').waitFor();
  await page.getByText('"milestones":').waitFor();
  await open(`/programs/${made.program}/edit`);
  await button('Add milestone').click();
  const milestone = page.getByRole('group', { name: 'milestone 1' });
  await box('Name', milestone).fill('First sales');
  await box('Reached with', milestone).first().fill('2');
  await button('Save as a new version').click();
  await page.getByRole('heading', { name: 'Affiliates' }).waitFor();
  await open('/milestones');
  const progress = region('Progress');
  for (const order of ['MS-1', 'MS-2']) {
    await api('POST', '/v1/conversions', {
      event: 'sale',
      order_id: order,
      coupon: 'ANNA10',
      amount: usd(1_000),
    });
  }
  await region('Reached')
    .getByRole('row', { name: /First sales.*Anna Lindgren/ })
    .first()
    .waitFor();
  await progress
    .getByRole('row', { name: /First sales.*Anna Lindgren.*reached/ })
    .first()
    .waitFor();
  await isFine();
  await picture(page, 'milestones');
});

test('a fulfilment is refused where it does not fit, made, and deleted', async () => {
  await open('/connections');
  const list = region('Fulfilments');
  await list.getByText('/v1/fulfilments').waitFor();
  await button('New fulfilment', list).click();
  await box('Where its links lead', dialog).fill('javascript:alert(1)');
  await button('Create fulfilment', dialog).click();
  await dialog.locator('[name=destination][aria-invalid=true]').waitFor();
  await isFine();
  await box('Where its links lead', dialog).fill('https://files.example/book.pdf');
  await box('Product', dialog).fill('book');
  await box('Good for, days', dialog).fill('9');
  await button('Create fulfilment', dialog).click();
  await row(/book.*files\.example\/book\.pdf.*9 days.*5/, list).waitFor();
  const { data } = await api('GET', '/v1/fulfilments');
  assert.deepEqual([data[0].product, data[0].expires_days, data[0].max_uses], ['book', 9, 5]);
  await button('Delete https://files.example/book.pdf', list).click();
  await button('Delete the fulfilment', dialog).click();
  await list.getByText('None yet').waitFor();
});

test('a conversion and its refund are recorded by form, and its trace reads as a story', async () => {
  await open('/conversions');
  await button('Record a conversion').click();
  await box('Order', dialog).fill('M-1');
  await box('Amount', dialog).first().fill('49,99');
  await box('Coupon', dialog).fill('ANNA10');
  await box('Customer id', dialog).fill('u2');
  await isFine();
  await button('Record', dialog).click();
  await row(/M-1.*Anna Lindgren.*\$49\.99/).waitFor();
  await button('Refund M-1').click();
  await box('Amount', dialog).first().fill('60');
  await button('Record the refund', dialog).click();
  await dialog.getByRole('alert').or(dialog.locator('[aria-invalid=true]')).first().waitFor();
  await box('Amount', dialog).first().fill('20');
  await button('Record the refund', dialog).click();
  await row(/M-1.*\$20\.00/).waitFor();
  await page.getByRole('row', { name: /A-2/ }).getByRole('link').first().click();
  const why = region('Why');
  await why.getByText(/^\s*Credited to Anna Lindgren by \/anna,\s+because of the click token/).waitFor();
  await why.getByText('not credited').waitFor();
  await isFine();
  await picture(page, 'conversion-story');
});

test('a table of conversions is tried first, then recorded', async () => {
  await open('/conversions');
  await button('Import CSV').click();
  await page.getByLabel('CSV file').setInputFiles({
    name: 'offline.csv',
    mimeType: 'text/csv',
    buffer: Buffer.from('event,order_id,amount,currency\nsale,T-1,5,USD\nsale,T-2,nonsense,USD\n'),
  });
  await page.getByText('Tried: 2 rows').waitFor();
  await row(/3.*refused/).waitFor();
  await isFine();
  assert.equal((await api('GET', '/v1/conversions?order_id=T-1')).data.length, 0);
  // A table that takes its time can be stopped, and says what became of it.
  const address = '**/v1/conversions/import?dry_run=false';
  await page.route(address, () => {});
  await button('Record 1 now').click();
  await page.getByRole('progressbar', { name: 'The rows are recorded' }).waitFor();
  await button('Stop').click();
  await page.getByText('Stopped. What was recorded by then stays.').waitFor();
  await page.unroute(address);
  await page.getByLabel('CSV file').setInputFiles({
    name: 'offline.csv',
    mimeType: 'text/csv',
    buffer: Buffer.from('event,order_id,amount,currency\nsale,T-1,5,USD\nsale,T-2,nonsense,USD\n'),
  });
  await page.getByText('Tried: 2 rows').waitFor();
  await button('Record 1 now').click();
  await page.getByText('Done: 2 rows').waitFor();
  await row(/T-1.*\$5\.00/).waitFor();
});

test('a customer is looked at, merged into another, and erased', async () => {
  await open('/customers');
  await page.getByRole('link', { name: 'u1', exact: true }).waitFor();
  await button('Find by id').click();
  await box('Customer id', dialog).fill('nobody');
  await button('Find', dialog).click();
  await dialog.getByRole('alert').waitFor();
  await isFine();
  await box('Customer id', dialog).fill('u1');
  await button('Find', dialog).click();
  await page.getByRole('heading', { name: 'Ulla Ek' }).waitFor();
  const who = region('Who');
  await who.getByText('$300.00').waitFor();
  await who.getByText('u1@example.com').waitFor();
  await row(/\/anna/, region('Clicks'))
    .first()
    .waitFor();
  await isFine();
  await open('/customers');
  await page.getByRole('link', { name: 'u2', exact: true }).click();
  await button('Merge').click();
  await box('The id that goes on', dialog).fill('u1');
  await button('Merge', dialog).click();
  await page.getByRole('heading', { name: 'Ulla Ek' }).waitFor();
  await region('Who').getByText('$329.99').waitFor();
  await button('Erase').click();
  await box('Type u1', dialog).fill('u7');
  await button('Erase for good', dialog).click();
  await dialog.getByText('nothing was erased').waitFor();
  await box('Type u1', dialog).fill('u1');
  await isFine();
  await button('Erase for good', dialog).click();
  await page.getByText('erased', { exact: true }).first().waitFor();
  assert.equal(await page.getByText('u1@example.com').count(), 0);
});

test('renewals that name no subscription are a row that says so', async () => {
  await api('POST', '/v1/conversions', {
    event: 'renewal',
    order_id: 'R-1',
    customer_id: 'v1',
    amount: usd(700),
  });
  await open('/customers/v1');
  await row(/without an id.*\$7\.00/, region('Subscriptions')).waitFor();
  assert.equal(await page.getByText('null').count(), 0);
  await isFine();
});

test('a provider’s deliveries are listed with verdict and hash, and one is replayed', async () => {
  await open('/connections');
  const hooks = region('Payment webhooks');
  await button('New endpoint', hooks).click();
  await dialog.getByLabel('Provider').selectOption('paypal');
  await dialog.getByLabel('Certificate').waitFor();
  await dialog.getByLabel('Provider').selectOption('generic');
  await box('Signing secret', dialog).fill(SECRET);
  await isFine();
  await button('Create endpoint', dialog).click();
  await dialog.getByRole('heading', { name: 'The address for Another: HMAC' }).waitFor();
  await dialog.getByText('/hooks/whk_').waitFor();
  await button('Done', dialog).click();
  await hooks.getByRole('link', { name: 'Another: HMAC' }).click();
  await page.getByText('Nothing has been delivered here yet').waitFor();
  const [endpoint] = (await api('GET', '/v1/webhook-endpoints')).data;
  await page.waitForSelector('[data-live=live]');
  // A refund of an order that is not known yet: it waits.
  const refund = { order_id: 'H-1', refund_id: 're-1', amount: 500, currency: 'USD' };
  const body = JSON.stringify({ id: 'r-1', type: 'refund', livemode: true, data: refund });
  const signature = createHmac('sha256', SECRET).update(body).digest('hex');
  const answer = await fetch(endpoint.url, { method: 'POST', headers: { 'X-Signature': signature }, body });
  assert.equal(answer.status, 200, await answer.text());
  const deliveries = region('Deliveries');
  const listed = async () => (await api('GET', `/v1/webhook-endpoints/${endpoint.id}/deliveries`)).data[0];
  await eventually(async () => (await listed())?.outcome === 'parked', 'the delivery is not listed');
  await page.reload();
  await deliveries.getByText('parked').waitFor();
  await row(/parked/)
    .getByRole('button', { name: 'Details' })
    .click();
  await page.getByText('SHA-256 of the body').waitFor();
  await isFine();
  await row(/parked/)
    .getByRole('button', { name: /^Replay/ })
    .click();
  await row(/parked/).waitFor();
});

test('an outbound endpoint shows its secret once, its log, and is switched off and on', async () => {
  const taken = [];
  const server = createServer((request, answer) => {
    taken.push(request.headers['webhook-id']);
    answer.writeHead(200).end('thanks');
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  try {
    await open('/connections');
    const outbound = region('Outbound webhooks');
    await button('New endpoint', outbound).click();
    await box('Address', dialog).fill('nonsense');
    await box('Description', dialog).fill('CRM');
    await button('Create endpoint', dialog).click();
    await dialog.locator('[aria-invalid=true]').waitFor();
    await box('Address', dialog).fill(`http://127.0.0.1:${server.address().port}/weir`);
    await button('Create endpoint', dialog).click();
    assert.match(await dialog.locator('code').textContent(), /^whsec_/);
    await isFine();
    await button('Done', dialog).click();
    await api('POST', '/v1/conversions', { event: 'lead', customer_id: 'u9' });
    const [{ id }] = (await api('GET', '/v1/outbound-endpoints')).data;
    const sent = async () => (await api('GET', `/v1/outbound-endpoints/${id}/deliveries`)).data[0];
    await eventually(async () => (await sent())?.state === 'delivered', 'nothing was sent');
    const before = taken.length;
    await outbound.getByRole('link', { name: 'CRM' }).click();
    await row(/conversion\.created.*delivered/)
      .getByRole('button', { name: 'Details' })
      .click();
    await page.getByText('thanks').waitFor();
    await isFine();
    await row(/conversion\.created/)
      .getByRole('button', { name: /^Replay/ })
      .click();
    await eventually(() => taken.length > before, 'nothing was sent again');
    assert.equal(new Set(taken).size, 1);
    await button('Disable CRM').click();
    await page.getByText('off', { exact: true }).waitFor();
    await button('Enable CRM').click();
    await page.getByText('on', { exact: true }).waitFor();
  } finally {
    server.close();
  }
});

test('a postback token shows its address once', async () => {
  await open('/connections');
  const tokens = region('Postback tokens');
  await button('New token', tokens).click();
  await box('Name', dialog).fill('Acme');
  await dialog.getByLabel('Its parameters').fill('transaction_id = nonsense');
  await button('Create token', dialog).click();
  await dialog.getByText(/must be one of: token/).waitFor();
  await dialog.getByLabel('Its parameters').fill('transaction_id = txid');
  await button('Create token', dialog).click();
  assert.match(await dialog.locator('code').textContent(), /\/postback\?token=pb_/);
  await isFine();
  await button('Done', dialog).click();
  await row(/Acme/, tokens).waitFor();
});

test('a partner’s key opens a portal of its own numbers, live, and nothing else', async () => {
  const other = await api('POST', '/v1/partners', { name: 'Ben', code: 'BEN', program_id: made.program });
  await api('POST', '/v1/links', {
    destination: 'https://shop.example/',
    slug: 'ben',
    partner_id: other.id,
    program_id: made.program,
  });
  await open(`/partners/${made.partner}`);
  await button('Make a portal key Anna Lindgren').or(button('Make a portal key')).click();
  await button('Make a portal key', dialog).click();
  const key = (await dialog.locator('code').textContent()).trim();
  await button('Done', dialog).click();

  const own = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const opened = await openPage(own, engine.admin);
  const portal = opened.page;
  await signIn(portal, key);
  await portal.getByRole('heading', { name: 'Anna Lindgren' }).waitFor();
  const navigation = portal.getByRole('navigation', { name: 'Main' });
  assert.deepEqual(
    await navigation.getByRole('link', { name: /Partners|Customers|Settings|Programs/ }).count(),
    0,
  );
  await portal.waitForSelector('[data-live=live]');
  const clicks = async () => Number((await portal.textContent('[data-kpi=clicks]'))?.replace(/[^\d]/g, ''));
  await eventually(async () => (await clicks()) === 2, 'the portal does not show the two clicks');
  await isFine(portal);
  await picture(portal, 'portal');
  await visit('ben');
  await visit('anna');
  await eventually(async () => (await clicks()) === 3, 'another partner’s click counted, or the own did not');
  await region('Your links', portal)
    .getByRole('row', { name: /\/anna/ })
    .waitFor();
  assert.equal(await portal.getByText('/ben', { exact: true }).count(), 0);

  for (const [name, seen] of [
    ['Commissions', /A-2.*\$20\.00/],
    ['Balance', /payout/],
    ['Payouts', /paid.*SEPA 42/],
    ['Statements', /\$28\.00/],
    ['Milestones', /First sales/],
    ['Links', /\/anna/],
  ]) {
    await navigation.getByRole('link', { name, exact: true }).click();
    await portal.getByRole('heading', { level: 1, name }).waitFor();
    if (name === 'Balance') await portal.locator('[data-account=paid]').click();
    await portal.getByRole('row', { name: seen }).first().waitFor();
    await isFine(portal);
  }
  // A sale of theirs appears without a reload.
  await navigation.getByRole('link', { name: 'Commissions' }).click();
  await portal.getByRole('row', { name: /A-2/ }).waitFor();
  await api('POST', '/v1/conversions', {
    event: 'sale',
    order_id: 'P-1',
    coupon: 'ANNA10',
    amount: usd(4_000),
  });
  await portal.getByRole('row', { name: /P-1/ }).waitFor();

  // The page hides what the engine refuses: asked directly it refuses too.
  for (const [path, allowed] of [
    [`/v1/partners/${made.partner}`, true],
    [`/v1/partners/${other.id}`, false],
    [`/v1/partners/${other.id}/stats`, false],
    ['/v1/partners', false],
    ['/v1/customers', false],
    ['/v1/conversions', true], // its own, without the customers
    ['/v1/keys', false],
    ['/v1/programs', true], // those it is in
    [`/v1/commissions?partner_id=${other.id}`, false],
    [`/v1/links?partner_id=${other.id}`, false],
    ['/v1/webhook-endpoints', false],
    ['/v1/outbound-endpoints', false],
  ]) {
    const { status } = await ask('GET', path, undefined, key);
    assert.equal(status === 200, allowed, `${path} answered a partner's key with ${status}`);
  }
  const { status } = await ask('POST', '/v1/payouts', {}, key);
  assert.equal(status, 403);
  await portal.goto(`${engine.admin}/partners/${other.id}`);
  await portal.getByRole('heading', { name: 'There is no such page' }).waitFor();
  assert.deepEqual(opened.complaints, []);
  await own.close();
});

test('the browser had nothing to complain about', () => {
  assert.deepEqual(complaints, []);
});
