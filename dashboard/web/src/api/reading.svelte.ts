// What a page reads of the API: the answer, or why there is none; read anew whenever what it is read by changes.

export interface Reading<T> {
  readonly found: T | null;
  readonly failed: Error | null;
  /** Reads again; what was found stays until there is something newer. */
  load: () => Promise<void>;
}

/** To be called where a component begins; `every` reads again after so many milliseconds, while somebody looks. */
export function reading<T>(read: () => Promise<T>, every?: number): Reading<T> {
  let found = $state.raw<T | null>(null);
  let failed = $state.raw<Error | null>(null);
  let latest = 0;

  async function load(): Promise<void> {
    const number = ++latest;
    try {
      const answer = await read();
      if (number === latest) [found, failed] = [answer, null];
    } catch (error) {
      if (number === latest) failed = error as Error;
    }
  }
  $effect(() => {
    void load();
    if (every === undefined) return;
    const timer = setInterval(() => document.hidden || void load(), every);
    return () => clearInterval(timer);
  });
  return {
    get found() {
      return found;
    },
    get failed() {
      return failed;
    },
    load,
  };
}
