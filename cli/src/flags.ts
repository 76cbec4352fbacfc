import type { Agent, Caller } from '@chaperone/policy';
import { usage } from './errors.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function wrong(flag: string, form: string, value: string): Error {
  return usage(`${flag} is written ${form}; "${value.slice(0, 80)}" is not`);
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Characters that an ApprovalDecision takes. */
export const MAX_DECISION_REASON = 1024;
/** Characters of the reason for an erasure or a hold. */
export const MAX_ORDER_REASON = 500;
/** Words of a person for an agent: not empty where the flag is given. */
export function reasonText(flag: string, value: string, most: number): string {
  const text = value.trim();
  if (text === '') throw usage(`${flag} is empty; say why, since others read it`);
  if (text.length > most) throw usage(`${flag} is at most ${most} characters`);
  return text;
}

/** NAMESPACE/NAME */
export function pair(flag: string, value: string): [string, string] {
  const [namespace = '', name = '', ...more] = value.split('/');
  if (more.length > 0 || !NAME.test(namespace) || !NAME.test(name)) throw wrong(flag, 'NAMESPACE/NAME', value);
  return [namespace, name];
}

/** HOST:PORT, an IPv6 host in brackets; port 0 is any free one. */
export function hostPort(flag: string, value: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]{1,253})):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !(port <= 65535)) throw wrong(flag, 'HOST:PORT', value);
  return { host, port };
}

/** NAMESPACE/NAME=HOST:PORT, each resource once. */
export function listenMap(flag: string, values: readonly string[]): Map<string, HostPort> {
  const map = new Map<string, HostPort>();
  for (const value of values) {
    const at = value.indexOf('=');
    if (at < 1) throw wrong(flag, 'NAMESPACE/NAME=HOST:PORT', value);
    const name = pair(flag, value.slice(0, at)).join('/');
    if (map.has(name)) throw usage(`${flag} names ${name} twice`);
    map.set(name, hostPort(flag, value.slice(at + 1)));
  }
  return map;
}

/** k=v,k=v in the syntax of Kubernetes labels, each key once. */
function labels(flag: string, value: string | undefined): Record<string, string> {
  if (value === undefined || value === '') return {};
  const found = new Map<string, string>();
  for (const each of value.split(',')) {
    const at = each.indexOf('=');
    const [key, text] = [each.slice(0, Math.max(at, 0)), each.slice(at + 1)];
    if (!LABEL_KEY.test(key) || !LABEL_VALUE.test(text)) throw wrong(flag, 'k=v,k=v', each);
    if (found.has(key)) throw usage(`${flag} names ${key} twice`);
    found.set(key, text);
  }
  return Object.fromEntries(found);
}

export function agentOf(flag: string, value: string, labelText: string | undefined): Agent {
  const [namespace, serviceAccount] = pair(flag, value);
  return { namespace, serviceAccount, labels: labels('--labels', labelText), annotations: {} };
}

/** Whom a token would name; the issuer does not matter where nothing is verified. */
export function callerOf(user: string | undefined, groupText: string | undefined): Caller | undefined {
  if (user === undefined) {
    if (groupText !== undefined) throw usage('--groups are those of a user; say which with --on-behalf-of');
    return undefined;
  }
  const groups = groupText === undefined ? [] : groupText.split(',');
  if (user === '' || user.length > 256) throw wrong('--on-behalf-of', 'as the name of a user', user);
  if (groups.some((group) => group === '')) throw wrong('--groups', 'a,b', groupText ?? '');
  return { issuer: '', user, groups };
}

/** A whole number from `least` to `most`. */
export function count(flag: string, value: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
  if (number < least || number > most) throw wrong(flag, `as a number from ${least} to ${most}`, value);
  return number;
}

/** A length of time such as 45s, 10m, 2h or 7d, in milliseconds. */
export function durationMs(flag: string, value: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(value);
  const unit = match?.[2] as keyof typeof UNIT_MS | undefined;
  if (match === null || unit === undefined) throw wrong(flag, 'like 45s, 10m, 2h or 7d', value);
  return Number(match[1]) * UNIT_MS[unit];
}

/** 2026-11-30 (its beginning, UTC) or 2026-11-30T17:00:00Z, with any offset; milliseconds since 1970. */
export function instant(flag: string, value: string): number {
  const isTime = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(value);
  const at = isTime ? Date.parse(value) : Number.NaN;
  if (!Number.isFinite(at) || at < 0) throw wrong(flag, 'like 2026-11-30 or 2026-11-30T17:00:00Z', value);
  return at;
}
