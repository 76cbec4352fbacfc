import type { Action, ApiObject, Effect } from '@chaperone/policy';
import { objectText, openingOf, type Opening, portAction, type Verb } from '../kubernetes/actions/index.ts';
import type { Noted } from './notes.ts';

type Call = NonNullable<Noted['kubernetes']>;

/** Calls are rebuilt from what they are about; what opens a pod is read again from the words that ask for it. */
export function kubernetesActions(noted: Noted): readonly Action[] | 'masked' | 'shortened' | 'unclear' {
  const { kubernetes: call, effects, text } = noted;
  if (call === undefined) return withoutCall(noted);
  if (OPENS.has(call.verb)) return text === undefined ? 'shortened' : openingActions(call, text);
  const hidden = hiddenPart(call, text);
  if (hidden !== undefined) return hidden;
  const api = apiOf(call);
  const object = objectText(api);
  return [{ effects: effects.map(({ verb, via }): Effect => ({ verb, object, via, kind: 'api-object', api })) }];
}

const OPENS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward']);

/** Verbs that are about one object. */
const OF_ONE: ReadonlySet<string> = new Set(['get', 'update', 'patch', 'delete']);

/**
 * A mask may leave nothing of a name, and no name means all: that there was none is to be seen in the request's own line.
 */
function hiddenPart({ verb, name, namespace }: Call, text: string | undefined): 'masked' | 'shortened' | undefined {
  if (name === '' && OF_ONE.has(verb)) return 'masked';
  if (name !== '' && namespace !== '') return undefined;
  const [, path] = /^[A-Z]+ ([^ ?\n]+)/.exec(text ?? '') ?? [];
  if (path === undefined) return 'shortened';
  return path.includes('//') || path.endsWith('/') ? 'masked' : undefined;
}

function apiOf({ group, resource, subresource, namespace, name }: Call): ApiObject {
  return { group, resource, subresource, namespace, name };
}

/** A path, or a port of a pod, which a connection that is open already asks for. */
function withoutCall({ effects }: Noted): readonly Action[] | 'unclear' {
  const [effect, ...more] = effects;
  if (effect === undefined || more.length > 0) return 'unclear';
  if (effect.verb === 'get' && effect.object.startsWith('/')) return [{ effects: [{ ...effect, kind: 'api-path' }] }];
  const [, subresource = '', name = '', namespace = '', port = ''] =
    /^pods\/(portforward) ([^ ]+) in ([^ :]+): ([1-9]\d{0,4})$/.exec(effect.object) ?? [];
  if (port === '') return 'unclear';
  return [portAction({ group: '', resource: 'pods', subresource, namespace, name, verb: 'portforward' }, Number(port))];
}

/** As the proxy may have taken it: whole, or for less, of a pod that is protected elsewhere or is none. */
function openingActions(call: Call, text: string): readonly Action[] | 'shortened' {
  const parameters = parametersOf(text);
  if (parameters === undefined) return 'shortened';
  const request = { ...apiOf(call), verb: call.verb as Verb, parameters };
  const taken = [false, true].flatMap((isProtected): Opening[] => {
    const whole = openingOf(request, isProtected);
    return [whole, ...(whole.less === undefined ? [] : [whole.less])];
  });
  const whole = taken.filter((opening) => opening.text === text);
  return whole.length === 0 ? 'shortened' : whole.map(({ action }) => action);
}

/** `kubectl exec -n shop web-1 -c app -i -t -- ls -l`, read as its author wrote it. */
function parametersOf(text: string): ReadonlyMap<string, readonly string[]> | undefined {
  const [head = ''] = text.split(' -- ', 1);
  const words = text.length > head.length ? unquotedWords(text.slice(head.length + ' -- '.length)) : [];
  const flags = /^kubectl [a-z-]+ -n [^ ]+ [^ ]+( -c (?<container>[^ ]+))?(?<stdin> -i)?(?<tty> -t)?$/.exec(head)?.groups;
  if (words === undefined || flags === undefined) return undefined;
  const said = { container: flags['container'], stdin: flags['stdin'] && 'true', tty: flags['tty'] && 'true' };
  const values = Object.entries(said).flatMap(([name, value]) => (value === undefined ? [] : [[name, [value]] as const]));
  return new Map<string, readonly string[]>([['command', words], ...values]);
}

/** The inverse of quoteWords; undefined where the text is none of its. */
function unquotedWords(text: string): string[] | undefined {
  const words: string[] = [];
  const word = /((?:'[^']*'|\\'|[A-Za-z0-9_@%+:,./-]+)+)( |$)/y;
  while (word.lastIndex < text.length) {
    const [, quoted] = word.exec(text) ?? [];
    if (quoted === undefined) return undefined;
    words.push(quoted.replaceAll(/'([^']*)'|\\'/g, (_, inner?: string) => inner ?? "'"));
  }
  return words;
}
