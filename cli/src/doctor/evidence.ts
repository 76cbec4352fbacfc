import {
  Counter,
  COUNTER_MAPS,
  formatVerifierKey,
  openCheckpoint,
  orUndefined,
  parsePolicy,
  Registration,
  StoredCounter,
  type TrustPolicy,
  withoutQuorum,
} from '@chaperone/evidence';
import { z } from 'zod';
import { type ApiServer, isStatus } from '../cluster/api-server.ts';
import type { CollectorClient } from '../collector/client.ts';
import { type LogVerdict, verifyLog } from '../commands/log.ts';
import { CliError, EXIT } from '../errors.ts';
import { fail, type Finding, listed, of, ok, warn } from './checks.ts';
import type { Seen } from './facts.ts';

/** A pod's newest word about its evidence, as the operator keeps it. */
export interface Counted {
  readonly pod: string;
  readonly receivedAt: number;
  readonly isGone: boolean;
  /** Sessions of which it has not seen a receipt for each segment; those that it names, and others. */
  readonly waiting: number;
  readonly unnamed: number;
}

/** What is asked of the collector, or the sentence and code of why it could not be. */
export type Asked<T> = { readonly is: T } | { readonly fault: string };

export interface EvidenceFacts {
  readonly now: number;
  readonly system: string;
  /** Of ConfigMap chaperone-trust, which the collector cannot write: whose checkpoints are believed. */
  readonly policy: Seen<string | undefined>;
  readonly counters: Seen<readonly Counted[]>;
  readonly checkpoint: Seen<Asked<Buffer>>;
  /** Where a kept checkpoint was given. */
  readonly since?: Seen<Asked<LogVerdict>>;
}

/** A pod that has something pending says so every 10 s. */
const SILENT_MS = 60_000;
const AT_ONCE = 8;
const ConfigMap = z.object({ data: z.record(z.string(), z.string()).default({}) });

export interface EvidenceSources {
  readonly api: ApiServer;
  readonly system: string;
  readonly now: number;
  /** A file with a checkpoint that was kept. */
  readonly since?: string;
  /** Signs in and asks; what it throws is said of the collector. */
  readonly ask: <T>(what: (client: CollectorClient) => Promise<T>) => Promise<T>;
}

/** Looks at evidence with the rights that there are. Throws where the API server does not answer. */
export async function gatherEvidence({ api, system, now, since, ask }: EvidenceSources): Promise<EvidenceFacts> {
  const maps = `/api/v1/namespaces/${system}/configmaps`;
  const mapOf = async (name: string): Promise<Record<string, string>> => {
    try {
      return (await api.request(ConfigMap, { path: `${maps}/${name}` })).data;
    } catch (error) {
      if (isStatus(error, 404)) return {};
      throw error;
    }
  };
  const policy = await seen(system, async () => (await mapOf('chaperone-trust'))['log']);
  const counters = await seen(system, async () => {
    const found: Counted[] = [];
    for (let at = 0; at < COUNTER_MAPS.length; at += AT_ONCE)
      for (const map of await Promise.all(COUNTER_MAPS.slice(at, at + AT_ONCE).map(mapOf)))
        found.push(...Object.values(map).flatMap(countedIn));
    return found;
  });
  const checkpoint = await answerOf(() => ask((client) => client.logCheckpoint()));
  if (since === undefined) return { now, system, policy, counters, checkpoint };
  const key = 'seen' in policy && policy.seen !== undefined ? keyOf(policy.seen) : undefined;
  const options = { since, ...(key === undefined ? {} : { key }) };
  return { now, system, policy, counters, checkpoint, since: await answerOf(() => ask((client) => verifyLog(client, options))) };
}

async function seen<T>(system: string, look: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { seen: await look() };
  } catch (error) {
    if (isStatus(error, 401, 403)) return { hidden: `read configmaps of ${system}` };
    throw error;
  }
}

async function answerOf<T>(ask: () => Promise<T>): Promise<Seen<Asked<T>>> {
  try {
    return { seen: { is: await ask() } };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    if (error.exit === EXIT.notPermitted) return { hidden: 'read the log of evidence' };
    return { seen: { fault: `${error.message} (${error.code})` } };
  }
}

/** Nothing of what cannot be read: whoever verifies an export says so. */
function countedIn(text: string): Counted[] {
  const stored = read(text, StoredCounter);
  const counter = read(stored?.counter.body, Counter);
  const registration = read(stored?.registration.body, Registration);
  if (stored === undefined || counter === undefined || registration === undefined) return [];
  const { namespace, serviceAccount, pod = serviceAccount } = registration.agent;
  const { pending, more } = counter;
  const { receivedAt, goneAt } = stored;
  return [
    { pod: `${namespace}/${pod}`, receivedAt, isGone: goneAt !== undefined, waiting: pending.length + more, unnamed: more },
  ];
}

function read<T>(text: string | undefined, schema: z.ZodType<T>): T | undefined {
  try {
    return text === undefined ? undefined : schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function policyOf(text: string): TrustPolicy | undefined {
  return orUndefined(() => parsePolicy(Buffer.from(text)));
}
function keyOf(text: string): string | undefined {
  const [log] = policyOf(text)?.logs ?? [];
  return log === undefined ? undefined : formatVerifierKey(log.verifier.key);
}

/** What is wrong with evidence on its way from spools to the log and its witnesses. */
export const evidenceFindings = (facts: EvidenceFacts): readonly Finding[] => [
  ...of('spools', facts.counters, (counters) => spools(facts, counters)),
  ...of('log', facts.checkpoint, (asked) =>
    'fault' in asked
      ? [
          fail(
            'log',
            `the collector gives no checkpoint: ${asked.fault}`,
            `kubectl -n ${facts.system} logs statefulset/chaperone-collector`,
          ),
        ]
      : of('log', facts.policy, (text) => logFindings(facts, asked.is, text)),
  ),
  ...(facts.since === undefined ? [] : of('log-since', facts.since, sinceFindings)),
];

function spools({ now, system }: EvidenceFacts, counters: readonly Counted[]): readonly Finding[] {
  const alive = counters.filter(({ isGone }) => !isGone);
  const silent = alive.filter(({ receivedAt, waiting }) => waiting > 0 && now - receivedAt > SILENT_MS);
  const behind = alive.filter(({ unnamed }) => unnamed > 0);
  const names = (all: readonly Counted[]): string => listed(all.map(({ pod }) => pod));
  const found = [
    ...(silent.length === 0
      ? []
      : [
          warn(
            'spools',
            `${silent.length} pods whose evidence has no receipt have said nothing for a minute: ${names(silent)}; what they have is in their spools`,
            'kubectl logs POD -c chaperone-sidecar',
          ),
        ]),
    ...(behind.length === 0
      ? []
      : [
          warn(
            'spools',
            `${behind.length} pods wait for receipts of more sessions than they can name: ${names(behind)}; their spools fill up`,
            `kubectl -n ${system} get pods -l app.kubernetes.io/name=chaperone`,
          ),
        ]),
  ];
  return found.length > 0 ? found : [ok('spools', `${alive.length} pods count their evidence, and none lags`)];
}

function logFindings({ now, system }: EvidenceFacts, note: Buffer, text: string | undefined): readonly Finding[] {
  const policy = text === undefined ? undefined : policyOf(text);
  const logs = `kubectl -n ${system} logs deployment/chaperone-operator`;
  if (policy === undefined)
    return [
      fail('log', 'ConfigMap chaperone-trust does not say whose log is believed: no sidecar lets go of its evidence', logs),
    ];
  const opened = attempt(() => openCheckpoint(note, withoutQuorum(policy)));
  if ('code' in opened)
    return [
      fail(
        'log',
        `the collector’s checkpoint is not one of the log that ConfigMap chaperone-trust names (${opened.code})`,
        'chaperone explain LogForked, before anything else is done to the store',
      ),
    ];
  const { checkpoint, witnesses } = opened.is;
  const held = ok('log', `the log has ${checkpoint.size} entries, and its key signed that`);
  if (policy.witnesses.size === 0)
    return [held, ok('witnesses', 'none is configured: the log’s own key is all there is to believe')];
  const missing = [...policy.witnesses.keys()].filter((name) => !witnesses.has(name));
  const times = [...witnesses.values()].filter((time) => time !== undefined);
  const age = times.length === 0 ? '' : `, ${Math.max(0, Math.round(now / 1000 - Math.min(...times)))} s ago`;
  if (missing.length === 0)
    return [held, ok('witnesses', `${listed([...witnesses.keys()])} cosigned the newest checkpoint${age}`)];
  const what = `${listed(missing)} has not cosigned the newest checkpoint`;
  const fix = `ask who runs it; kubectl -n ${system} logs statefulset/chaperone-collector`;
  return 'code' in attempt(() => openCheckpoint(note, policy))
    ? [held, fail('witnesses', `${what}, and without the quorum no sidecar lets go of its evidence (QuorumMissing)`, fix)]
    : [held, warn('witnesses', what, fix)];
}

function sinceFindings(asked: Asked<LogVerdict>): readonly Finding[] {
  if ('fault' in asked)
    return [fail('log-since', `the log could not be compared: ${asked.fault}`, 'chaperone log verify --since FILE')];
  const { verdict, since = 0, size, faults } = asked.is;
  if (verdict === 'sound')
    return [ok('log-since', `every entry is as it was signed, and the log goes on from the ${since} that were kept`)];
  const [first] = faults;
  const why =
    verdict === 'rewritten'
      ? `it does not begin with the ${since} entries that were kept`
      : (first ?? 'its checkpoint is not signed');
  return [fail('log-since', `the log of ${size} entries is ${verdict}: ${why} (LogForked)`, 'chaperone explain LogForked')];
}

function attempt<T>(what: () => T): { readonly is: T } | { readonly code: string } {
  try {
    return { is: what() };
  } catch (error) {
    return { code: (error as { code?: string }).code ?? 'Malformed' };
  }
}
