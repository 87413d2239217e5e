// Where we are: the path and the query string, kept in the address bar.

class Route {
  path = $state(location.pathname);
  search = $state(location.search);
  readonly params = $derived(new URLSearchParams(this.search));

  go(to: string, replace = false): void {
    const url = new URL(to, location.href);
    if (url.href !== location.href) history[replace ? 'replaceState' : 'pushState'](null, '', url);
    const moved = url.pathname !== this.path;
    this.read();
    if (moved) scrollTo(0, 0);
  }

  read(): void {
    this.path = location.pathname;
    this.search = location.search;
  }
}

export const route = new Route();

addEventListener('popstate', () => route.read());

/** Files and pages that the app does not draw itself. */
const elsewhere = /^\/(docs|openapi\.json|metrics|sign-in|status|v1\/)/;

addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const anchor = (event.target as Element | null)?.closest?.('a');
  if (!anchor || anchor.target || anchor.hasAttribute('download') || anchor.origin !== location.origin)
    return;
  if (anchor.getAttribute('href')?.startsWith('#')) return;
  if (elsewhere.test(anchor.pathname)) return;
  event.preventDefault();
  route.go(anchor.href);
});
