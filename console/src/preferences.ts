import { createStore, type Store } from './store.ts';

export const THEMES = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];
export type Zone = 'utc' | 'local';

/** A choice of this browser, kept where nothing else is. */
function kept<T extends string>(name: string, choices: readonly T[], otherwise: T): Store<T> {
  const read = (text: string | null): T => choices.find((choice) => choice === text) ?? otherwise;
  const store = createStore(read(safely(() => localStorage.getItem(name))));
  store.follow((value) => safely(() => localStorage.setItem(name, value)));
  // Another tab changed it.
  addEventListener('storage', (event) => {
    if (event.key === name) store.set(read(event.newValue));
  });
  return store;
}

/** A browser may keep nothing. */
function safely<T>(use: () => T): T | null {
  try {
    return use();
  } catch {
    return null;
  }
}

export const theme = kept<Theme>('chaperone.theme', THEMES, 'auto');
export const zone = kept<Zone>('chaperone.zone', ['utc', 'local'], 'utc');
/** Whether single letters act; people who dictate switch them off. */
export const letters = kept<'on' | 'off'>('chaperone.letters', ['on', 'off'], 'on');

/** Draws the theme now and whenever it changes. */
export function applyTheme(): void {
  apply(theme.get());
  theme.follow(apply);
}

function apply(value: Theme): void {
  if (value === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = value;
}
