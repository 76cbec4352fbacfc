/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };
export type JsonObject = { readonly [key: string]: Json | undefined };

export const OCSF_VERSION = '1.8.0';

/** The classes of OCSF 1.8 that events are of, with the activities of each that are used; 0 is Unknown and 99 Other in all of them. */
export const CLASSES = {
  finding: { uid: 2004, name: 'Detection Finding', category: 2, activities: { 1: 'Create' } },
  authentication: { uid: 3002, name: 'Authentication', category: 3, activities: { 1: 'Logon', 2: 'Logoff' } },
  authorization: { uid: 3003, name: 'Authorize Session', category: 3, activities: { 1: 'Assign Privileges' } },
  entity: { uid: 3004, name: 'Entity Management', category: 3, activities: { 2: 'Read', 3: 'Update', 4: 'Delete', 6: 'Enroll' } },
  network: { uid: 4001, name: 'Network Activity', category: 4, activities: { 6: 'Traffic' } },
  ssh: { uid: 4007, name: 'SSH Activity', category: 4, activities: { 5: 'Refuse', 6: 'Traffic' } },
  api: { uid: 6003, name: 'API Activity', category: 6, activities: { 1: 'Create', 2: 'Read', 3: 'Update', 4: 'Delete' } },
  datastore: {
    uid: 6005,
    name: 'Datastore Activity',
    category: 6,
    activities: { 2: 'Update', 4: 'Query', 5: 'Write', 6: 'Create', 7: 'Delete' },
  },
} as const;
export type ClassName = keyof typeof CLASSES;
export type ClassUid = (typeof CLASSES)[ClassName]['uid'];

const CATEGORIES = {
  2: 'Findings',
  3: 'Identity & Access Management',
  4: 'Network Activity',
  6: 'Application Activity',
} as const;
const EVERYWHERE = { 0: 'Unknown', 99: 'Other' } as const;

export const SEVERITIES = { 1: 'Informational', 2: 'Low', 3: 'Medium', 4: 'High', 5: 'Critical' } as const;
export type Severity = keyof typeof SEVERITIES;

const ACTIONS = { 1: 'Allowed', 2: 'Denied', 3: 'Observed', 99: 'Other' } as const;
const DISPOSITIONS = { 1: 'Allowed', 2: 'Blocked', 14: 'Delayed', 17: 'Logged' } as const;
/** Classes in which who acted stands by profile host. */
const HOSTS: ReadonlySet<ClassName> = new Set(['finding', 'network', 'ssh']);
/** A finding has states of its own. */
const STATUSES = { 0: 'Unknown', 1: 'Success', 2: 'Failure', 99: 'Other' } as const;

/** What became of the attempt, in the words of OCSF's profile security_control. */
export interface Control {
  readonly action: keyof typeof ACTIONS;
  readonly disposition: keyof typeof DISPOSITIONS;
  readonly status: keyof typeof STATUSES;
}
export const CONTROLS = {
  allow: { action: 1, disposition: 1, status: 1 },
  deny: { action: 2, disposition: 2, status: 2 },
  approve: { action: 99, disposition: 14, status: 99 },
  observed: { action: 3, disposition: 17, status: 1 },
  failed: { action: 1, disposition: 1, status: 2 },
} as const satisfies Readonly<Record<string, Control>>;

export interface Metadata extends JsonObject {
  readonly uid: string;
  /** The session. */
  readonly correlation_uid: string;
  readonly event_code: string;
}

/** One event, as a receiver gets it. `metadata.uid` is its id. */
export interface OcsfEvent extends JsonObject {
  readonly class_uid: ClassUid;
  readonly time: number;
  readonly activity_name: string;
  readonly type_uid: number;
  readonly severity_id: Severity;
  readonly severity: string;
  readonly metadata: Metadata;
}

export interface EventParts {
  readonly of: ClassName;
  readonly activity: number;
  /** ms since 1970, as whoever wrote it had them. */
  readonly at: number;
  readonly severity: Severity;
  readonly control: Control;
  readonly message: string;
  readonly metadata: Metadata;
  /** What the class has beside. */
  readonly fields: JsonObject;
}

/** An event of a class, with the names of all its numbers. */
export function eventOf({ of, activity, at, severity, control, message, metadata, fields }: EventParts): OcsfEvent {
  const { uid, name, category, activities } = CLASSES[of];
  const named: Readonly<Record<number, string>> = { ...EVERYWHERE, ...activities };
  const activityName = named[activity] ?? EVERYWHERE[99];
  return {
    activity_id: activity,
    activity_name: activityName,
    category_uid: category,
    category_name: CATEGORIES[category],
    class_uid: uid,
    class_name: name,
    type_uid: uid * 100 + activity,
    type_name: `${name}: ${activityName}`,
    time: timeOf(at),
    severity_id: severity,
    severity: SEVERITIES[severity],
    action_id: control.action,
    action: ACTIONS[control.action],
    disposition_id: control.disposition,
    disposition: DISPOSITIONS[control.disposition],
    ...(of === 'finding'
      ? { status_id: 1, status: 'New', is_alert: true }
      : { status_id: control.status, status: STATUSES[control.status] }),
    message,
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'Chaperone', vendor_name: 'Chaperone' },
      profiles: HOSTS.has(of) ? ['host', 'security_control'] : ['security_control'],
      ...metadata,
    },
    ...fields,
  };
}

/** The end of the year 9999: later ones have no form in which all receivers read them. */
const MAX_TIME = 253_402_300_799_999;

/** Whole milliseconds: a pod's clock may say anything. */
export function timeOf(at: number): number {
  return Math.trunc(Math.min(Math.max(Number.isFinite(at) ? at : 0, 0), MAX_TIME));
}
