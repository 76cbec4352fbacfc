import { parseArguments } from './programs/options.ts';
import type { CommandList } from './shell.ts';

/** Files that go through the channel of a command, in a protocol of their own. */
export interface Transfer {
  readonly kind: 'transfer';
  readonly protocol: 'scp' | 'rsync' | 'git' | 'sftp';
  /** upload: the agent sends. sftp does both, and says so itself. */
  readonly direction: 'upload' | 'download' | 'both';
  /** As the server's program gets them; what is not absolute lies below where the account's sessions begin. None for sftp. */
  readonly paths: readonly string[];
  /** What lies below a path is meant as well. */
  readonly recursive: boolean;
  /** Files may be deleted, on the side that receives or (rsync) on the one that sends. */
  readonly deletes: boolean;
  /** git alone: the program that serves a repository, by its one name. */
  readonly service?: string;
  /**
   * rsync alone: the server reads filter rules of the agent before anything else, in frames where it is to hear of single files as well.
   * Absent: it reads none.
   */
  readonly rules?: 'plain' | 'framed';
  /** scp alone: what an upload goes to is a directory, or it fails. */
  readonly isIntoDirectory?: boolean;
}

export const SFTP: Transfer = {
  kind: 'transfer',
  protocol: 'sftp',
  direction: 'both',
  paths: [],
  recursive: false,
  deletes: true,
};

/** A path that the system's packages fill. Elsewhere something else could have that name. */
const SYSTEM = /^\/(usr\/)?(local\/)?(bin|lib|libexec)\/((openssh|ssh|git-core)\/)?(?=[^/]+$)/;

/**
 * The server's side of scp (without SFTP), rsync, git and sftp, as clients ask for it: one command and nothing beside it. Undefined:
 * it is none of them, or has an option that is not known.
 */
export function transferOf({ commands, operators }: CommandList): Transfer | undefined {
  const [command] = commands;
  if (command === undefined || operators.length > 0 || command.redirections.length > 0) return undefined;
  const [program = '', ...args] = command.argv;
  const name = program.replace(SYSTEM, '');
  const [verb = '', ...rest] = args;
  switch (name) {
    case 'scp':
      return scp(args);
    case 'rsync':
      return rsync(args);
    case 'git-upload-pack':
    case 'git-receive-pack':
    case 'git-upload-archive':
      return git(name, args);
    case 'git':
      return /^(upload-pack|receive-pack|upload-archive)$/.test(verb) ? git(`git-${verb}`, rest) : undefined;
    case 'sftp-server':
    case 'internal-sftp':
      return args.length > 0 ? undefined : SFTP;
    default:
      return undefined;
  }
}

/** `scp -t PATH` receives, `scp -f PATH…` sends (the protocol has no other description than its source). */
function scp(args: readonly string[]): Transfer | undefined {
  const found = parseArguments(args, { flags: 'tfrpdvq' });
  const names = new Set(found?.options.map(([name]) => name));
  const paths = found?.operands ?? [];
  if (names.has('t') === names.has('f') || paths.length === 0 || paths.includes('')) return undefined;
  if (names.has('t') && paths.length !== 1) return undefined;
  return {
    kind: 'transfer',
    protocol: 'scp',
    direction: names.has('t') ? 'upload' : 'download',
    paths,
    recursive: names.has('r'),
    deletes: false,
    isIntoDirectory: names.has('d'),
  };
}

/**
 * `rsync --server [--sender] OPTIONS . PATH…`. Options that name further files or directories on the server are not known, nor is
 * `-s`, by which the paths would come through the channel, nor those that follow links on the server (-L, -k, -K).
 */
function rsync(args: readonly string[]): Transfer | undefined {
  const [server, ...words] = args;
  if (server !== '--server') return undefined;
  const found = parseArguments(words, {
    flags: 'vqlogDtprdunbchiHAXNUmxyzSWOJPIE',
    values: 'e',
    long: `sender numeric-ids delete delete-before delete-during delete-after delete-delay delete-excluded force partial inplace append
      append-verify existing ignore-existing remove-source-files ignore-errors size-only no-implied-dirs no-r no-relative super fake-super
      safe-links munge-links stats timeout= bwlimit= block-size= max-delete= max-size= min-size= modify-window= compress-level=
      checksum-choice= compress-choice= skip-compress= usermap= groupmap= log-format= out-format= iconv= checksum-seed= list-only specials
      devices dirs new-compress old-compress preallocate stop-after= info= mkpath open-noatime atimes crtimes`,
  });
  const [dot, ...paths] = found?.operands ?? [];
  if (found === undefined || dot !== '.' || paths.length === 0 || paths.includes('')) return undefined;
  const names = new Set(found.options.map(([name]) => name));
  const isDownload = names.has('sender');
  const removes = names.has('remove-source-files');
  const deletes = [...names].some((name) => name.startsWith('delete'));
  return {
    kind: 'transfer',
    protocol: 'rsync',
    direction: isDownload ? 'download' : 'upload',
    paths,
    recursive: true,
    // --force empties a directory that a file replaces.
    deletes: deletes || names.has('force') || removes,
    // recv_filter_list of its exclude.c, and start_server of its main.c.
    ...((isDownload || deletes || names.has('m')) && { rules: isDownload && removes ? 'framed' : 'plain' }),
  };
}

/**
 * An agent that may write and read below a path could send a link there, and go through it to any other. With `--munge-links` a link that
 * comes is stored as one that leads nowhere, and is sent back as it was (rsync(1)). In version 29 of its protocol filter rules are what
 * comes first, in one form, whatever else was agreed on.
 */
export function restricted({ rules }: Transfer, [program = '', server = '', ...words]: readonly string[]): string[] {
  return [program, server, '--munge-links', ...(rules === undefined ? [] : ['--protocol=29']), ...words];
}

function git(name: string, args: readonly string[]): Transfer | undefined {
  const found = parseArguments(args, { long: 'strict no-strict timeout=' });
  const [path, ...more] = found?.operands ?? [];
  if (path === undefined || path === '' || more.length > 0) return undefined;
  return {
    kind: 'transfer',
    protocol: 'git',
    direction: name === 'git-receive-pack' ? 'upload' : 'download',
    paths: [path],
    recursive: true,
    deletes: false,
    service: name,
  };
}

/** All that git takes a name for, the first of them that is a repository (enter_repo in its path.c); the name itself comes first here. */
export function repositoriesOf(path: string): string[] {
  const name = path.replace(/(?<=.)\/+$/, '');
  return [name, `${name}/.git`, `${name}.git`, `${name}.git/.git`];
}
