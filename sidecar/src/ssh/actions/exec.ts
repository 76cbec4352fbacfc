import { posix } from 'node:path';
import type { Action, Effect } from '@chaperone/policy';
import { type Commands, commandsOf } from './programs.ts';
import { quoteList, quoteWord, quoteWords } from './quote.ts';
import { parseShell } from './shell.ts';
import { repositoriesOf, restricted, type Transfer, transferOf } from './transfers.ts';
import type { Unknown } from './unknown.ts';

/** What a request to run something asks for. `send` goes upstream in place of what the agent wrote, and is what was judged. */
export type Exec =
  | (Commands & { readonly send: string })
  | { readonly kind: 'transfer'; readonly transfer: Transfer; readonly send: string }
  /** Only people can allow it, who read it as it is; and it is sent as it is. */
  | Unknown;

/** Reads the command of an exec request (RFC 4254, section 6.5), as the account's shell would. */
export function readExec(command: Uint8Array): Exec {
  const list = parseShell(command);
  if (list.kind === 'unknown') return list;
  const transfer = transferOf(list);
  if (transfer) return { kind: 'transfer', transfer, send: sent(transfer, list.commands[0]?.argv ?? []) };
  const found = commandsOf(list);
  return found.kind === 'unknown' ? found : { ...found, send: quoteList(list) };
}

function sent(transfer: Transfer, argv: readonly string[]): string {
  if (transfer.protocol === 'git') return quoteGit(argv);
  return quoteWords(transfer.protocol === 'rsync' ? restricted(transfer, argv) : argv);
}

/** Git hosts without a shell look for quotes around the path, which clients have last. */
function quoteGit(argv: readonly string[]): string {
  return `${quoteWords(argv.slice(0, -1))} ${quoteWord(argv.at(-1) ?? '')}`;
}

/**
 * The effects of it: each command with its words, or each path that is transferred, or one command without words. Of what names its
 * files as it goes on, sftp and scp, the start alone: both start as sftp does.
 * @param command - as the agent wrote it, for people to read where it is not known
 */
export function execAction(exec: Exec, command: Uint8Array): Action {
  switch (exec.kind) {
    case 'commands':
      return {
        effects: exec.commands.map(({ words, via }) => ({
          verb: 'exec',
          object: quoteWords(words),
          via,
          kind: 'command',
          words,
        })),
      };
    case 'transfer':
      return { effects: transferEffects(exec.transfer) };
    default:
      return {
        effects: [{ verb: 'exec', object: Buffer.from(command).toString(), via: 'direct', kind: 'command' }],
        // Two such commands may look alike to people.
        ...(exec.code === 'NotText' && { notAnalysable: exec.why }),
      };
  }
}

/**
 * Whether its text does not tell all that it does: a shell, a command with a terminal, and a command that cannot be read. The last may
 * be `bash` under any name, and read what it runs from its input.
 */
export function isOpenEnded({ effects }: Action): boolean {
  return effects.some(({ kind, words }) => kind === 'shell' || (kind === 'command' && words === undefined));
}

function transferEffects({ protocol, direction, paths, deletes, recursive, service }: Transfer): Effect[] {
  if (protocol === 'sftp' || protocol === 'scp') return [{ verb: 'subsystem', object: 'sftp', via: 'direct', kind: 'subsystem' }];
  const verbs = [direction === 'upload' ? 'write' : 'read', ...(deletes ? ['delete'] : [])];
  const places = service === undefined ? paths : paths.flatMap(repositoriesOf);
  const known = [...new Set(places.map(absolute))];
  const moves = known.flatMap((object) =>
    verbs.map((verb): Effect => ({ verb, object, via: 'direct', kind: 'path', ...(recursive && { below: true }) })),
  );
  if (service === undefined) return moves;
  // Hooks run, and what the repository's files say is read: a right to its files is none to that.
  const words = [service, ...paths];
  const names = [[service], ['git', service.replace(/^git-/, '')]];
  const also = [...places, ...known].flatMap((place) => names.map((name) => [...name, place]));
  return [...moves, { verb: 'exec', object: quoteWords(words), via: 'direct', kind: 'command', words, also }];
}

/** Why no rule can tell which files a transfer means; undefined: it can, of all that is judged as it starts. */
export function unplaced(exec: Exec): string | undefined {
  if (exec.kind !== 'transfer' || exec.transfer.protocol === 'scp') return undefined;
  const path = exec.transfer.paths.find((each) => absolute(each) === '');
  if (path === undefined) return undefined;
  return path.startsWith('/') ? 'its path has .. in it' : 'its path is relative';
}

/** '' where the words do not tell which file it is: relative to where the account begins, or through `..`, which links bend. */
function absolute(path: string): string {
  if (!path.startsWith('/') || path.split('/').includes('..')) return '';
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}
