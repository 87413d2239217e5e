// How Weir is told of payments, and whom it tells: endpoints, tokens, and what each asks for.

import { patch, post, remove } from '../api/client';
import type { Fulfilment, OutboundEndpoint, PostbackToken } from '../api/money';
import type { WebhookEndpoint } from '../api/types';
import type { Action, Secret } from '../form/act';
import { choices, type Body, type FieldSpec } from '../form/fields';
import { session } from '../state/session.svelte';

const PROVIDERS: Record<string, string> = {
  stripe: 'Stripe',
  paddle: 'Paddle',
  shopify: 'Shopify',
  woocommerce: 'WooCommerce',
  lemonsqueezy: 'Lemon Squeezy',
  paypal: 'PayPal',
  gumroad: 'Gumroad',
  razorpay: 'Razorpay',
  fondy: 'Fondy',
  refersion: 'Refersion',
  standard: 'Standard Webhooks (Svix)',
  generic: 'Another: HMAC',
};
export const providerName = (id: string): string => PROVIDERS[id] ?? id;

const settingsOf = (provider: (model: { provider?: unknown }) => string): FieldSpec[] => [
  {
    name: 'settings.seller_id',
    label: 'Seller id',
    mono: true,
    hint: 'Whose sales these are',
    when: (model) => provider(model) === 'gumroad',
  },
  {
    name: 'settings.certificate',
    label: 'Certificate',
    kind: 'area',
    mono: true,
    required: true,
    placeholder: '-----BEGIN CERTIFICATE-----',
    hint: 'PEM, of the header PAYPAL-CERT-URL',
    when: (model) => provider(model) === 'paypal',
  },
  ...(
    [
      { name: 'header', label: 'Header with the signature', required: true, start: 'X-Signature' },
      { name: 'prefix', label: 'What stands before it', placeholder: 'sha256=' },
      {
        name: 'algorithm',
        label: 'Hash',
        kind: 'choice',
        choices: choices('sha256', 'sha512'),
        start: 'sha256',
      },
      {
        name: 'encoding',
        label: 'Written as',
        kind: 'choice',
        choices: choices('hex', 'base64'),
        start: 'hex',
      },
      { name: 'timestamp_header', label: 'Header with the signed time' },
    ] as FieldSpec[]
  ).map((field) => ({
    ...field,
    name: `settings.signature.${field.name}`,
    mono: true,
    when: (model: { provider?: unknown }) => provider(model) === 'generic',
  })),
];

export const newWebhook = (programs: readonly { id: string; name: string }[]): Action => ({
  label: 'New endpoint',
  primary: true,
  title: 'New payment webhook',
  text: 'Make it with the secret that the provider signs with, then give the provider the address that is shown.',
  confirm: 'Create endpoint',
  fields: [
    {
      name: 'provider',
      label: 'Provider',
      kind: 'choice',
      required: true,
      choices: Object.entries(PROVIDERS).map(([id, title]) => ({ id, title })),
      start: 'stripe',
    },
    { name: 'secrets[0]', label: 'Signing secret', kind: 'password', required: true, mono: true },
    {
      name: 'program_id',
      label: 'Program of its sales',
      kind: 'choice',
      choices: [
        { id: '', title: "The link's or the partner's" },
        ...programs.map(({ id, name }) => ({ id, title: name })),
      ],
    },
    ...settingsOf((model) => String(model.provider)),
  ],
  run: async ({ 'secrets[0]': secret, ...body }: Body): Promise<Secret> => {
    const made = await post<WebhookEndpoint>('/v1/webhook-endpoints', { ...body, secrets: [secret] });
    return {
      title: `The address for ${providerName(made.provider)}`,
      text: made.url,
      hint: 'Enter it at the provider as the address of a webhook. It stands in the list, too.',
      kept: true,
    };
  },
});

export function webhookActs(endpoint: WebhookEndpoint, gone: () => void = () => {}): Action[] {
  if (!session.mayAdminister) return [];
  const path = `/v1/webhook-endpoints/${endpoint.id}`;
  const of = `the endpoint of ${providerName(endpoint.provider)}`;
  return [
    {
      label: 'Roll the secret',
      of,
      title: 'Roll the secret',
      text: 'While the provider changes over, both secrets may sign: give the old one and the new one. Afterwards give the new one alone.',
      confirm: 'Save secrets',
      fields: [
        {
          name: 'secrets',
          label: 'Secrets that may sign, one a line',
          kind: 'area',
          required: true,
          mono: true,
        },
      ],
      run: ({ secrets }) =>
        patch(path, {
          secrets: String(secrets)
            .split('\n')
            .map((each) => each.trim())
            .filter(Boolean),
        }),
    },
    {
      label: 'Delete',
      of,
      danger: true,
      title: `Delete ${of}?`,
      text: 'What the provider sends to its address is refused from then on. What it sent stays in the books.',
      confirm: 'Delete the endpoint',
      run: async () => {
        await remove(path);
        gone();
      },
    },
  ];
}

/** Everything that can be subscribed to. */
export const EVENTS = [
  'conversion.created',
  'refund.created',
  'refund.reversed',
  'milestone.reached',
  'payout.created',
  'payout.paid',
  'payout.failed',
];

const outboundFields: readonly FieldSpec[] = [
  { name: 'url', label: 'Address', required: true, mono: true, placeholder: 'https://hooks.example/weir' },
  { name: 'description', label: 'Description', placeholder: 'CRM' },
  {
    name: 'events',
    label: 'Tell it of',
    kind: 'checks',
    choices: EVENTS.map((id) => ({ id, title: id })),
    hint: 'None chosen: of everything',
  },
];

const secretOf = ({ secret }: { secret: string }): Secret => ({ title: 'The signing secret', text: secret });

export const newOutbound = (): Action => ({
  label: 'New endpoint',
  title: 'New outbound webhook',
  text: 'Weir posts what happens to this address, signed as Standard Webhooks say.',
  confirm: 'Create endpoint',
  fields: outboundFields,
  run: async (body) => secretOf(await post<{ secret: string }>('/v1/outbound-endpoints', body)),
});

export function outboundActs(endpoint: OutboundEndpoint, gone: () => void = () => {}): Action[] {
  if (!session.mayAdminister) return [];
  const path = `/v1/outbound-endpoints/${endpoint.id}`;
  const of = endpoint.description ?? endpoint.url;
  return [
    {
      label: endpoint.enabled ? 'Disable' : 'Enable',
      of,
      run: () => patch(path, { enabled: !endpoint.enabled }),
    },
    {
      label: 'Edit',
      of,
      title: 'Edit the endpoint',
      confirm: 'Save changes',
      fields: outboundFields,
      value: endpoint,
      run: (body) => (Object.keys(body).length > 0 ? patch(path, body) : Promise.resolve()),
    },
    {
      label: 'New secret',
      of,
      title: 'A new secret?',
      text: 'From now on everything is signed with both, until the next new secret.',
      confirm: 'Make a new secret',
      run: async () => secretOf(await post<{ secret: string }>(`${path}/rotate`)),
    },
    {
      label: 'Delete',
      of,
      danger: true,
      title: `Delete ${of}?`,
      text: 'Nothing is sent to it any more. Its delivery log goes with it.',
      confirm: 'Delete the endpoint',
      run: async () => {
        await remove(path);
        gone();
      },
    },
  ];
}

const tokenFields: readonly FieldSpec[] = [
  { name: 'name', label: 'Name', required: true, placeholder: 'Acme network' },
  {
    name: 'network',
    label: 'Network',
    mono: true,
    placeholder: 'acme',
    hint: "Stands before its transactions' numbers, so that two networks never meet",
  },
  {
    name: 'parameters',
    label: 'Its parameters',
    kind: 'pairs',
    mono: true,
    placeholder: 'aff_sub = click_id\ntransaction_id = txid\namount = payout',
    hint: 'One a line: its name = ours',
  },
  {
    name: 'statuses',
    label: 'Its statuses',
    kind: 'pairs',
    mono: true,
    placeholder: 'confirmed = approved\ndeclined = rejected',
    hint: 'Ours: lead, sale, approved, rejected, refunded',
  },
  {
    name: 'allow',
    label: 'Addresses it may call from',
    kind: 'list',
    mono: true,
    placeholder: '203.0.113.0/24',
  },
  { name: 'currency', label: 'Currency', mono: true, placeholder: 'USD', hint: 'Where it names none' },
];

const postbackUrl = ({ url }: { url: string }): Secret => ({ title: 'The postback address', text: url });

export const newToken = (): Action => ({
  label: 'New token',
  title: 'New postback token',
  text: 'For an affiliate network that reports from server to server: give it the address that is shown afterwards.',
  confirm: 'Create token',
  fields: tokenFields,
  run: async (body) => postbackUrl(await post<{ url: string }>('/v1/postback-tokens', body)),
});

export function tokenActs(token: PostbackToken): Action[] {
  if (!session.mayAdminister) return [];
  const path = `/v1/postback-tokens/${token.id}`;
  return [
    {
      label: 'Edit',
      of: token.name,
      title: `Edit ${token.name}`,
      confirm: 'Save changes',
      fields: tokenFields,
      value: token,
      run: (body) => (Object.keys(body).length > 0 ? patch(path, body) : Promise.resolve()),
    },
    {
      label: 'New secret',
      of: token.name,
      title: `A new secret for ${token.name}?`,
      confirm: 'Make a new secret',
      fields: [
        {
          name: 'grace_hours',
          label: 'The old one stays good for, hours',
          kind: 'integer',
          start: 24,
          hint: '0 ends it at once',
        },
      ],
      run: async (body) => postbackUrl(await post<{ url: string }>(`${path}/rotate`, body)),
    },
    {
      label: 'Delete',
      of: token.name,
      danger: true,
      title: `Delete ${token.name}?`,
      text: 'Its postbacks are refused from then on. What it reported stays in the books.',
      confirm: 'Delete the token',
      run: () => remove(path),
    },
  ];
}

export const newFulfilment = (programs: readonly { id: string; name: string }[]): Action => ({
  label: 'New fulfilment',
  title: 'New fulfilment',
  text: 'Each sale that it is for makes a link of its own, which ends; the outbound webhook conversion.created tells it.',
  confirm: 'Create fulfilment',
  fields: [
    { name: 'name', label: 'Name', placeholder: 'The book' },
    {
      name: 'destination',
      label: 'Where its links lead',
      required: true,
      mono: true,
      placeholder: 'https://files.example/book.pdf',
    },
    {
      name: 'product',
      label: 'Product',
      mono: true,
      hint: 'The sale’s properties.product. Of every sale where empty',
    },
    { name: 'event', label: 'Event', mono: true, start: 'sale' },
    {
      name: 'program_id',
      label: 'Program',
      kind: 'choice',
      choices: [{ id: '', title: 'Any' }, ...programs.map(({ id, name }) => ({ id, title: name }))],
    },
    { name: 'expires_days', label: 'Good for, days', kind: 'integer', required: true, start: 7 },
    { name: 'max_uses', label: 'Uses', kind: 'integer', required: true, start: 5 },
  ],
  run: (body) => post('/v1/fulfilments', body),
});

export const fulfilmentActs = ({ id, name, destination }: Fulfilment): Action[] => [
  {
    label: 'Delete',
    of: name || destination,
    danger: true,
    title: 'Delete this fulfilment?',
    text: 'Sales make no more links by it. The links that were made stay until they end.',
    confirm: 'Delete the fulfilment',
    run: () => remove(`/v1/fulfilments/${id}`),
  },
];
