// Light or dark: the system's choice until someone makes another, which this browser then keeps.

export type Theme = 'system' | 'light' | 'dark';
const STORED = 'weir-theme';

class ThemeState {
  chosen = $state<Theme>(read());
  systemDark = $state(matchMedia('(prefers-color-scheme: dark)').matches);
  readonly dark = $derived(this.chosen === 'system' ? this.systemDark : this.chosen === 'dark');

  choose(theme: Theme): void {
    this.chosen = theme;
    try {
      localStorage.setItem(STORED, theme);
    } catch {
      // A browser that stores nothing still shows the choice until the page is closed.
    }
    this.apply();
  }

  apply(): void {
    if (this.chosen === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.chosen;
  }
}

function read(): Theme {
  try {
    const stored = localStorage.getItem(STORED);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
}

export const theme = new ThemeState();
theme.apply();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
  theme.systemDark = event.matches;
});
