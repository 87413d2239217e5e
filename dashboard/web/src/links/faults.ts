// What the engine says is wrong, each complaint beside the input it is about.

export interface Fault {
  field: string;
  detail: string;
}

export interface Placed {
  /** by the field's name */
  at: Record<string, string>;
  /** what no input of the form is about */
  stray: string[];
}

/** `/utm/source` is `utm.source`. */
const dotted = (field: string) => field.replace(/^[/#.$]+/, '').replaceAll('/', '.');

const isWithin = (field: string, name: string) =>
  field === name || field.startsWith(`${name}.`) || field.startsWith(`${name}[`);

/** Puts each fault at the innermost of `fields` that it is about. */
export function place(faults: readonly Fault[], fields: readonly string[]): Placed {
  const at: Record<string, string> = {};
  const stray: string[] = [];
  for (const fault of faults) {
    const name = dotted(fault.field);
    const innermost = fields
      .filter((field) => isWithin(name, field))
      .reduce((best, field) => (field.length > best.length ? field : best), '');
    if (innermost === '') {
      stray.push(`${fault.field}: ${fault.detail}`);
      continue;
    }
    const rest = name.slice(innermost.length).replace(/^\./, '');
    const number = /^\[(\d+)\]$/.exec(rest);
    const where = number ? `number ${Number(number[1]) + 1} ` : rest === '' ? '' : `${rest}: `;
    const before = at[innermost];
    at[innermost] = (before === undefined ? '' : `${before}; `) + where + fault.detail;
  }
  return { at, stray };
}
