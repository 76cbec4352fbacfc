import type { Body } from './body.ts';
import { isObject, type Json } from './json.ts';

/** What gives a pod more than its own: its node, or somebody else's rights. */
export type PodDanger = 'Privileged' | 'HostPath' | 'HostNamespace' | 'ForeignServiceAccount';

/** Whether a pod may run as a ServiceAccount. */
export type MayRunAs = (serviceAccount: string) => boolean;

type Check = (value: Json | undefined, mayRunAs: MayRunAs) => PodDanger | undefined;

/** @param harmless - values that give nothing; undefined is one that is not known, and no field is ever that */
const unless =
  (danger: PodDanger, harmless: (value: Json) => boolean): Check =>
  (value) =>
    value !== undefined && harmless(value) ? undefined : danger;
const isOff = (value: Json): boolean => value === false || value === null;
const serviceAccount: Check = (value, mayRunAs) =>
  value === null || value === '' || (typeof value === 'string' && mayRunAs(value)) ? undefined : 'ForeignServiceAccount';

/** Fields of pods by name in lower case, wherever they stand: kinds that nobody knows here have pods within them too. */
const FIELDS = new Map<string, Check>([
  ['privileged', unless('Privileged', isOff)],
  ['hostpath', unless('HostPath', (value) => value === null || typeof value === 'string')],
  ['hostnetwork', unless('HostNamespace', isOff)],
  ['hostpid', unless('HostNamespace', isOff)],
  ['hostipc', unless('HostNamespace', isOff)],
  ['hostprocess', unless('Privileged', isOff)],
  ['serviceaccountname', serviceAccount],
  ['serviceaccount', serviceAccount],
]);

/** Maps of texts that somebody chose, which no server reads as fields. */
const TEXTS: ReadonlySet<string> = new Set(['labels', 'annotations', 'matchLabels', 'data', 'stringData', 'binaryData']);

const isTextsKey = (part: string | undefined): boolean => part !== undefined && TEXTS.has(part);

/** What of a body makes, or could make, a pod that is more than a pod. Patches are read for what they put there. */
export function podDanger(body: Body, mayRunAs: MayRunAs): PodDanger | undefined {
  if (body.kind === 'object') return dangerIn(body.value, mayRunAs);
  for (const { op, path, from, value } of body.operations) {
    if (op === 'remove' || op === 'test') continue;
    // Of a map of texts nothing was looked at: elsewhere its keys are fields.
    if (isTextsKey(from?.at(-1)) && !path.some(isTextsKey)) return 'ForeignServiceAccount';
    if (typeof value === 'string' && path.slice(0, -1).some((part) => TEXTS.has(part))) continue;
    const danger = dangerOnPath(path, value, mayRunAs) ?? (value === undefined ? undefined : dangerIn(value, mayRunAs));
    if (danger !== undefined) return danger;
  }
  return undefined;
}

/** What lies at the path, or around it: a path through `hostPath` changes one. */
function dangerOnPath(path: readonly string[], value: Json | undefined, mayRunAs: MayRunAs): PodDanger | undefined {
  const last = path.at(-1) ?? '';
  if (path.slice(0, -1).some((part) => part.toLowerCase() === 'hostpath')) return 'HostPath';
  return FIELDS.get(last.toLowerCase())?.(value, mayRunAs);
}

function dangerIn(value: Json, mayRunAs: MayRunAs): PodDanger | undefined {
  if (Array.isArray(value)) return first(value as readonly Json[], (item) => dangerIn(item, mayRunAs));
  if (!isObject(value)) return undefined;
  return first(Object.entries(value), ([key, inner]) => {
    if (TEXTS.has(key) && isTexts(inner)) return undefined;
    return FIELDS.get(key.toLowerCase())?.(inner, mayRunAs) ?? dangerIn(inner, mayRunAs);
  });
}

/** What holds more than texts is something else by that name. */
function isTexts(value: Json): boolean {
  return isObject(value) && Object.values(value).every((text) => typeof text === 'string' || text === null);
}

function first<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
