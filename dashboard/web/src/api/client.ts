// Every call to the admin API: same origin, the session cookie, the header that proves a script of ours sent
// it, and errors as the problem the engine describes.

import type { Problem } from '../live/protocol';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.detail ?? problem.title ?? `the engine answered ${status}`);
  }

  /** The engine's words about one field ("amount.currency", "rules[0].destination"), if it has any. */
  field(name: string): string | undefined {
    return this.problem.errors?.find(({ field }) => fieldName(field) === name)?.detail;
  }
}

/** Tolerates JSON pointers beside dotted names: "/utm/source" is "utm.source". */
function fieldName(field: string): string {
  return field.replace(/^[/#.$]+/, '').replaceAll('/', '.');
}

type SignedOutListener = () => void;
let signedOut: SignedOutListener = () => {};

export function onSignedOut(listener: SignedOutListener): void {
  signedOut = listener;
}

function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** How long a call may take before it is given up and reported. */
const CALL_WITHIN_MS = 30_000;

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { 'X-Weir-Session': '1', Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method === 'POST') headers['Idempotency-Key'] = randomKey();
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: 'same-origin',
      signal: AbortSignal.timeout(CALL_WITHIN_MS),
    });
  } catch {
    throw new ApiError(0, { detail: 'The engine cannot be reached. Check that it runs, then try again.' });
  }
  const text = await response.text();
  const answer: unknown = text === '' ? undefined : parse(text);
  if (response.ok) return answer as T;
  if (response.status === 401 && path !== '/v1/session') signedOut();
  throw new ApiError(response.status, (answer ?? { title: response.statusText }) as Problem);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) };
  }
}

export const get = <T>(path: string) => call<T>('GET', path);
export const post = <T>(path: string, body: unknown = {}) => call<T>('POST', path, body);
export const patch = <T>(path: string, body: unknown) => call<T>('PATCH', path, body);
export const remove = (path: string) => call<void>('DELETE', path);
