import { useLayoutEffect } from 'preact/hooks';
import { letters } from './preferences.ts';

/** What a key does on a page, in the words of the list that ? shows. */
export interface KeyAction {
  /** As KeyboardEvent.key has it; two letters with a blank are pressed one after the other. */
  readonly keys: readonly string[];
  readonly does: string;
  readonly run: (event: KeyboardEvent) => void;
}

const CHORD_MS = 1_000;
const active = new Set<readonly KeyAction[]>();
let pending: { readonly first: string; readonly until: number } | undefined;

/** Every action that works now, of the page and of what is around it. */
export function activeKeys(): KeyAction[] {
  return [...active].flat();
}

/** The actions work as long as the component is drawn; `actions` must be the same array while nothing changes. */
/** In force as soon as what they are about is drawn: a key that is pressed then means it. */
export function useKeys(actions: readonly KeyAction[]): void {
  useLayoutEffect(() => {
    active.add(actions);
    return () => void active.delete(actions);
  }, [actions]);
}

export function startKeys(): void {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || writes(event.target)) return;
    if (document.querySelector('dialog[open]') !== null) return;
    if (event.key === ' ' && presses(event.target)) return;
    if (event.key.length === 1 && event.key !== '?' && letters.get() === 'off') return;
    const chord = pending !== undefined && event.timeStamp < pending.until ? `${pending.first} ${event.key}` : undefined;
    pending = undefined;
    const actions = activeKeys();
    const found = actions.find(({ keys }) => (chord !== undefined && keys.includes(chord)) || keys.includes(event.key));
    if (found !== undefined) {
      event.preventDefault();
      found.run(event);
    } else if (actions.some(({ keys }) => keys.some((key) => key.startsWith(`${event.key} `))))
      pending = { first: event.key, until: event.timeStamp + CHORD_MS };
  });
}

/** A blank presses the button that has the focus. */
function presses(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('button, a, summary') !== null;
}

/** Letters that go into a field are no commands. */
function writes(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null;
}
