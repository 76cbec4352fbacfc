import type { Unit } from '@chaperone/api';
import type { Action, ApiObject, Effect } from '@chaperone/policy';
import { type Commands, commandsOf } from '../../ssh/actions/programs.ts';
import { quoteWords } from '../../ssh/actions/quote.ts';
import { type Unknown, unknown } from '../../ssh/actions/unknown.ts';
import { objectText } from './action.ts';
import { type Copy, copyOf, lookedAt } from './copy.ts';
import type { Parameters } from './query.ts';
import type { ResourceRequest } from './request.ts';

/** What a connection of its own opens in a pod. */
export interface Opening {
  readonly unit: Unit;
  /** As people read it: the words of kubectl that ask for it. */
  readonly text: string;
  readonly action: Action;
  /** Why it cannot be told what runs. */
  readonly unknown?: Unknown;
  /** Files go through it, as an archive. */
  readonly copy?: Copy;
  /** It tells whether something is there and no more: who may do anything to it, if need be after approval, may know. */
  readonly tells?: true;
  /** The same, taken for less: what counts where the whole of it may not. */
  readonly less?: Opening;
  /** Streams that it has, beside how it ended. */
  readonly streams: Readonly<Record<'stdin' | 'stdout' | 'stderr' | 'tty', boolean>>;
}

/** What of a request says what it opens. */
export type Opens = Pick<ResourceRequest, keyof ApiObject | 'verb' | 'parameters'>;

/** Without a word of what they are to run. */
const SHELLS = /^(\/(usr\/)?bin\/)?(sh|bash|dash|ash|ksh|zsh|fish|busybox sh)$/;
const SHELL: Effect = { verb: 'shell', object: 'shell', via: 'direct', kind: 'shell' };

/**
 * What exec, attach and portforward do in a pod. The words of a command stand in the request, each by itself, and no shell reads them:
 * only the text behind `sh -c` is read as one would. A shell, a terminal and attach are open-ended: what comes is not judged. A pod
 * that runs what is protected elsewhere is entered as a shell is.
 *
 * @param isProtected - of the pod
 */
export function openingOf(request: Opens, isProtected: boolean): Opening {
  const streams = streamsOf(request.parameters);
  const flags = [...(streams.stdin ? ['-i'] : []), ...(streams.tty ? ['-t'] : [])];
  switch (request.verb) {
    case 'portforward':
      return {
        unit: 'forward',
        text: kubectl('port-forward', request, []),
        action: { effects: [insideOf(request, undefined)] },
        streams,
      };
    case 'attach':
      return { unit: 'shell', text: kubectl('attach', request, flags), action: actionOf(request, [SHELL], false), streams };
    default:
      return execOf(request, isProtected, streams, flags);
  }
}

function execOf(request: Opens, isProtected: boolean, streams: Opening['streams'], flags: readonly string[]): Opening {
  const words = request.parameters.get('command') ?? [];
  const shared = { text: `${kubectl('exec', request, flags)} -- ${quoteWords(words)}`, streams };
  const onFile = (verb: Copy['verb'], path: string, below: boolean): Pick<Opening, 'unit' | 'action'> => {
    const effect: Effect = { verb, object: path, via: 'direct', kind: 'path', ...(below && { below }) };
    return { unit: 'file operation', action: actionOf(request, [effect], isProtected) };
  };
  const copy = streams.tty ? undefined : copyOf(words, streams);
  if (copy !== undefined) {
    const { verb, path } = copy;
    const one = { ...shared, ...onFile(verb, path, false), copy: { ...copy, isOne: true } };
    return { ...shared, ...onFile(verb, path, true), copy, ...(verb === 'read' && { less: one }) };
  }
  if (isShell(words)) return { ...shared, unit: 'shell', action: actionOf(request, [SHELL], false) };
  const commands = words.length === 0 ? unknown('Empty') : commandsOf({ commands: [{ argv: words }] });
  const looked = streams.tty ? undefined : lookedAt(words);
  return {
    ...shared,
    unit: 'command',
    action: actionOf(request, commandEffects(words, commands), streams.tty || isProtected),
    ...(commands.kind === 'unknown' && { unknown: commands }),
    ...(looked !== undefined && { less: { ...shared, ...onFile('write', looked, false), tells: true } }),
  };
}

function isShell(words: readonly string[]): boolean {
  return SHELLS.test(words.filter((word) => !/^(-[il]+|--login)$/.test(word)).join(' '));
}

function commandEffects(words: readonly string[], commands: Commands | Unknown): Effect[] {
  if (commands.kind === 'unknown') return [{ verb: 'exec', object: quoteWords(words), via: 'direct', kind: 'command' }];
  return commands.commands.map(
    ({ words: each, via }): Effect => ({ verb: 'exec', object: quoteWords(each), via, kind: 'command', words: each }),
  );
}

/** A port of a pod that a connection asks for. */
export function portAction(request: Omit<Opens, 'parameters'>, port: number): Action {
  const inside: Effect = { verb: 'portforward', object: String(port), via: 'direct', kind: 'address' };
  return { effects: [insideOf(request, inside)] };
}

function actionOf(request: Opens, effects: readonly Effect[], isShellToo: boolean): Action {
  return { effects: [...effects, ...(isShellToo ? [SHELL] : [])].map((effect) => insideOf(request, effect)) };
}

function insideOf(
  { group, resource, subresource, namespace, name, verb }: Omit<Opens, 'parameters'>,
  inside: Effect | undefined,
): Effect {
  const api: ApiObject = { group, resource, subresource, namespace, name };
  const does = inside?.kind === 'path' ? `${inside.verb} ${inside.object}` : inside?.object;
  return {
    verb,
    object: `${objectText(api)}${does === undefined ? '' : `: ${does}`}`,
    via: inside?.via ?? 'direct',
    kind: 'api-object',
    api,
    ...(inside !== undefined && { inside }),
  };
}

function kubectl(command: string, { namespace, name, parameters }: Opens, flags: readonly string[]): string {
  const [container = ''] = parameters.get('container') ?? [];
  const words = [command, '-n', namespace, name, ...(container === '' ? [] : ['-c', container]), ...flags];
  return `kubectl ${words.join(' ')}`;
}

function streamsOf(parameters: Parameters): Opening['streams'] {
  const isOn = (name: string): boolean => ['true', '1'].includes(parameters.get(name)?.[0] ?? '');
  return { stdin: isOn('stdin'), stdout: isOn('stdout'), stderr: isOn('stderr'), tty: isOn('tty') };
}
