/** Files that `kubectl cp` copies: an archive comes out of a pod, or goes into it. */
export interface Copy {
  readonly verb: 'read' | 'write';
  /** Absolute: what is read; or the directory below which it is written. '' where the words do not tell. */
  readonly path: string;
}

/**
 * What kubectl asks for, word by word (k8s.io/kubectl, pkg/cmd/cp): `tar cf - PATH` with an archive from it; `tar [--no-same-permissions
 * --no-same-owner] -xmf - [-C DIRECTORY]` with one to it. Undefined: it is none of these.
 */
export function copyOf(words: readonly string[], { stdin }: { readonly stdin: boolean }): Copy | undefined {
  const [tar, letters, dash, path, ...more] = words;
  if (tar !== 'tar') return undefined;
  if (letters === 'cf' && dash === '-' && path !== undefined && more.length === 0 && !stdin)
    return { verb: 'read', path: absolute(path) };
  const [first, second] = words.slice(1);
  const isPlain = first === '--no-same-permissions' && second === '--no-same-owner';
  const [extract, from, into, directory = '', ...others] = words.slice(isPlain ? 3 : 1);
  if (extract !== '-xmf' || from !== '-' || !stdin || others.length > 0 || (into !== undefined && into !== '-C')) return undefined;
  return { verb: 'write', path: into === undefined ? '' : absolute(directory) };
}

/** '' where it is not one: relative to where the container begins, or through `..`, which links bend. */
function absolute(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return !path.startsWith('/') || parts.includes('..') || path.includes('\0') ? '' : `/${parts.join('/')}`;
}
