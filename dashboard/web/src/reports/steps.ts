// The steps of a funnel as the address has them: `click;country=DE,sale`. A condition's value is encoded, so that
// commas and the like may stand in it.

export interface FunnelStep {
  event: string;
  /** of these alone, where a dimension is named */
  dimension: string;
  value: string;
}

export function readSteps(text: string): FunnelStep[] {
  return text.split(',').map((step) => {
    const [event = '', condition = ''] = step.split(';');
    const [dimension = '', value = ''] = condition.split('=');
    return { event: decode(event), dimension, value: decode(value) };
  });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function writeSteps(steps: readonly FunnelStep[]): string {
  return steps
    .map(({ event, dimension, value }) => {
      const name = encode(event.trim());
      return dimension === '' ? name : `${name};${dimension}=${encode(value.trim())}`;
    })
    .join(',');
}

/** What the address bar leaves as it is stays readable. */
const encode = (text: string) => encodeURIComponent(text).replaceAll('%20', ' ').replaceAll('%2F', '/');

/** A step as the API takes it; null while it says too little. */
export function asked({ event, dimension, value }: FunnelStep): string | object | null {
  if (event.trim() === '') return null;
  if (dimension === '') return event.trim();
  if (value.trim() === '') return null;
  return {
    event: event.trim(),
    name: `${event.trim()}, ${value.trim()}`,
    filters: ['is', dimension, [value.trim()]],
  };
}
