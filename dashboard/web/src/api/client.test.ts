import { afterEach, describe, expect, it, vi } from 'vitest';
import { get, getBlob, post } from './client';

afterEach(() => vi.unstubAllGlobals());

describe('a call without an answer', () => {
  const failing = (error: unknown) => vi.stubGlobal('fetch', () => Promise.reject(error as Error));

  it.each([
    ['TimeoutError', /has not answered within 30 seconds.*look before you try again/],
    ['AbortError', /^Stopped before there was an answer\.$/],
    ['TypeError', /cannot be reached/],
  ])('says why: %s', async (name, words) => {
    failing(Object.assign(new Error('of the browser'), { name }));
    await expect(get('/v1/links')).rejects.toThrow(words);
    await expect(getBlob('/v1/links/export')).rejects.toThrow(words);
  });

  it('says so too where the answer began and its body was lost', async () => {
    const body = () => Promise.reject(Object.assign(new Error(), { name: 'TimeoutError' }));
    vi.stubGlobal('fetch', () => Promise.resolve({ ok: true, status: 200, text: body }));
    await expect(get('/v1/links')).rejects.toThrow(/has not answered/);
  });

  it('waits as long as somebody watches it', async () => {
    const limits = vi.spyOn(AbortSignal, 'timeout');
    const given: unknown[] = [];
    vi.stubGlobal('fetch', (_: string, { signal }: RequestInit) => {
      given.push(signal);
      return Promise.resolve(new Response('{}'));
    });
    const stopping = new AbortController();
    await post('/v1/reports/funnel', {}, stopping.signal);
    expect(limits).not.toHaveBeenCalled();
    await post('/v1/reports/funnel', {});
    expect(limits).toHaveBeenCalledOnce();
    expect(given[0]).toBe(stopping.signal);
  });
});
