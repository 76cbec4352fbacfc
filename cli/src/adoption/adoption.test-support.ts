import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { readManifests } from '@chaperone/api';
import type { SessionRecord } from '@chaperone/evidence';
import { type Access, type Action, compileAccess, type Effect, judge } from '@chaperone/policy';
import { checkSshOffline, type SshRequest } from '@chaperone/sidecar';
import { onTestFinished } from 'vitest';
import type { Io } from '../io.ts';
import { diffPolicies } from './diff.ts';
import type { SessionSource } from './seen.ts';

type Judged = SessionRecord & { type: 'action' };
/** An action's record without what its session adds. */
export type Body = Omit<Judged, 'seq' | 'at' | 'mono' | 'action' | 'type'>;
/** What people said of the action with that place among the bodies. */
export type Said = { readonly of: number; readonly state: string; readonly by: string };

/** A resource of each protocol, which grants agents everything. */
export const RESOURCES = { postgres: 'orders-db', ssh: 'web-3', kubernetes: 'staging', tcp: 'model-api' } as const;
export type Spoken = keyof typeof RESOURCES;

const resource = (protocol: Spoken, granted: string, more = ''): string => `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${RESOURCES[protocol]}, namespace: data}
spec:
  protocol: ${protocol}
  hosts: [${RESOURCES[protocol]}.data.svc]
  port: 5432
  upstream: {address: "${RESOURCES[protocol]}.data.svc:5432"}
  allowAudit: true
  grantedTo: [{namespace: agents${granted}}]
${more}---`;
const RESOURCES_YAML = [
  resource('postgres', ', statements: ["*"]', '  credentials: {secretRef: {name: x}}\n  postgres: {database: orders}\n'),
  resource(
    'ssh',
    ', operations: [exec, shell, subsystem, forward, read, write, list, delete]',
    '  credentials: {secretRef: {name: x}}\n  ssh: {hostKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxjKNhC2FyrlxgDCNC5yGZopBL9tHKLB/R0hk8H9pXa]}\n',
  ),
  resource('kubernetes', ', operations: ["*"]', '  credentials: {secretRef: {name: x}}\n  kubernetes: {identity: credential}\n'),
  resource('tcp', ''),
].join('');

/** Manifests of the resources and one policy; `spec` is YAML of its fields. */
export function manifests(spec: string): string {
  const head = 'apiVersion: chaperone.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: old, namespace: agents}\nspec:\n';
  return `${RESOURCES_YAML}\n${head}${spec.replace(/^/gm, '  ')}\n`;
}

/** In which all that an agent does passes by Audit alone, but one thing. */
export const AUDITING = manifests(`agents: {serviceAccounts: [support-agent]}
enforcement: Audit
rules:
  - {name: read, effect: Allow, resource: {namespace: data, name: orders-db}, sql: {statements: [select], relations: [public.tickets]}}
  - {name: never, effect: Deny, resource: {namespace: data, name: web-3}, ssh: {commands: [rm **]}}
  - {name: secrets, effect: Deny, resource: {namespace: data, name: staging}, kubernetes: {resources: [secrets]}}
  - {name: model, effect: Deny, resource: {namespace: data, name: model-api}}`);

/** What manifests give the agent. */
export function accessOf(text: string, protocol: Spoken): Access {
  const { policies, resources, problems } = readManifests([{ path: 'test.yaml', text }]);
  const found = resources.find(({ spec }) => spec.protocol === protocol);
  if (problems.length > 0 || found === undefined) throw new Error(JSON.stringify(problems));
  const agent = { namespace: 'agents', serviceAccount: 'support-agent', labels: {}, annotations: {} };
  const compiled = compileAccess({ agent, policies, resource: found });
  if (!compiled.ok) throw new Error(compiled.message);
  return compiled.access;
}

/** An action as a session records it: of SQL and tcp by its effects, of SSH by what is asked for, of the Kubernetes API by what it is about. */
export class Recorder {
  readonly #accesses: Readonly<Record<Spoken, Access>>;

  constructor(text: string) {
    const of = (protocol: Spoken): Access => accessOf(text, protocol);
    this.#accesses = { postgres: of('postgres'), ssh: of('ssh'), kubernetes: of('kubernetes'), tcp: of('tcp') };
  }

  sql(...pairs: readonly (readonly [verb: string, object: string])[]): Body {
    const effects = pairs.map(([verb, object]): Effect => ({ verb, object, via: 'direct', kind: kindOf(verb) }));
    return this.#record('postgres', { effects }, {});
  }
  tcp(host: string): Body {
    return this.#record('tcp', { effects: [{ verb: 'connect', object: host, via: 'direct', kind: 'other' }] }, {});
  }
  ssh(request: SshRequest): Body {
    const { verdict } = checkSshOffline(request, this.#accesses.ssh, { resources: [], here: 'web-3' });
    const { effects } = verdict;
    const object = effects[0]?.object ?? '';
    const text =
      'command' in request
        ? request.command
        : 'file' in request
          ? `${request.file.operation} ${JSON.stringify(request.file.path)}`
          : object;
    return bodyOf(verdict, { text });
  }
  kubernetes(verb: string, name: string, resourceName = 'pods', namespace = 'shop'): Body {
    const api = { group: '', resource: resourceName, subresource: '', namespace, name };
    const object = [resourceName, name, 'in', namespace].filter((word) => word !== '').join(' ');
    const action: Action = { effects: [{ verb, object, via: 'direct', kind: 'api-object', api }] };
    const text = `GET /api/v1/namespaces/${namespace}/${resourceName}${name === '' ? '' : `/${name}`}`;
    return this.#record('kubernetes', action, { text, kubernetes: { ...api, verb, version: 'v1', dryRun: false } });
  }

  #record(protocol: Spoken, action: Action, more: Partial<Body>): Body {
    return bodyOf(judge(this.#accesses[protocol], action), more);
  }
}

function kindOf(verb: string): Effect['kind'] {
  return verb === 'execute' ? 'function' : 'relation';
}

function bodyOf({ verdict, code, rule, reason, effects, wouldDeny }: ReturnType<typeof judge>, more: Partial<Body>): Body {
  return {
    verdict,
    code,
    reason,
    effects: [...effects],
    bytes: Buffer.byteLength(more.text ?? ''),
    ...(rule !== undefined && { rule }),
    ...(wouldDeny !== undefined && { wouldDeny: { ...wouldDeny } }),
    ...more,
  };
}

export interface Told {
  readonly protocol?: Spoken;
  readonly bodies: readonly (Body | Said)[];
  readonly session?: string;
  readonly at?: number;
  readonly serviceAccount?: string;
  readonly isIncomplete?: boolean;
}

/** A session as evidence holds it, its records a millisecond apart. */
export function sessionOf(told: Told): SessionSource {
  const { protocol = 'postgres', session = `s-${protocol}`, at = 1_000, isIncomplete = false } = told;
  const open: SessionRecord = {
    seq: 0,
    at,
    mono: 0,
    type: 'session.open',
    session,
    agent: { namespace: 'agents', serviceAccount: told.serviceAccount ?? 'support-agent' },
    resource: { namespace: 'data', name: RESOURCES[protocol], protocol },
    purpose: 'answer support tickets',
    policies: [],
    mode: 'Audit',
    client: { address: '10.0.0.1:1', tls: true },
  };
  const rest = told.bodies.map((body, index): SessionRecord => {
    const stamp = { seq: index + 1, at: at + index + 1, mono: index + 1 };
    if (!('of' in body)) return { ...stamp, type: 'action', action: index, ...body };
    const { of, state, by } = body;
    const decisions = [{ by, decision: 'Approve' as const, at: '2026-11-30T00:00:00Z' }];
    return { ...stamp, type: 'approval', action: of, digest: '', state, waitedMs: 1, decisions };
  });
  return { session, records: [open, ...rest], isIncomplete };
}

export async function* sources(all: readonly SessionSource[]): AsyncGenerator<SessionSource> {
  for (const each of all) yield await Promise.resolve(each);
}

/** What a command writes, an hour after sessions began. */
export function keptIo(): { io: Io; out: () => string; err: () => string } {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const kept = { out: '', err: '' };
  out.on('data', (text: Buffer) => (kept.out += text.toString()));
  err.on('data', (text: Buffer) => (kept.err += text.toString()));
  const terminal = { in: false, out: false, err: false };
  const io: Io = { out, err, in: new PassThrough(), env: {}, now: () => 3_601_000, terminal };
  return { io, out: () => kept.out, err: () => kept.err };
}

export interface Compared {
  readonly code: number;
  readonly same: number;
  readonly differences: readonly {
    action: string;
    count: number;
    opens: boolean;
    was: { word: string };
    wouldBe: { word: string };
  }[];
  readonly untold: readonly { why: string; count: number }[];
}

/** What `policy diff` says, as a document and as text. */
export async function compared(
  [before, after]: readonly [string, string],
  sessions: readonly SessionSource[],
  more: { labels?: Readonly<Record<string, string>>; output?: 'json' | 'table' } = {},
): Promise<Compared & { text: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-diff-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const files = [join(folder, 'old.yaml'), join(folder, 'new.yaml')] as const;
  await Promise.all([writeFile(files[0], before), writeFile(files[1], after)]);
  const { io, out } = keptIo();
  const { labels, output = 'json' } = more;
  const options = { before: files[0], after: files[1], wanted: {}, labels, output, paint: (_: unknown, text: string) => text };
  const code = await diffPolicies(sources(sessions), options, io);
  const document = output === 'json' ? (JSON.parse(out()) as Compared) : { same: 0, differences: [], untold: [] };
  return { ...document, code, text: out() };
}
