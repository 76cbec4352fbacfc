import { isUtf8 } from 'node:buffer';
import { Refusal } from './refusal.ts';
import { isLabelSelector, readFieldSelector } from './selectors.ts';

/** Parameters of one request, decoded; each has one value, but for `command`, `ports` and `exclude`. */
export type Parameters = ReadonlyMap<string, readonly string[]>;

/** As many words as a command may have, and some more. */
const MAX_PARAMETERS = 1_056;

type Shape = (value: string) => boolean;
const matching =
  (pattern: RegExp): Shape =>
  (value) =>
    pattern.test(value);
const among =
  (...values: readonly string[]): Shape =>
  (value) =>
    values.includes(value);
/** The API server takes every word but `false` and `0` for true; only those that mean the same to everybody are read. */
const flag = among('true', 'false', '1', '0');
const count = matching(/^[0-9]{1,18}$/);
const duration = matching(/^(0|([0-9]{1,6}(h|m|s|ms)){1,4})$/);
const opaque = matching(/^[\x20-\x7e]{0,8192}$/);
const container = matching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
const ofCreation: Readonly<Record<string, Shape>> = {
  dryRun: among('All'),
  fieldManager: matching(/^[\x20-\x7e]{0,128}$/),
  fieldValidation: among('', 'Ignore', 'Warn', 'Strict'),
};
const ofDeletion: Readonly<Record<string, Shape>> = {
  dryRun: among('All'),
  gracePeriodSeconds: count,
  propagationPolicy: among('Orphan', 'Background', 'Foreground'),
  orphanDependents: flag,
};
const ofSelection: Readonly<Record<string, Shape>> = {
  fieldSelector: (value) => readFieldSelector(value) !== undefined,
  labelSelector: isLabelSelector,
  limit: count,
  continue: opaque,
  resourceVersion: opaque,
  resourceVersionMatch: among('', 'NotOlderThan', 'Exact'),
  timeoutSeconds: count,
};
const ofLists: Readonly<Record<string, Shape>> = {
  ...ofSelection,
  watch: flag,
  allowWatchBookmarks: flag,
  sendInitialEvents: flag,
  includeObject: among('None', 'Metadata', 'Object'),
};
const ofStreams: Readonly<Record<string, Shape>> = { container, stdin: flag, stdout: flag, stderr: flag, tty: flag };

/** Parameters that have a meaning, by what is asked for. What is not here is refused: the API server might read it, now or later. */
const KNOWN = {
  get: { resourceVersion: opaque, includeObject: among('None', 'Metadata', 'Object') },
  list: ofLists,
  create: ofCreation,
  update: ofCreation,
  patch: { ...ofCreation, force: flag },
  delete: ofDeletion,
  deletecollection: { ...ofDeletion, ...ofSelection },
  exec: { ...ofStreams, command: matching(/^[^\0]*$/) },
  attach: ofStreams,
  portforward: { ports: matching(/^[0-9]{1,5}$/) },
  proxy: {},
  log: {
    container,
    follow: flag,
    previous: flag,
    sinceSeconds: count,
    sinceTime: matching(/^[0-9TZ:.+-]{1,40}$/),
    timestamps: flag,
    tailLines: count,
    limitBytes: count,
    stream: among('All', 'Stdout', 'Stderr'),
  },
  path: { hash: matching(/^[A-Za-z0-9]{1,256}$/), verbose: among('', 'true', '1'), exclude: matching(/^[A-Za-z0-9/_-]{1,128}$/) },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Shape>>>>;
export type ParameterSet = keyof typeof KNOWN;

/** Of whatever is asked for. */
const ALWAYS: Readonly<Record<string, Shape>> = { timeout: duration, pretty: among('', 'true', 'false', '1', '0') };
const REPEATABLE: ReadonlySet<string> = new Set(['command', 'ports', 'exclude']);

/**
 * Reads a query (behind the `?`) as Go's net/url does: `+` is a blank. What Go drops without a word (broken encodings, `;`) is refused,
 * and so are empty pairs, names given twice, and every parameter that is not known to mean something for `set`.
 *
 * @throws Refusal Encoding, ParameterUnknown, ParameterRepeated, ParameterValue, ParametersTooMany
 */
export function readQuery(query: string, set: ParameterSet): Parameters {
  const parameters = new Map<string, string[]>();
  if (query === '') return parameters;
  const known: Readonly<Record<string, Shape>> = { ...ALWAYS, ...KNOWN[set] };
  const pairs = query.split('&');
  if (pairs.length > MAX_PARAMETERS) throw new Refusal('ParametersTooMany');
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    const value = decode(at < 0 ? '' : pair.slice(at + 1));
    const shape = Object.hasOwn(known, name) ? known[name] : undefined;
    if (shape === undefined) throw new Refusal('ParameterUnknown');
    const held = parameters.get(name);
    if (held !== undefined && !REPEATABLE.has(name)) throw new Refusal('ParameterRepeated');
    if (!shape(value)) throw new Refusal('ParameterValue');
    if (held === undefined) parameters.set(name, [value]);
    else held.push(value);
  }
  return parameters;
}

/** Writes parameters as Go's url.Values does, in the order that they came in. */
export function writeQuery(parameters: Parameters): string {
  const pairs = [...parameters].flatMap(([name, values]) => values.map((value) => `${encode(name)}=${encode(value)}`));
  return pairs.join('&');
}

function decode(text: string): string {
  if (/%(?![0-9A-Fa-f]{2})|;/.test(text)) throw new Refusal('Encoding');
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '%') bytes.push(Number.parseInt(text.slice(at + 1, (at += 2) + 1), 16));
    else bytes.push(character === '+' ? 0x20 : text.charCodeAt(at));
  }
  const decoded = Buffer.from(bytes);
  if (!isUtf8(decoded)) throw new Refusal('Encoding');
  return decoded.toString();
}

function encode(text: string): string {
  const escaped = encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return escaped.replaceAll('%20', '+');
}
