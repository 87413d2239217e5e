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
  const response = await send(method, path, headers, body === undefined ? null : JSON.stringify(body));
  const text = await response.text();
  if (response.ok) return (text === '' ? undefined : parse(text)) as T;
  throw refusal(response, path, text);
}

async function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string | null = null,
): Promise<Response> {
  try {
    const signal = AbortSignal.timeout(CALL_WITHIN_MS);
    return await fetch(path, { method, headers, body, credentials: 'same-origin', signal });
  } catch {
    throw new ApiError(0, { detail: 'The engine cannot be reached. Check that it runs, then try again.' });
  }
}

function refusal(response: Response, path: string, text: string): ApiError {
  if (response.status === 401 && path !== '/v1/session') signedOut();
  const problem = text === '' ? { title: response.statusText } : parse(text);
  return new ApiError(response.status, problem as Problem);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) };
  }
}

/** A text that is no JSON, such as a table. */
export async function postText<T>(path: string, type: string, body: string): Promise<T> {
  const headers = { 'X-Weir-Session': '1', 'Content-Type': type, 'Idempotency-Key': randomKey() };
  const response = await send('POST', path, headers, body);
  const text = await response.text();
  if (response.ok) return parse(text) as T;
  throw refusal(response, path, text);
}

/**
 * A file, such as a picture; refused in the same words as any call. Never a plain link: a link cannot say that it
 * was clicked here, and the engine refuses a cookie that comes alone.
 */
export async function getBlob(path: string): Promise<Blob> {
  const response = await send('GET', path, { 'X-Weir-Session': '1' });
  if (response.ok) return response.blob();
  throw refusal(response, path, await response.text());
}

export const get = <T>(path: string) => call<T>('GET', path);
export const post = <T>(path: string, body: unknown = {}) => call<T>('POST', path, body);
export const put = <T>(path: string, body: unknown) => call<T>('PUT', path, body);
export const patch = <T>(path: string, body: unknown) => call<T>('PATCH', path, body);
export const remove = (path: string) => call<void>('DELETE', path);
