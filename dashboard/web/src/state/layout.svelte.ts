// How this browser likes the frame: the navigation wide or as a rail, and which of its groups are folded.

import { SvelteSet } from 'svelte/reactivity';

const STORED = 'weir-layout';

interface Kept {
  rail: boolean;
  folded: string[];
}

function read(): Kept {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED) ?? '{}') as Partial<Kept>;
    return { rail: kept.rail === true, folded: Array.isArray(kept.folded) ? kept.folded : [] };
  } catch {
    return { rail: false, folded: [] };
  }
}

class Layout {
  private readonly kept = read();
  rail = $state(this.kept.rail);
  readonly folded = new SvelteSet<string>(this.kept.folded);
  /** below this the navigation is a drawer */
  private readonly narrowQuery = matchMedia('(max-width: 900px)');
  narrow = $state(this.narrowQuery.matches);
  drawer = $state(false);
  palette = $state<'find' | 'keys' | null>(null);

  constructor() {
    this.narrowQuery.addEventListener('change', ({ matches }) => {
      this.narrow = matches;
      this.drawer = false;
    });
  }

  toggle(): void {
    if (this.narrow) this.drawer = !this.drawer;
    else {
      this.rail = !this.rail;
      this.keep();
    }
  }

  show(what: 'find' | 'keys'): void {
    this.palette = what;
  }

  fold(group: string): void {
    if (!this.folded.delete(group)) this.folded.add(group);
    this.keep();
  }

  private keep(): void {
    try {
      localStorage.setItem(STORED, JSON.stringify({ rail: this.rail, folded: [...this.folded] }));
    } catch {
      // A browser that stores nothing keeps it until the page is closed.
    }
  }
}

export const layout = new Layout();
