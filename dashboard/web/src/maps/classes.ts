// Classes of a shaded map: lightness alone tells them apart, so they read without colour vision and in print.

export const CLASSES = 5;

/** Bounds between classes, by equal shares of the values; fewer where values repeat. */
export function bounds(values: number[]): number[] {
  const sorted = values.filter((value) => value > 0).sort((a, b) => a - b);
  const found: number[] = [];
  for (let part = 1; part < CLASSES; part++) {
    const bound = sorted[Math.ceil((sorted.length * part) / CLASSES) - 1];
    if (bound !== undefined && bound !== found.at(-1) && bound !== sorted.at(-1)) found.push(bound);
  }
  return found;
}

/** 0 is nothing, 1 the lightest. */
export function classOf(value: number, bounds: number[]): number {
  return value <= 0 ? 0 : 1 + bounds.filter((bound) => value > bound).length;
}
