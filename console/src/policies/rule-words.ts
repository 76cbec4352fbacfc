import type { AccessPolicy, MaskStrategy, PolicyRule } from '@chaperone/api';
import { type Words, whom } from '@chaperone/api/requests';

type Sql = NonNullable<PolicyRule['sql']>;
type Ssh = NonNullable<PolicyRule['ssh']>;
type Kubernetes = NonNullable<PolicyRule['kubernetes']>;
type Approval = NonNullable<PolicyRule['approval']>;

/** How long others wait for the locks of what is held, where a rule does not say. */
const LOCKS_HELD = '60s';
const DOES = { Allow: 'Allows ', RequireApproval: 'Asks before ', Deny: 'Denies ' } as const;

/**
 * What a rule does, up to the name of its resource: `Allows SELECT on public.tickets of `. Lists that are not there mean what they do
 * where rules are judged: everything, or nothing more than what the others say.
 */
export function ruleWords({ effect, sql = {}, ssh, kubernetes }: PolicyRule): Words {
  const others = [...(ssh === undefined ? [] : sshWords(ssh)), ...(kubernetes === undefined ? [] : kubernetesWords(kubernetes))];
  if (others.length > 0) return [DOES[effect], ...joined(others), ' on '];
  const objects = objectWords(sql);
  const isAll = sql.statements === undefined || sql.statements.includes('*');
  if (isAll && objects.length === 0) return [DOES[effect], 'everything on '];
  const statements = isAll ? ['every statement'] : commas((sql.statements ?? []).map(shouted));
  return [DOES[effect], ...statements, ' on ', ...(objects.length === 0 ? ['anything'] : objects), ' of '];
}

/** Each thing that a rule about SSH names. */
function sshWords({ commands, files, subsystems, forward, shell }: Ssh): Words[] {
  return [
    ...(commands === undefined ? [] : [['commands ', ...named(commands)]]),
    ...(files === undefined ? [] : [fileWords(files)]),
    ...(subsystems === undefined ? [] : [['subsystems ', ...named(subsystems)]]),
    ...(forward === undefined ? [] : [['connections to ', ...named(forward)]]),
    ...(shell === true ? [['shells and terminals']] : []),
  ];
}

function fileWords({ operations, paths }: NonNullable<Ssh['files']>): Words {
  const does: Words = operations === undefined ? ['everything with'] : commas(operations.map(shouted));
  return [...does, ' files ', ...(paths === undefined ? ['anywhere'] : named(paths))];
}

/** What a rule about the Kubernetes API names. */
function kubernetesWords({ verbs, resources, namespaces, names, nonResourcePaths, ...inside }: Kubernetes): Words[] {
  const { commands, files, ports, shell } = inside;
  const isAboutObjects = [verbs, resources, namespaces, names].some((list) => list !== undefined);
  const isAny = verbs === undefined || verbs.includes('*');
  const objects: Words = [
    ...(isAny ? ['every verb'] : commas(verbs.map(shouted))),
    ' of ',
    ...(resources === undefined ? ['anything'] : named(resources)),
    ...(namespaces === undefined ? [] : [' in namespaces ', ...named(namespaces)]),
    ...(names === undefined ? [] : [' named ', ...named(names)]),
  ];
  const within: Words[] = [
    ...sshWords({ commands, files, shell }),
    ...(ports === undefined ? [] : [['ports ', ...named(ports.map(String))]]),
  ];
  return [
    ...(isAboutObjects ? [[...objects, ...(within.length === 0 ? [] : [', with ', ...joined(within)])]] : []),
    ...(nonResourcePaths === undefined ? [] : [['paths ', ...named(nonResourcePaths)]]),
  ];
}

function objectWords({ relations, columns, functions }: Sql): Words {
  const data = dataWords(relations, columns);
  if (functions === undefined) return data;
  const called: Words = functions.includes('**') ? ['every function'] : ['functions ', ...named(functions)];
  return data.length === 0 ? called : [...data, ' and ', ...called];
}

/** Columns narrow relations: both must match. */
function dataWords(relations: Sql['relations'], columns: Sql['columns']): Words {
  const within: Words = relations?.includes('**') === true ? ['every relation'] : named(relations ?? []);
  if (columns === undefined) return within;
  if (columns.includes('**')) return relations === undefined ? ['every column'] : within;
  return ['columns ', ...named(columns), ...(relations === undefined ? [] : [' within ', ...within])];
}

/** For whom alone it is there: `, for callers by their token: group support or user mira@corp`. */
export function callerWords({ onBehalfOf }: PolicyRule): Words {
  if (onBehalfOf === undefined) return [];
  const { users = [], groups = [] } = onBehalfOf;
  return [', for callers by their token: ', ...whom({ users, groups })];
}

/** Who is asked, how long what is held waits, and what else a decision wants; one line each. */
export function approvalLines({ effect, approval }: PolicyRule): Words[] {
  if (effect !== 'RequireApproval') return [];
  const { approvers: { groups = [], users = [] } = {}, all = [] }: Partial<Approval> = approval ?? {};
  if (approval === undefined || groups.length + users.length + all.length === 0)
    return [['names nobody who may approve, so it denies']];
  const { escalation, reason, maxGrant } = approval;
  return [
    askedWords(approval),
    heldWords(approval),
    ...(escalation === undefined ? [] : [[`after ${escalation.after} also `, ...people(escalation.approvers)]]),
    ...(reason === 'required' ? [['a decision needs a reason']] : []),
    ...(maxGrant === undefined ? [] : [[`may be approved for up to ${maxGrant}: the same again, with other values`]]),
  ];
}

function askedWords({ approvers, all = [], minimum, assurance = 'kubernetes' }: Approval): Words {
  const each: Words = all.length === 0 ? [] : ['one of each of ', ...named(all)];
  const isOpen = (approvers.groups ?? approvers.users) !== undefined;
  const asked: Words = isOpen
    ? [`${minimum} of `, ...people(approvers), ...(each.length === 0 ? [] : [', and ', ...each])]
    : [minimum > 1 ? `${minimum} people, ` : '', ...each];
  return ['needs ', ...asked, ASSURANCE_WORDS[assurance]];
}

const ASSURANCE_WORDS = { kubernetes: '', signed: ', signed', passkey: ', signed by passkey' } as const;

function heldWords({ timeout, transactionTimeout = `no longer than ${LOCKS_HELD}`, mode }: Approval): Words {
  const waits = mode === 'hold' ? 'the connection is held' : 'the agent is told at once, and repeats it';
  return [`waits ${timeout} at most, ${transactionTimeout} within a transaction; ${waits}`];
}

function people({ groups = [], users = [] }: Approval['approvers']): Words {
  return whom({ groups, users });
}

/**
 * Which pods a policy speaks of: `app=support-agent, as ServiceAccount support-agent`.
 * @param most - so many labels and accounts are named, for a line of a list; the others are counted
 */
export function selectsWords(
  { podSelector, serviceAccounts }: AccessPolicy['spec']['agents'],
  most = Number.POSITIVE_INFINITY,
): Words {
  const labels = Object.entries(podSelector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const few = (names: readonly string[]): Words => [
    ...named(names.slice(0, most)),
    ...(names.length > most ? [` + ${names.length - most} more`] : []),
  ];
  const accounts: Words =
    serviceAccounts === undefined
      ? []
      : [`as ServiceAccount${serviceAccounts.length === 1 ? ' ' : 's '}`, ...few(serviceAccounts)];
  if (labels.length === 0) return accounts.length === 0 ? ['every pod'] : ['every pod ', ...accounts];
  return [...few(labels), ...(accounts.length === 0 ? [] : [', ', ...accounts])];
}

/** How a masked value is shown. */
export function maskWords({ partial, hash, null: nothing }: MaskStrategy): string {
  if (hash !== undefined) return 'as a hash: equal values look equal';
  if (nothing !== undefined) return 'as NULL';
  if (partial === undefined) return 'replaced whole';
  const { first, last } = partial;
  const shown = [...(first === undefined ? [] : [`the first ${first}`]), ...(last === undefined ? [] : [`the last ${last}`])];
  return `but for ${shown.join(' and ')} characters`;
}

export const INFERENCE_WORDS = {
  allow: 'masked columns may be compared in conditions',
  limit: 'masked columns may be compared for equality alone, with 60 values an hour',
  deny: 'masked columns may not be compared in conditions',
} as const;

type Limits = NonNullable<AccessPolicy['spec']['limits']>;
const LIMITS = {
  rowsPerStatement: (value) => `${number(value)} rows per statement`,
  bytesPerStatement: (value) => `${value} bytes per statement`,
  statementDuration: (value) => `${value} per statement, cancelled then`,
  shellDuration: (value) => `${value} per shell`,
  rows: (value) => `${number(value)} rows per session`,
  bytes: (value) => `${value} bytes per session, both ways`,
  sessionDuration: (value) => `${value} per session`,
  idle: (value) => `${value} of silence`,
  idleInTransaction: (value) => `${value} of silence within a transaction`,
  connections: (value) => `${number(value)} sessions at once, of one pod on one resource`,
} as const satisfies { readonly [K in keyof Limits]-?: (value: string | number) => string };

export function limitLines(limits: Limits = {}): string[] {
  return Object.entries(LIMITS).flatMap(([name, say]) => {
    const value = limits[name as keyof Limits];
    return value === undefined ? [] : [say(value)];
  });
}

function number(value: string | number): string {
  return typeof value === 'number' ? value.toLocaleString('en') : value;
}

type Recording = NonNullable<AccessPolicy['spec']['recording']>;
const SAFE_WORDS = {
  strict: 'an action runs once its record is at the broker',
  durable: 'an action runs once its record is on disk',
  bestEffort: 'an action waits for no record',
} as const;
const CONTENT_WORDS = {
  metadata: 'no command and no result is kept',
  commands: 'commands are kept, results are not',
  results: 'commands and masked results are kept',
} as const;

/** How it is recorded, with what holds where the policy does not say. */
export function recordingLines({
  mode = 'durable',
  content = 'results',
  rows = 1_000,
  bytes = '1Mi',
  fileBytes = '0',
  keys = 'hidden',
  retention,
}: Recording = {}): string[] {
  return [
    SAFE_WORDS[mode],
    CONTENT_WORDS[content],
    ...(content === 'results' ? [`of a result ${number(rows)} rows and ${bytes} bytes at most`] : []),
    ...(fileBytes.startsWith('0') ? [] : [`of a file that goes by ssh ${fileBytes} bytes at most`]),
    ...(keys === 'typed' ? ['what is typed into a terminal is kept, passwords too'] : []),
    ...(retention === undefined ? [] : [`retention class ${retention}`]),
  ];
}

/** What is not of our list is shown as what it is. */
function shouted(statement: string): Words[number] {
  return /^[a-z]{1,20}$/.test(statement) ? statement.toUpperCase() : { foreign: statement };
}

/** a, b, c: names that somebody else chose */
export function named(names: readonly string[]): Words {
  return commas(names.map((foreign) => ({ foreign })));
}

function joined(parts: readonly Words[]): Words {
  return parts.flatMap((words, at) => (at === 0 ? words : [' and ', ...words]));
}

function commas(words: Words): Words {
  return words.flatMap((word, at) => (at === 0 ? [word] : [', ', word]));
}
