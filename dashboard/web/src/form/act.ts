// What can be done with a thing: a button, and what it asks before it does it.

import { mount, unmount } from 'svelte';
import { getBlob } from '../api/client';
import { save } from '../format/csv';
import Asking from './Asking.svelte';
import type { Body, FieldSpec } from './fields';

/** What is shown once it is made, mostly once and never again. */
export interface Secret {
  title: string;
  text: string;
  /** what to do with it, where it is no key to be copied */
  hint?: string;
  /** it can be read elsewhere later: no secret, but the next step */
  kept?: boolean;
}

export interface Action {
  label: string;
  /** of what, for those who hear the button and do not see its row */
  of?: string;
  danger?: boolean;
  primary?: boolean;
  /** a page to go to instead of something to do */
  href?: string;
  /** the question's heading; without one it is done at once */
  title?: string;
  text?: string;
  /** what the question's button says, where that is not `label` */
  confirm?: string;
  fields?: readonly FieldSpec[];
  /** what is changed */
  value?: object;
  run?: (body: Body) => Promise<Secret | unknown>;
}

/** Saves what the API has at `path` as a file. */
export const saving = (label: string, path: string, file: string, of?: string): Action => ({
  label,
  of,
  run: async () => save(file, await getBlob(path)),
});

/** Does it, asking first where it is to be asked; `done` once it is done. Fails where nothing was asked. */
export async function act(action: Action, done: () => void): Promise<void> {
  if (action.title === undefined) {
    await action.run?.({});
    return done();
  }
  const before = document.activeElement as HTMLElement | null;
  const shown = mount(Asking, {
    target: document.body,
    props: {
      action,
      done,
      closed: () => {
        void unmount(shown);
        before?.focus();
      },
    },
  });
}
