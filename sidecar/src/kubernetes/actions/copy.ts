/** Files that `kubectl cp` copies: an archive comes out of a pod, or goes into it. */
export interface Copy {
  readonly verb: 'read' | 'write';
  /** Absolute: what is read; or the directory below which it is written. '' where the words do not tell. */
  readonly path: string;
  /** The one file at the path, and nothing else, is what may be copied. Default: whatever lies there and below */
  readonly isOne?: boolean;
}

/**
 * What kubectl asks for, word by word (k8s.io/kubectl, pkg/cmd/cp): `tar cf - PATH` with an archive from it; `tar [--no-same-permissions
 * --no-same-owner] -xmf - [-C DIRECTORY]` with one to it. Undefined: it is none of these.
 */
export function copyOf([tar, ...words]: readonly string[], { stdin }: { readonly stdin: boolean }): Copy | undefined {
  if (tar !== 'tar') return undefined;
  return stdin ? written(words) : read(words);
}

function read([letters, dash, path, ...more]: readonly string[]): Copy | undefined {
  const isIt = letters === 'cf' && dash === '-' && path !== undefined && more.length === 0;
  return isIt ? { verb: 'read', path: absolute(path) } : undefined;
}

function written(words: readonly string[]): Copy | undefined {
  const isPlain = words[0] === '--no-same-permissions' && words[1] === '--no-same-owner';
  const [extract, dash, into, directory = '', ...more] = words.slice(isPlain ? 2 : 0);
  const isIt = extract === '-xmf' && dash === '-' && (into === undefined || into === '-C') && more.length === 0;
  return isIt ? { verb: 'write', path: absolute(directory) } : undefined;
}

/** The path of `test -d PATH`, by which kubectl finds out whether what it copies to is a directory. Undefined: it is none of that. */
export function lookedAt([test, flag, path = '', ...more]: readonly string[]): string | undefined {
  return test === 'test' && flag === '-d' && more.length === 0 ? absolute(path) : undefined;
}

/** '' where it is not one: relative to where the container begins, or through `..`, which links bend. */
function absolute(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return !path.startsWith('/') || parts.includes('..') || path.includes('\0') ? '' : `/${parts.join('/')}`;
}
