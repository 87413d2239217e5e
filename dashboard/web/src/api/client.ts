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

/** How long a call may take before it is given up and reported: all but work that somebody watches and may stop. */
const CALL_WITHIN_MS = 30_000;

/** `stopping` ends it at a person's word, and at nothing else. */
export async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  stopping?: AbortSignal,
): Promise<T> {
  const headers: Record<string, string> = { 'X-Weir-Session': '1', Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method === 'POST') headers['Idempotency-Key'] = randomKey();
  const json = body === undefined ? null : JSON.stringify(body);
  const [response, text] = await send(method, path, headers, textOf, json, stopping);
  if (response.ok) return (text === '' ? undefined : parse(text)) as T;
  throw refusal(response, path, text);
}

const textOf = (response: Response) => response.text();

/** An answer and what `read` makes of its body, which may be lost on the way as well. */
async function send<B>(
  method: string,
  path: string,
  headers: Record<string, string>,
  read: (response: Response) => Promise<B>,
  body: string | null = null,
  signal: AbortSignal = AbortSignal.timeout(CALL_WITHIN_MS),
): Promise<[Response, B]> {
  try {
    const response = await fetch(path, { method, headers, body, credentials: 'same-origin', signal });
    return [response, await read(response)];
  } catch (error) {
    throw new ApiError(0, { detail: LOST[(error as Error).name] ?? LOST.unreachable });
  }
}

/** Why there is no answer, by what the browser calls it. */
const LOST: Record<string, string> = {
  unreachable: 'The engine cannot be reached. Check that it runs, then try again.',
  TimeoutError: `The engine has not answered within ${CALL_WITHIN_MS / 1_000} seconds. What it was asked to do may be done all the same: look before you try again.`,
  AbortError: 'Stopped before there was an answer.',
};

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
export async function postText<T>(
  path: string,
  type: string,
  body: string,
  stopping?: AbortSignal,
): Promise<T> {
  const headers = { 'X-Weir-Session': '1', 'Content-Type': type, 'Idempotency-Key': randomKey() };
  const [response, text] = await send('POST', path, headers, textOf, body, stopping);
  if (response.ok) return parse(text) as T;
  throw refusal(response, path, text);
}

/**
 * A file, such as a picture; refused in the same words as any call. Never a plain link: a link cannot say that it
 * was clicked here, and the engine refuses a cookie that comes alone.
 */
export async function getBlob(path: string, stopping?: AbortSignal): Promise<Blob> {
  const headers = { 'X-Weir-Session': '1' };
  const [response, blob] = await send('GET', path, headers, (answer) => answer.blob(), null, stopping);
  if (response.ok) return blob;
  throw refusal(response, path, await blob.text());
}

export const get = <T>(path: string) => call<T>('GET', path);
export const post = <T>(path: string, body: unknown = {}, stopping?: AbortSignal) =>
  call<T>('POST', path, body, stopping);
export const put = <T>(path: string, body: unknown) => call<T>('PUT', path, body);
export const patch = <T>(path: string, body: unknown) => call<T>('PATCH', path, body);
export const remove = (path: string) => call<void>('DELETE', path);
