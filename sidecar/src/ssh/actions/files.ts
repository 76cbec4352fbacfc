import { isUtf8 } from 'node:buffer';
import { posix } from 'node:path';
import { FILE_OPERATIONS } from '@chaperone/api';
import type { Effect } from '@chaperone/policy';
import { FLAG, MAX_PATH_BYTES } from '../wire/sftp.ts';
import type { PathKind } from '../wire/sftp-request.ts';

export type FileVerb = (typeof FILE_OPERATIONS)[number];

/** Whether the server follows a link that is the last part of a path, or means the link itself. */
export type Lookup = 'target' | 'entry';

/** What is done to one path of a request. */
export interface PathUse {
  readonly lookup: Lookup;
  readonly verbs: readonly FileVerb[];
}

export interface FileOperation {
  /** What records call it. */
  readonly name: string;
  /** In the order of the wire. */
  readonly uses: readonly PathUse[];
  /** It may change where paths lead. */
  readonly changes: boolean;
  /** It tells about a path and no content: {@link mayTellOf} decides. */
  readonly tells: boolean;
}

const entry = (...verbs: FileVerb[]): PathUse => ({ lookup: 'entry', verbs });
const target = (...verbs: FileVerb[]): PathUse => ({ lookup: 'target', verbs });
const change = (name: string, ...uses: PathUse[]): FileOperation => ({ name, uses, changes: true, tells: false });
const tell = (use: PathUse): FileOperation => ({ name: 'list', uses: [use], changes: false, tells: true });

/**
 * What each request does to its paths. A hard link to a link is not made: it becomes one to what the link leads to, since systems
 * differ in which of both they link. SYMLINK has OpenSSH's order, the target first.
 */
const OPERATIONS: Readonly<Record<Exclude<PathKind, 'open'>, FileOperation>> = {
  opendir: { name: 'list', uses: [target('list')], changes: false, tells: false },
  stat: tell(target('list')),
  lstat: tell(entry('list')),
  readlink: tell(entry('list')),
  statvfs: tell(target('list')),
  realpath: tell(target('list')),
  'expand-path': tell(target('list')),
  'home-directory': tell(target('list')),
  setstat: change('attributes', target('write')),
  lsetstat: change('attributes', entry('write')),
  mkdir: change('mkdir', entry('write')),
  remove: change('delete', entry('delete')),
  rmdir: change('delete', entry('delete')),
  rename: change('rename', entry('delete'), entry('write')),
  'posix-rename': change('rename', entry('delete'), entry('write')),
  symlink: change('symlink', target('read', 'write'), entry('write')),
  hardlink: change('link', target('read', 'write'), entry('write')),
};

const WRITING = FLAG.write | FLAG.append | FLAG.create | FLAG.truncate | FLAG.exclusive;

/** @param flags - of OPEN; any that can change a file make it `write`, and without `write` a server opens for reading */
export function operationOf(kind: PathKind, flags: number): FileOperation {
  if (kind !== 'open') return OPERATIONS[kind];
  const writes = (flags & WRITING) !== 0;
  const reads = (flags & FLAG.read) !== 0 || (flags & FLAG.write) === 0;
  const creates = FLAG.create | FLAG.exclusive;
  const verbs: FileVerb[] = [...(reads ? (['read'] as const) : []), ...(writes ? (['write'] as const) : [])];
  const lookup = (flags & creates) === creates ? 'entry' : 'target';
  return { name: writes ? 'write' : 'read', uses: [{ lookup, verbs }], changes: writes, tells: false };
}

/** @param below - everything below the path is meant too */
export function fileEffect(verb: FileVerb, path: string, below = false): Effect {
  return { verb, object: path, via: 'direct', kind: 'path', ...(below && { below }) };
}

export function effectsOf({ uses }: FileOperation, paths: readonly string[], below: readonly boolean[] = []): Effect[] {
  return uses.flatMap(({ verbs }, at) => verbs.map((verb) => fileEffect(verb, paths[at] ?? '', below[at] ?? false)));
}

/** One request of SFTP, or one file of scp, to be judged. */
export interface FileAction {
  /** What records call it: read, write, list, delete, mkdir, rename, symlink, link, attributes. */
  readonly operation: string;
  readonly effects: readonly Effect[];
  /** The attributes that it sets, as people read them; empty or absent: none. */
  readonly attributes?: string;
}

/** Told how an operation ended that people approved. */
export type FileEnded = (state: 'Ran' | 'Failed', result: string) => void;

/** `line` is what the agent is told, one line without its end. */
export type FileDecision =
  | { readonly verdict: 'allow'; readonly ended?: FileEnded }
  | { readonly verdict: 'deny'; readonly line: string };
export type FileVerdict =
  | FileDecision
  | { readonly verdict: 'held'; readonly line: string; readonly outcome: Promise<FileDecision> };

/** Who decides; given to the machines that read SFTP and scp. */
export interface FileJudge {
  /** What would be said; asks nobody and records nothing. */
  readonly preview: (effects: readonly Effect[]) => 'allow' | 'approve' | 'deny';
  readonly judge: (action: FileAction) => FileVerdict | Promise<FileVerdict>;
  /**
   * Something is open by these effects. The answer is asked for before each use: undefined, or why it may not be used any more, a line.
   * @param wasApproved - people agreed to it
   */
  readonly opened: (effects: readonly Effect[], wasApproved: boolean) => () => string | undefined;
}

/**
 * Who may do anything at all to a path, if need be after approval, may know of it too: that it is there, its attributes, where it
 * leads. Clients ask for that before they read or write.
 */
export function mayTellOf({ preview }: FileJudge, path: string): boolean {
  return path !== '' && FILE_OPERATIONS.some((verb) => preview([fileEffect(verb, path)]) !== 'deny');
}

/** What may be named to the agent of a path that it may not use: where it leads, once the agent may know of it as it is written. */
export function namedOf(judge: FileJudge, written: readonly string[], led: readonly string[]): readonly string[] {
  return written.every((path) => mayTellOf(judge, path)) ? led : written;
}

/** A path as text; undefined: too long, not UTF-8 or with a NUL, so that two of them could look alike to a rule. */
export function pathText(bytes: Buffer): string | undefined {
  if (bytes.length > MAX_PATH_BYTES || !isUtf8(bytes) || bytes.includes(0)) return undefined;
  return bytes.toString();
}

/** Whether it is absolute, and has no empty part, `.` or `..`. */
export function isResolved(path: string): boolean {
  return path.startsWith('/') && posix.resolve(path) === path;
}

/** A path as it reads, whatever links lead elsewhere. */
export function lexicalPath(directory: string, path: string): string {
  return posix.resolve('/', directory, path);
}

/**
 * What a path goes through and leaves again by `..`, as it reads: that it leads anywhere tells that these are there. Without those that
 * hold its end or the directory that it begins in, which are there anyway.
 */
export function detoursOf(directory: string, path: string): string[] {
  const left: string[] = [];
  let at = path.startsWith('/') ? '/' : lexicalPath('/', directory);
  for (const part of path.split('/')) {
    if (part === '..') left.push(at);
    at = posix.join(at, part);
  }
  return left.filter((place) => !isAbove(place, at) && !isAbove(place, directory));
}

/** Whether a path is another one, or holds it. */
function isAbove(path: string, other: string): boolean {
  return path === '/' || `${other}/`.startsWith(`${path}/`);
}

/** Directory and name of the entry that a path means; undefined where its last part is none of a directory. */
export function entryOf(path: string): { directory: string; name: string } | undefined {
  const trimmed = path.replace(/\/+$/, '');
  const at = trimmed.lastIndexOf('/');
  const name = trimmed.slice(at + 1);
  if (name === '' || name === '.' || name === '..') return undefined;
  return { directory: at < 0 ? '.' : at === 0 ? '/' : trimmed.slice(0, at), name };
}

export function joinPath(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}

/** The operation, where it is more than a verb, and each verb with its path, in quotes: no path can look like two. */
export function described(operation: string, effects: readonly Effect[]): string {
  const uses = effects.map(usedText);
  return effects.length === 1 && effects[0]?.verb === operation ? uses.join() : `${operation}: ${uses.join(', ')}`;
}

function usedText({ verb, object, below }: Effect): string {
  return `${verb} ${JSON.stringify(object)}${below === true ? BELOW : ''}`;
}

const BELOW = ' and below';

/**
 * Reads again what {@link described} wrote, with or without attributes behind it.
 * @param noted - the effects that it was written of, without `below`
 */
export function describedEffects(text: string, noted: readonly Pick<Effect, 'verb' | 'object'>[]): Effect[] | undefined {
  let rest = text.replace(/^[a-z]+: /, '');
  const effects: Effect[] = [];
  for (const { verb, object } of noted) {
    const operation = FILE_OPERATIONS.find((each) => each === verb);
    const written = `${effects.length > 0 ? ', ' : ''}${usedText(fileEffect(operation ?? 'read', object))}`;
    if (operation === undefined || !rest.startsWith(written)) return undefined;
    rest = rest.slice(written.length);
    const below = rest.startsWith(BELOW);
    if (below) rest = rest.slice(BELOW.length);
    effects.push(fileEffect(operation, object, below));
  }
  return rest === '' || rest.startsWith(', ') ? effects : undefined;
}
