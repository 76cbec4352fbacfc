import { posix } from 'node:path';
import { type Action, judge } from '@chaperone/policy';
import { joinPath } from '../actions/files.ts';
import { LookupChannel } from './lookup-channel.ts';
import { asWritten, nobodyCanSay, type Resolve } from './path-lookup.ts';
import type { ProgramContext } from './program-context.ts';

/** Deeper ones are refused: each directory may take a question. */
const MAX_DEPTH = 128;

/** {@link located} by a question to the host. Whoever may not name the paths is not told where they lead. */
export async function locate(context: ProgramContext, action: Action): Promise<Action> {
  const { access, openUpstream: open, clock, hostIdent } = context;
  if (!action.effects.some(({ kind }) => kind === 'path') || judge(access(), action).verdict === 'deny') return action;
  // rsync follows links on any host. One that has no SFTP and serves git is one for git: nobody makes links there.
  const isOfGit = action.effects.some(({ kind }) => kind === 'command');
  const lookup = new LookupChannel({ open, clock, hostIdent, withoutSftp: isOfGit ? asWritten : nobodyCanSay });
  try {
    return await located(action, (path) => lookup.resolve(path));
  } finally {
    await lookup.end();
  }
}

/**
 * An action with each path as it is named and, where the host says that it leads elsewhere, with that place as well. Where the host
 * does not say, the action cannot be judged. For programs that open what they are told by themselves: rsync and git.
 */
export async function located(action: Action, resolve: Resolve): Promise<Action> {
  const named = new Set(action.effects.flatMap(({ kind, object }) => (kind === 'path' ? [object] : [])));
  const places = new Map(await Promise.all([...named].map(async (path) => [path, await placeOf(path, resolve)] as const)));
  if ([...places.values()].includes(undefined)) return { ...action, notAnalysable: 'the host does not say where its path leads' };
  const elsewhere = action.effects.flatMap((effect) => {
    const place = effect.kind === 'path' ? places.get(effect.object) : undefined;
    return place === undefined || named.has(place) ? [] : [{ ...effect, object: place }];
  });
  return { ...action, effects: [...action.effects, ...elsewhere] };
}

/** Where a path leads, as far as there is something; what lies below that is not there, and leads nowhere else. */
async function placeOf(path: string, resolve: Resolve): Promise<string | undefined> {
  const missing: string[] = [];
  for (let at = path; missing.length <= MAX_DEPTH; at = posix.dirname(at)) {
    const place = await resolve(at);
    if (place === undefined || (!place.canBe && at === '/')) return undefined;
    if (place.canBe) return missing.reduceRight(joinPath, place.path);
    missing.push(posix.basename(at));
  }
  return undefined;
}
