import type { ServerResponse } from 'node:http';
import type { AccessRequest, ApprovalDecision, RequestSpec } from '@chaperone/api';
import { counted, type GivenDecision } from '@chaperone/policy';
import { type Asked, aCluster, type TestCluster } from '../cluster/cluster.test-support.ts';

const PATH = /^\/apis\/chaperone\.dev\/v1alpha1(?:\/namespaces\/([a-z]+))?\/(accessrequests|approvaldecisions)(?:\/([\w-]+))?$/;
const DIGEST = '9c1f44ab'.padEnd(64, '0');

export function aRequest(name: string, mods: Partial<RequestSpec> = {}, namespace = 'agents'): AccessRequest {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessRequest',
    metadata: { name, namespace, uid: `uid-of-${name}`, creationTimestamp: '2026-01-01T12:00:00Z' },
    spec: {
      session: `s-${'a'.repeat(16)}`,
      action: 0,
      agent: { serviceAccount: 'support-agent', pod: 'support-agent-6d9', purpose: 'answer support tickets' },
      resource: { namespace: 'data', name: 'orders-db' },
      protocol: 'postgres',
      sentence: 'UPDATE on public.tickets',
      effects: [{ verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' }],
      text: 'UPDATE public.tickets SET status = $1 WHERE id = $2',
      textBytes: 51,
      parameters: ["'closed'", '4411'],
      transaction: false,
      mode: 'hold',
      digest: DIGEST,
      rules: [
        {
          policy: { namespace: 'agents', name: 'support' },
          generation: 12,
          rule: 'fix',
          groups: ['dba'],
          users: [],
          minimum: 1,
          all: [],
          reason: false,
        },
      ],
      expiresAt: '2126-01-01T12:05:00Z',
      ...mods,
    },
    status: { state: 'Pending', votes: '0/1', decisions: [], preview: { count: 1 } },
  };
}

/** Requests and decisions of an API server: admission as the chart has it, and the operator's own count where it is there. */
export class RequestStore {
  readonly requests = new Map<string, AccessRequest>();
  readonly decisions = new Map<string, ApprovalDecision>();
  /** Queries of watches. */
  readonly watches: URLSearchParams[] = [];
  isOperatorThere = true;
  /** Answers to the next watches in place of what happens: whole bodies. */
  readonly scripts: string[] = [];
  /** Of one page of a list. */
  pageSize = 500;
  #version = 1;
  readonly #watchers = new Set<(event: string) => void>();

  static async start(): Promise<{ cluster: TestCluster; store: RequestStore }> {
    const store = new RequestStore();
    const cluster = await aCluster({ serve: (asked, response) => store.#serve(asked, response) });
    return { cluster, store };
  }

  put(request: AccessRequest, type = this.requests.has(request.metadata.name) ? 'MODIFIED' : 'ADDED'): AccessRequest {
    const stored = { ...request, metadata: { ...request.metadata, resourceVersion: String(++this.#version), managedFields: [] } };
    this.requests.set(request.metadata.name, stored);
    for (const tell of this.#watchers) tell(JSON.stringify({ type, object: stored }));
    return stored;
  }

  /** Says of a request what the operator does when the agent told it. */
  end(name: string, status: NonNullable<AccessRequest['status']>): void {
    const request = this.requests.get(name);
    if (request !== undefined) this.put({ ...request, status: { ...request.status, ...status } });
  }

  #serve({ method, url, body, person }: Asked, response: ServerResponse): boolean {
    const [path, namespace, plural, name] = PATH.exec(url.pathname) ?? [];
    if (path === undefined) return false;
    const send = (status: number, object: object): void => void response.writeHead(status).end(JSON.stringify(object));
    const objects = plural === 'accessrequests' ? this.requests : this.decisions;
    const there = [...objects.values()].filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
    if (method === 'POST') send(...this.#admit(body as ApprovalDecision, person));
    else if (name !== undefined) {
      const found = there.find(({ metadata }) => metadata.name === name);
      send(found === undefined ? 404 : 200, found ?? { kind: 'Status', reason: 'NotFound', message: 'not found' });
    } else if (url.searchParams.get('watch') === '1') this.#watch(url.searchParams, response);
    else send(200, this.#page(there, url.searchParams));
    return true;
  }

  #page(there: readonly object[], query: URLSearchParams): object {
    const from = Number(query.get('continue') ?? 0);
    const name = query.get('fieldSelector')?.replace('metadata.name=', '');
    const wanted = there.filter((each) => name === undefined || (each as AccessRequest).metadata.name === name);
    const end = from + this.pageSize;
    // The API server leaves kind and version out of the items of a list.
    const items = wanted.slice(from, end).map((each) => ({ ...each, apiVersion: undefined, kind: undefined }));
    const more = end < wanted.length ? { continue: String(end) } : {};
    return { kind: 'AccessRequestList', metadata: { resourceVersion: String(this.#version), ...more }, items };
  }

  #watch(query: URLSearchParams, response: ServerResponse): void {
    this.watches.push(query);
    response.writeHead(200);
    response.flushHeaders();
    const script = this.scripts.shift();
    if (script !== undefined) return void response.end(script);
    const tell = (event: string): void => void response.write(`${event}\n`);
    // What came between the list and the watch.
    for (const object of this.requests.values())
      if (Number(object.metadata.resourceVersion) > Number(query.get('resourceVersion')))
        tell(JSON.stringify({ type: 'ADDED', object }));
    this.#watchers.add(tell);
    response.on('close', () => this.#watchers.delete(tell));
  }

  #admit(given: ApprovalDecision, { username, groups }: Asked['person']): [number, object] {
    const { name, namespace } = given.metadata;
    if (given.spec.by !== username || given.spec.groups.some((group) => !groups.includes(group)))
      return refused(403, 'Forbidden', 'spec.by and spec.groups are the author’s');
    if (this.decisions.has(name)) return refused(409, 'AlreadyExists', 'it exists');
    const creationTimestamp = new Date().toISOString();
    const stored = { ...given, metadata: { name, namespace, creationTimestamp } };
    this.decisions.set(name, stored);
    const request = this.requests.get(given.spec.request);
    if (request !== undefined && this.isOperatorThere) this.#count(request);
    return [201, stored];
  }

  #count(request: AccessRequest): void {
    const { namespace = '', uid = '', name } = request.metadata;
    const given: GivenDecision[] = [...this.decisions.values()].flatMap(({ metadata, spec }) =>
      spec.request === name ? [{ name: metadata.name, at: metadata.creationTimestamp ?? '', spec }] : [],
    );
    this.put({ ...request, status: counted({ namespace, uid, spec: request.spec }, request.status ?? {}, given, Date.now()) });
  }
}

function refused(status: number, reason: string, message: string): [number, object] {
  return [status, { kind: 'Status', reason, message }];
}
