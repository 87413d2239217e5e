// Incidents in the operator's words: what the public status page says of them.

import { post, remove } from '../../api/client';
import type { Action } from '../../form/act';
import type { FieldSpec } from '../../form/fields';
import { status, when, type CellValue, type Column } from '../../table/cell';

export interface Incident {
  id: string;
  title: string;
  components: string[];
  state: string;
  updates: { at: string; state: string; text: string }[];
}

const said: readonly FieldSpec[] = [
  { name: 'text', label: 'What you say', kind: 'area', required: true, placeholder: 'We look at it.' },
  {
    name: 'state',
    label: 'How far it is',
    kind: 'choice',
    start: 'investigating',
    required: true,
    choices: [
      { id: 'investigating', title: 'investigating' },
      { id: 'identified', title: 'cause found' },
      { id: 'monitoring', title: 'watching' },
      { id: 'resolved', title: 'resolved' },
    ],
  },
];

export const columns: Column<Incident>[] = [
  {
    title: 'Incident',
    cell: (row) => ({ text: row.title, sub: row.updates[0]?.text }),
  },
  {
    title: 'State',
    cell: (row) => ({ ...status(row.state), badge: row.state === 'resolved' ? 'good' : 'warn' }),
  },
  { title: 'Concerns', cell: (row) => row.components.join(', '), spare: 1 },
  { title: 'Last word', cell: (row) => when(row.updates[0]?.at), spare: 1 },
];

export const begin: Action = {
  label: 'Tell of an incident',
  title: 'Tell of an incident',
  text: 'It stands on the public status page at once, above the outages that the engine noticed itself.',
  confirm: 'Publish',
  fields: [
    { name: 'title', label: 'In a few words', required: true, placeholder: 'Queries are slow' },
    {
      name: 'components',
      label: 'It concerns',
      kind: 'checks',
      choices: [
        { id: 'redirects', title: 'redirects' },
        { id: 'recording', title: 'recording' },
        { id: 'analytics', title: 'queries and dashboards' },
      ],
    },
    ...said,
  ],
  run: (body) => post('/v1/admin/incidents', body),
};

export const acts = ({ id, title: of, state }: Incident): Action[] => [
  {
    label: 'Say more',
    of,
    title: of,
    confirm: 'Publish',
    fields: said.map((field) => (field.name === 'state' ? { ...field, start: state } : field)),
    run: (body) => post(`/v1/admin/incidents/${id}/updates`, body),
  },
  {
    label: 'Delete',
    of,
    danger: true,
    title: 'Take it off the status page?',
    text: 'As if it had never been written. What is over is better told as resolved.',
    confirm: 'Take it off',
    run: () => remove(`/v1/admin/incidents/${id}`),
  },
];

/** Everything that was said of it. */
export const more = ({ updates }: Incident): { facts: [string, CellValue][] } => ({
  facts: updates.map(({ at, state, text }) => [when(at)?.text ?? at, { text, sub: state }]),
});
