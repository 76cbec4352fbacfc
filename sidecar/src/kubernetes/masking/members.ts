import { MAX_DEPTH } from './limits.ts';
import type { State } from './state.ts';

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What the place of an object is, by what the object says of itself: for values, as the scanner does for bytes. */
export function stateInside(state: State, value: object): State {
  const { kind, name } = value as { kind?: unknown; name?: unknown };
  const known = typeof kind === 'string' ? state.withKind(kind) : state;
  return state.role === 'variables' && typeof name === 'string' ? known.named(name) : known;
}

/** Whether more than `most` objects and lists stand in each other. */
export function isDeeper(value: unknown, most: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= most && level.length > 0; depth++)
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  return level.some((item) => typeof item === 'object' && item !== null);
}

/** Parts of a JSON Pointer (RFC 6901). */
export function pointerParts(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Where the parts of a pointer lead. */
export function pointed(root: State, parts: readonly string[]): State {
  return parts.slice(0, MAX_DEPTH).reduce((state, part) => state.pointed(part), root);
}
