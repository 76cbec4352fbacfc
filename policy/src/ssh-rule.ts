import { FILE_OPERATIONS, type SshOperation, type SshSelector } from '@chaperone/api';
import type { AccessRule } from './access.ts';
import type { Effect } from './action.ts';
import { matchCommand, mayMatchCommand, parseCommandGlob } from './command-glob.ts';
import { type Glob, matchPathGlob, matchPathsBelow, mayMatchPathsBelow, parsePathGlob } from './glob.ts';

/** What SSH does, as against SQL: the two are met by other selectors. */
export type SshEffect = Effect & { readonly kind: 'command' | 'path' | 'subsystem' | 'address' | 'shell' };
const KINDS: ReadonlySet<string> = new Set<SshEffect['kind']>(['command', 'path', 'subsystem', 'address', 'shell']);

export function isOfSsh(effect: Effect): effect is SshEffect {
  return KINDS.has(effect.kind);
}

/** How a rule that says `ssh` meets effects of one kind. */
interface Meeting {
  readonly covers: (ssh: SshSelector, effect: SshEffect, rule: AccessRule['effect']) => boolean;
  readonly touches: (ssh: SshSelector, effect: SshEffect) => boolean;
}

/**
 * {@link covers} for SSH. A command whose words are not known is covered by nothing but a rule that asks people about every command:
 * they read the text itself. A rule without `ssh` lets nothing through.
 */
export function sshCovers({ ssh, effect: wanted }: Pick<AccessRule, 'ssh' | 'effect'>, effect: SshEffect): boolean {
  return ssh !== undefined && MEETINGS[effect.kind].covers(ssh, effect, wanted);
}

/** {@link touches} for SSH: a rule without `ssh` is about all of it, and what is not known may be anything. */
export function sshTouches({ ssh }: Pick<AccessRule, 'ssh'>, effect: SshEffect): boolean {
  return ssh === undefined || MEETINGS[effect.kind].touches(ssh, effect);
}

const ofCommands: Meeting = {
  covers: ({ commands = [] }, { words }, rule) =>
    words === undefined
      ? rule === 'RequireApproval' && commands.includes('**')
      : commands.some((pattern) => matches(parseCommandGlob(pattern), (glob) => matchCommand(glob, words), false)),
  touches: ({ commands = [] }, { words, also = [] }) =>
    words === undefined
      ? commands.length > 0
      : commands.some((pattern) =>
          matches(parseCommandGlob(pattern), (glob) => [words, ...also].some((each) => mayMatchCommand(glob, each)), true),
        ),
};

const ofPaths: Meeting = {
  covers: ({ files }, { verb, object, below }) =>
    object !== '' &&
    (files?.operations ?? []).some((operation) => operation === verb) &&
    (files?.paths ?? []).some((pattern) =>
      matches(parsePathGlob(pattern), (glob) => (below ? matchPathsBelow : matchPathGlob)(glob, object), false),
    ),
  touches: ({ files }, { verb, object, below }) => {
    if (files === undefined) return false;
    const { operations, paths } = files;
    if (operations !== undefined && !operations.some((operation) => operation === verb)) return false;
    if (paths === undefined || object === '') return true;
    const mayMatch = (glob: Glob): boolean => (below ? mayMatchPathsBelow : matchPathGlob)(glob, object);
    return paths.some((pattern) => matches(parsePathGlob(pattern), mayMatch, true));
  },
};

/** Each file that goes through it is judged by itself. */
const SFTP = 'sftp';

const ofSubsystems: Meeting = {
  covers: ({ files, subsystems = [] }, effect) =>
    subsystems.includes(effect.object) || (isOfFiles(effect) && files !== undefined),
  touches: ({ subsystems = [] }, { object }) => subsystems.includes(object),
};

const isForwarded: Meeting['touches'] = ({ forward = [] }, { object }) =>
  forward.some((pattern) => matchesAddress(pattern, object));

const MEETINGS: Readonly<Record<SshEffect['kind'], Meeting>> = {
  command: ofCommands,
  path: ofPaths,
  subsystem: ofSubsystems,
  address: { covers: isForwarded, touches: isForwarded },
  shell: { covers: ({ shell }, _, rule) => shell === true && rule !== 'Allow', touches: ({ shell }) => shell === true },
};

/** Whether a grant of any operation on files is one of this as well: it starts what does nothing else, and each of them is judged. */
export function isOfFiles({ kind, object }: Effect): boolean {
  return kind === 'subsystem' && object === SFTP;
}

/** Verbs that a rule is about. */
export function sshVerbs({ commands, files, subsystems, forward, shell }: SshSelector): SshOperation[] {
  return [
    ...(commands ? (['exec'] as const) : []),
    ...(files?.operations ?? (files ? FILE_OPERATIONS : [])),
    ...(subsystems ? (['subsystem'] as const) : []),
    ...(forward ? (['forward'] as const) : []),
    ...(shell ? (['shell'] as const) : []),
  ];
}

/** What a rule names for one verb, for people to read. */
export function sshObjects({ commands, files, subsystems, forward }: SshSelector, verb: string): readonly string[] {
  switch (verb) {
    case 'exec':
      return commands ?? [];
    case 'subsystem':
      return subsystems ?? [];
    case 'forward':
      return forward ?? [];
    case 'shell':
      return ['shell'];
    default:
      return files?.paths ?? [];
  }
}

/** The first field that is an empty list or no pattern, below `ssh`, with what it should be; undefined: all can be read. */
export function unreadableField({ commands, files, subsystems, forward }: SshSelector): string | undefined {
  const lists = { commands, 'files.operations': files?.operations, 'files.paths': files?.paths, subsystems, forward };
  const empty = Object.entries(lists).find(([, list]) => list?.length === 0);
  if (empty !== undefined) return `${empty[0]} is empty`;
  const command = (commands ?? []).findIndex((pattern) => parseCommandGlob(pattern) === undefined);
  if (command >= 0) return `commands[${command}]: ** stands alone as the last word, and one space between words`;
  const path = (files?.paths ?? []).findIndex((pattern) => parsePathGlob(pattern) === undefined);
  return path < 0 ? undefined : `files.paths[${path}]: ** stands once, alone between slashes, and no slash is the last character`;
}

/** `unknown` is the answer for a pattern that cannot be read. */
function matches<G>(glob: G | undefined, match: (glob: G) => boolean, unknown: boolean): boolean {
  return glob === undefined ? unknown : match(glob);
}

/** `host:port` as the agent wrote it, against `host:port`, `*.domain:port` or `host:*`. */
function matchesAddress(pattern: string, address: string): boolean {
  const [host, port] = split(pattern);
  const [name, number] = split(address.toLowerCase());
  if (port !== '*' && port !== number) return false;
  return host.startsWith('*.') ? name.endsWith(host.slice(1)) && name.length > host.length - 1 : host.toLowerCase() === name;
}

function split(address: string): [host: string, port: string] {
  const at = address.lastIndexOf(':');
  return [address.slice(0, at), address.slice(at + 1)];
}
