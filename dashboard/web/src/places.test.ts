import { describe, expect, it, vi } from 'vitest';
import { groups, isWithin, placeAt, places, placesFor, type Place } from './places';

vi.mock('./pages/Overview.svelte', () => ({ default: {} }));

const load = () => Promise.resolve({ default: null });
const some: Place[] = [
  { path: '/', title: 'Portal', roles: ['partner'], load },
  { path: '/', title: 'Overview', load },
  { path: '/links/new', title: 'New', load },
  { path: '/links/:id/edit', title: 'Edit', load },
  { path: '/links/:id', title: 'Link', load },
  { path: '/keys', title: 'Keys', roles: ['admin'], load },
];
const at = (path: string, role = 'admin') => {
  const found = placeAt(path, role, some);
  return found && [found.place.title, found.id];
};

describe('a place', () => {
  it('is found by its address, with what stands for its id', () => {
    expect(at('/')).toEqual(['Overview', '']);
    expect(at('/index.html')).toEqual(['Overview', '']);
    expect(at('/links/new/')).toEqual(['New', '']);
    expect(at('/links/lnk_1')).toEqual(['Link', 'lnk_1']);
    expect(at('/links/a%20b/edit')).toEqual(['Edit', 'a b']);
    expect(at('/links/%zz')).toEqual(['Link', '%zz']);
    expect(at('/links')).toBeNull();
    expect(at('/links/a/b')).toBeNull();
  });

  it('is shown to its roles only, and each role finds its own', () => {
    expect(at('/keys', 'viewer')).toBeNull();
    expect(at('/', 'partner')).toEqual(['Portal', '']);
    expect(at('/links/lnk_1', 'partner')).toBeNull();
    expect(at('/', 'somebody')).toBeNull();
  });

  it('lights up for the pages below it, the overview for itself alone', () => {
    const entry = (path: string): Place => ({ path, title: '', load });
    expect(isWithin(entry('/links'), '/links/lnk_1/edit')).toBe(true);
    expect(isWithin(entry('/links'), '/linksmith')).toBe(false);
    expect(isWithin(entry('/'), '/')).toBe(true);
    expect(isWithin(entry('/'), '/links')).toBe(false);
  });
});

describe('the list', () => {
  it('has one place per address and role, and icons that are paths', () => {
    for (const role of ['admin', 'editor', 'viewer', 'partner']) {
      const paths = placesFor(role).map(({ path }) => path);
      expect(new Set(paths).size).toBe(paths.length);
      for (const path of paths) expect(placeAt(path, role)?.place.path).toBe(path);
    }
    for (const { group, icon } of places) {
      if (group) expect(Object.keys(groups)).toContain(group);
      if (icon) expect(icon).toMatch(/^M[\d\s.,a-zA-Z-]+$/);
    }
  });
});
