import type { FieldSpec } from '../../form/fields';

/** What a workspace is: the same to make one and to change one. */
export const workspaceFields: readonly FieldSpec[] = [
  { name: 'name', label: 'Name', required: true, placeholder: 'Shop' },
  { name: 'currency', label: 'Currency', required: true, start: 'USD', mono: true },
  {
    name: 'timezone',
    label: 'Timezone',
    required: true,
    start: 'UTC',
    mono: true,
    placeholder: 'Europe/Berlin',
  },
];
