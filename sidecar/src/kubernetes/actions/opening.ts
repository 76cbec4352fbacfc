import type { Unit } from '@chaperone/api';
import type { Action, ApiObject, Effect } from '@chaperone/policy';
import { commandsOf } from '../../ssh/actions/programs.ts';
import { quoteWords } from '../../ssh/actions/quote.ts';
import { type Unknown, unknown } from '../../ssh/actions/unknown.ts';
import { objectText } from './action.ts';
import { type Copy, copyOf } from './copy.ts';
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
  /** Streams that it has, beside how it ended. */
  readonly streams: Readonly<Record<'stdin' | 'stdout' | 'stderr' | 'tty', boolean>>;
}

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
export function openingOf(request: ResourceRequest, isProtected: boolean): Opening {
  const { verb, parameters } = request;
  const streams = streamsOf(parameters);
  if (verb === 'portforward') {
    const text = kubectl('port-forward', request, []);
    return { unit: 'forward', text, action: { effects: [insideOf(request, undefined)] }, streams };
  }
  const flags = [...(streams.stdin ? ['-i'] : []), ...(streams.tty ? ['-t'] : [])];
  if (verb === 'attach') {
    const action = { effects: [insideOf(request, SHELL)] };
    return { unit: 'shell', text: kubectl('attach', request, flags), action, streams };
  }
  const words = parameters.get('command') ?? [];
  const text = `${kubectl('exec', request, flags)} -- ${quoteWords(words)}`;
  const copy = streams.tty ? undefined : copyOf(words, streams);
  if (copy !== undefined) {
    const { verb: does, path } = copy;
    const file: Effect = { verb: does, object: path, via: 'direct', kind: 'path', below: true };
    return { unit: 'file operation', text, action: actionOf(request, [file], isProtected), copy, streams };
  }
  if (SHELLS.test(words.filter((word) => !/^(-[il]+|--login)$/.test(word)).join(' ')))
    return { unit: 'shell', text, action: actionOf(request, [SHELL], false), streams };
  const commands = words.length === 0 ? unknown('Empty') : commandsOf({ commands: [{ argv: words }] });
  const ran: Effect[] =
    commands.kind === 'unknown'
      ? [{ verb: 'exec', object: quoteWords(words), via: 'direct', kind: 'command' }]
      : commands.commands.map(({ words: each, via }) => ({
          verb: 'exec',
          object: quoteWords(each),
          via,
          kind: 'command',
          words: each,
        }));
  return {
    unit: 'command',
    text,
    action: actionOf(request, ran, streams.tty || isProtected),
    ...(commands.kind === 'unknown' && { unknown: commands }),
    streams,
  };
}

/** A port of a pod that a connection asks for. */
export function portAction(request: ResourceRequest, port: number): Action {
  const inside: Effect = { verb: 'portforward', object: String(port), via: 'direct', kind: 'address' };
  return { effects: [insideOf(request, inside)] };
}

function actionOf(request: ResourceRequest, effects: readonly Effect[], isShellToo: boolean): Action {
  return { effects: [...effects, ...(isShellToo ? [SHELL] : [])].map((effect) => insideOf(request, effect)) };
}

function insideOf({ group, resource, subresource, namespace, name, verb }: ResourceRequest, inside: Effect | undefined): Effect {
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

function kubectl(command: string, { namespace, name, parameters }: ResourceRequest, flags: readonly string[]): string {
  const [container = ''] = parameters.get('container') ?? [];
  const words = [command, '-n', namespace, name, ...(container === '' ? [] : ['-c', container]), ...flags];
  return `kubectl ${words.join(' ')}`;
}

function streamsOf(parameters: Parameters): Opening['streams'] {
  const isOn = (name: string): boolean => ['true', '1'].includes(parameters.get(name)?.[0] ?? '');
  return { stdin: isOn('stdin'), stdout: isOn('stdout'), stderr: isOn('stderr'), tty: isOn('tty') };
}
