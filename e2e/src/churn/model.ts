/**
 * What is done to an installation, and what may then be seen that else is an error. Whatever is seen otherwise is unexplained: a step
 * says no more than what people are told to expect of it.
 */
export const LANES = ['agents', 'rules', 'parts'] as const;
/** Steps of one lane come one after the other; lanes go on beside each other. */
export type Lane = (typeof LANES)[number];

/**
 * Who says something: an agent in its container, a line in the log of a container, the API server to who changes something, a container
 * that ended, the cluster in an Event, the step itself that did not come to its end, or the verifier.
 */
export type Source = 'agent' | 'log' | 'kubectl' | 'ended' | 'event' | 'step' | 'evidence';

/** Something that was seen. */
export interface Seen {
  readonly source: Source;
  /** Name of the pod, where there is one; of a log, with "/" and the container. */
  readonly name: string;
  readonly what: string;
  /** ms since 1970: when it began, and when it was over. */
  readonly from: number;
  readonly to: number;
}

interface Sign {
  readonly source: Source;
  readonly what: RegExp;
  /** Only of a pod of this name, or whose name begins with it; "$" is the subject of the step. Absent: of any. */
  readonly name?: string;
}
export interface KindOfStep {
  readonly lane: Lane;
  /** What is done; a row of the report. */
  readonly does: string;
  readonly explains: readonly Sign[];
  /** So much longer than the step itself, ms. */
  readonly afterMs: number;
}

/** A sidecar that could not ask its operator asks again at growing intervals, the longest of 30 s. */
const ASKS_AGAIN_MS = 35_000;
/** What is under way ends. */
const SETTLES_MS = 5_000;

/** A session is not opened, or is lost under a statement, with one of these codes, or in one of these words. */
const unopened = (...words: readonly string[]): Sign => ({
  source: 'agent',
  what: new RegExp(`^unopened .*(${words.join('|')})`),
});
const lost = (...words: readonly string[]): Sign => ({ source: 'agent', what: new RegExp(`^\\w+ lost .*(${words.join('|')})`) });
const refused = (...words: readonly string[]): Sign => ({
  source: 'agent',
  what: new RegExp(`^\\w+ refused (${words.join('|')})`),
});
const ended = (name: string, container: string, status: string): Sign => ({
  source: 'ended',
  name,
  what: new RegExp(`^${container}: ${status}$`),
});
const logged = (name: string, ...words: readonly string[]): Sign => ({ source: 'log', name, what: new RegExp(words.join('|')) });
const told = (name: string, ...reasons: readonly string[]): Sign => ({
  source: 'event',
  name,
  what: new RegExp(`^(${reasons.join('|')}):`),
});
const of = (name: string, ...signs: readonly Sign[]): Sign[] => signs.map((each) => ({ ...each, name }));

/** A connection that ended, in the words of psycopg2: it loses the last word of the server, which says why, where psql tells it. */
const CUT = ['server closed the connection', 'SSL connection has been closed', 'SSL SYSCALL error', 'connection already closed'];
/** SIGKILL; a container that is killed for memory is told by another word. */
const KILLED = 'Error 137';

const step = (lane: Lane, afterMs: number, does: string, ...explains: readonly Sign[]): KindOfStep => ({
  lane,
  does,
  afterMs,
  explains,
});

export const KINDS = {
  'pod-made': step('agents', SETTLES_MS, 'a bare pod of an agent is created'),
  'deployment-made': step('agents', SETTLES_MS, 'a Deployment of two agents is created'),
  'job-run': step('agents', SETTLES_MS, 'a Job runs for 15 s and completes'),
  // The operator ends the sessions of a pod that is being deleted, which may be before its agent is told to stop.
  'agent-ended': step(
    'agents',
    SETTLES_MS,
    'a pod or Deployment of agents is deleted while they work',
    ...of('$', lost('SessionEnded', ...CUT), unopened('.')),
  ),
  'sidecar-killed': step(
    'agents',
    ASKS_AGAIN_MS,
    'the sidecar of an agent is killed',
    ...of('$', lost(...CUT), unopened('.'), { source: 'evidence', what: /^interrupted / }),
    ended('$', 'chaperone-sidecar', KILLED),
    told('$', 'BackOff'),
  ),

  'mask-changed': step('rules', SETTLES_MS, 'a masked column is redacted instead of shown in part, and back', {
    source: 'agent',
    what: /^masked = \*{5}$/,
  }),
  'rule-narrowed': step('rules', SETTLES_MS, 'a rule loses a table, and has it again', {
    source: 'agent',
    what: /^(counted|written) refused NoRuleAllows$/,
  }),
  'policy-deleted': step(
    'rules',
    ASKS_AGAIN_MS,
    'the policy of all agents is deleted, and created again',
    unopened('.'),
    lost('SessionEnded', 'NotGranted', ...CUT),
    refused('NoRuleAllows', 'NotGranted'),
  ),
  'policy-refused': step(
    'rules',
    SETTLES_MS,
    'a policy that no schema allows is applied, and one whose resource is not there',
    told('typo', 'ResourceNotFound'),
  ),
  'resource-added': step('rules', SETTLES_MS, 'a second resource is created, granted, used and deleted'),
  'resource-deleted': step(
    'rules',
    ASKS_AGAIN_MS,
    'the resource of all agents is deleted, and created again',
    unopened('.'),
    lost('SessionEnded', 'NotGranted', ...CUT),
    refused('NotGranted', 'NoRuleAllows'),
    told('support-agent', 'ResourceNotFound', 'ResourceNotReady'),
  ),
  'secret-rotated': step(
    'rules',
    SETTLES_MS,
    'the database has another password, and then the Secret',
    unopened('CredentialsRejected'),
    lost('SessionEnded', ...CUT),
    told('orders-db', 'CredentialsRejected'),
  ),

  'leader-deleted': step('parts', ASKS_AGAIN_MS, 'the pod of the operator that leads is deleted', unopened('RecordingBlocked')),
  'leader-killed': step(
    'parts',
    ASKS_AGAIN_MS,
    'the operator that leads is killed',
    unopened('RecordingBlocked'),
    ended('chaperone-operator', 'operator', KILLED),
    { source: 'kubectl', what: /failed calling webhook/ },
  ),
  'follower-deleted': step('parts', SETTLES_MS, 'the pod of the other operator is deleted'),
  'follower-killed': step('parts', SETTLES_MS, 'the other operator is killed', ended('chaperone-operator', 'operator', KILLED), {
    source: 'kubectl',
    what: /failed calling webhook/,
  }),
  'collector-deleted': step('parts', SETTLES_MS, 'the pod of the collector is deleted'),
  'collector-killed': step('parts', SETTLES_MS, 'the collector is killed', ended('chaperone-collector', 'collector', KILLED)),
  'broker-deleted': step('parts', SETTLES_MS, 'the pod of the broker is deleted'),
  'broker-killed': step('parts', SETTLES_MS, 'the broker is killed', ended('chaperone-nats', 'nats', KILLED)),
  'database-deleted': step('parts', ASKS_AGAIN_MS, 'the pod of the database is deleted', ...gone()),
  'database-killed': step('parts', ASKS_AGAIN_MS, 'the database is killed', ...gone(), ended('orders', 'postgres', KILLED)),
  'node-agent-deleted': step('parts', SETTLES_MS, 'the pod of the agent of nodes is deleted'),
  'ca-rotated': step('parts', ASKS_AGAIN_MS, 'the CA has a successor, which signs after 100 s'),
  'certificate-renewed': step('parts', SETTLES_MS, 'the Secret of the collector’s certificate is deleted'),
  'api-server-killed': step(
    'parts',
    ASKS_AGAIN_MS,
    'the API server is killed, and started again',
    {
      source: 'kubectl',
      what: /refused|EOF|reset|timeout|ServiceUnavailable|etcdserver|not ready/,
    },
    unopened('RecordingBlocked'),
    logged('chaperone-operator', '.'),
  ),
} as const satisfies Record<string, KindOfStep>;
export type Kind = keyof typeof KINDS;

/** The database is away, and comes back with its first password: sessions end with it, and none opens. */
function gone(): Sign[] {
  return [
    lost('SessionEnded', 'Upstream\\w+', ...CUT),
    unopened('ResourceNotReady', 'CredentialsRejected', 'Upstream\\w+'),
    told('orders-db', 'Upstream\\w+', 'CredentialsRejected'),
    told('support-agent', 'ResourceNotReady'),
  ];
}
