import type { Action, Effect } from '@chaperone/policy';
import { expect, it } from 'vitest';
import { located } from './located.ts';
import type { Place } from './path-lookup.ts';

const path = (object: string): Effect => ({ verb: 'read', object, via: 'direct', kind: 'path', below: true });
const command: Effect = { verb: 'exec', object: 'git-upload-pack /a', via: 'direct', kind: 'command' };

const place = (written: string, led: string, canBe: boolean): Place => ({ path: led, canBe, written, detours: [] });

/** A host on which these are, and nothing else; undefined: it does not say. */
const host =
  (places: Readonly<Record<string, string | undefined>>) =>
  (asked: string): Promise<Place | undefined> => {
    if (!(asked in places)) return Promise.resolve(place(asked, asked, false));
    const led = places[asked];
    return Promise.resolve(led === undefined ? undefined : place(asked, led, true));
  };

it.each<[string, Record<string, string | undefined>, Effect[], string[] | string]>([
  ['where it is itself', { '/a': '/a' }, [path('/a')], ['/a']],
  ['by a link', { '/a': '/b' }, [path('/a')], ['/a', '/b']],
  ['by a link to another that is named', { '/a': '/b', '/b': '/b' }, [path('/a'), path('/b')], ['/a', '/b']],
  ['below what is there', { '/': '/', '/a': '/b' }, [path('/a/x/y')], ['/a/x/y', '/b/x/y']],
  ['below the root, where nothing is', { '/': '/' }, [path('/x/y')], ['/x/y']],
  ['nowhere', {}, [path('/a')], 'the host does not say where its path leads'],
  ['to what it keeps to itself', { '/a': undefined, '/': '/' }, [path('/a/b')], 'the host does not say where its path leads'],
  ['deeper than is asked', { '/': '/' }, [path('/a'.repeat(130))], 'the host does not say where its path leads'],
  ['as far as is asked', { '/': '/' }, [path('/a'.repeat(120))], ['/a'.repeat(120)]],
  ['no path at all', {}, [command], ['git-upload-pack /a']],
])('an action is about each path and where it leads: %s', async (_, places, effects, expected) => {
  const found: Action = await located({ effects }, host(places));
  if (typeof expected === 'string') expect(found).toEqual({ effects, notAnalysable: expected });
  else expect(found).toEqual({ effects: expected.map((object) => ({ ...effects[0], object })) });
});
