import { ApiError, call, get, onSignedOut, post, remove } from '../api/client';
import type { Session } from '../api/types';

class SessionState {
  /** undefined: not asked yet · null: signed out */
  now = $state<Session | null | undefined>(undefined);
  unreachable = $state<string | null>(null);
  /** What the role allows; the engine decides, this only hides what it would refuse. */
  readonly mayEdit = $derived(['admin', 'editor'].includes(this.now?.role ?? ''));
  readonly mayAdminister = $derived(this.now?.role === 'admin');
  /** "with Ada (editor)"; the engine's own key has no name */
  readonly as = $derived(
    this.now?.key_name ? `with ${this.now.key_name} (${this.now.role})` : `as ${this.now?.role}`,
  );

  async load(): Promise<void> {
    try {
      this.now = await get<Session>('/v1/session');
      this.unreachable = null;
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) this.now = null;
      else this.unreachable = error instanceof Error ? error.message : String(error);
    }
  }

  async signIn(key: string): Promise<void> {
    await call<void>('POST', '/v1/session', { key });
    await this.load();
  }

  async signOut(): Promise<void> {
    try {
      await remove('/v1/session');
    } finally {
      this.now = null;
    }
  }

  async ticket(): Promise<string> {
    return (await post<{ ticket: string }>('/v1/live/tickets')).ticket;
  }
}

export const session = new SessionState();
onSignedOut(() => (session.now = null));
