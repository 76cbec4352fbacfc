import { isIP } from 'node:net';
import type { OpenRecord } from '@chaperone/evidence';
import type { z } from 'zod';
import type { JsonObject } from './classes.ts';

/** How much of what was recorded goes into events: as the same words of a policy's recording. What is masked is masked in all of them. */
export const CONTENTS = ['metadata', 'commands', 'results'] as const;
export type Content = (typeof CONTENTS)[number];

export interface MapOptions {
  /** Name of the log: the first part of every event's id. */
  readonly origin: string;
  readonly content: Content;
  /** Characters of one text; what is cut off says so. */
  readonly maxText: number;
}

export type Opening = z.infer<typeof OpenRecord>;
type Agent = Opening['agent'];

/** Whose session an entry is about, as far as that is known. */
export interface Subject {
  readonly session: string;
  /** As it was registered; undefined of entries that name nobody. */
  readonly agent?: Agent | undefined;
  /** The session's first record; undefined where it is not here, or nobody's to read. */
  readonly open?: Opening | undefined;
}

/** Of names; longer ones are no names. */
const MAX_NAME = 1_024;

export function cut(text: string, most: number): string {
  return text.length <= most ? text : text.slice(0, most);
}

export function nameOf(text: string): string {
  return cut(text, MAX_NAME);
}

export function agentName({ namespace, serviceAccount }: Agent): string {
  return nameOf(`${namespace}/${serviceAccount}`);
}

/** The agent, as who acts. */
export function actorOf({ session, agent }: Subject): JsonObject {
  return { ...(agent === undefined ? {} : { user: agentUser(agent) }), session: { uid: session } };
}

export function agentUser(agent: Agent): JsonObject {
  const { podUid } = agent;
  return {
    name: agentName(agent),
    ...(podUid === undefined ? {} : { uid: nameOf(podUid) }),
    type_id: 4,
    type: 'Service',
  };
}

/** Whence the agent came: its pod, and the address where that is known. */
export function sourceOf({ session, agent, open }: Subject): JsonObject {
  const pod = agent?.pod ?? open?.agent.pod;
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d{1,5})$/.exec(open?.client.address ?? '') ?? [];
  return {
    uid: nameOf(agent?.podUid ?? session),
    ...(pod === undefined ? {} : { name: nameOf(pod) }),
    ...(isIP(host) === 0 ? {} : { ip: host, ...(Number(port) > 65_535 ? {} : { port: Number(port) }) }),
  };
}

export function resourceName({ open }: Subject): string {
  return open === undefined ? 'unknown' : nameOf(`${open.resource.namespace}/${open.resource.name}`);
}

export function protocolOf({ open }: Subject): string | undefined {
  return open?.resource.protocol;
}

/** Where the agent went. */
export function destinationOf(subject: Subject): JsonObject {
  return { svc_name: resourceName(subject) };
}

/** Whom a verified token named, for `unmapped`. */
export function behalfOf({ open }: Subject): JsonObject {
  const { onBehalfOf } = open ?? {};
  if (onBehalfOf === undefined) return {};
  return { on_behalf_of: { user: nameOf(onBehalfOf.user), issuer: nameOf(onBehalfOf.issuer) } };
}
