import type { Operation } from './patch.ts';

/** Applies a JSON patch as RFC 6902 says: the parent of `path` must exist, `add` on a member replaces it. */
export function applyPatch<T>(document: T, operations: readonly Operation[]): T {
  const result = structuredClone(document) as Record<string, unknown>;
  for (const { op, path, value } of operations) {
    if (op !== 'add') throw new Error(`unexpected ${String(op)}`);
    const keys = path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop();
    if (last === undefined) throw new Error('a patch of the whole document');
    let parent: Record<string, unknown> = result;
    for (const key of keys) {
      const next = parent[key];
      if (typeof next !== 'object' || next === null || Array.isArray(next)) throw new Error(`no object at ${path}`);
      parent = next as Record<string, unknown>;
    }
    parent[last] = structuredClone(value);
  }
  return result as T;
}
