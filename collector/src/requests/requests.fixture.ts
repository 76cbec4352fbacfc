import type { AccessRequest, RequestSpec, RequestStatus } from '@chaperone/api';
import type { Viewer } from '@chaperone/api/requests';
import type { RequestContent, RequestSource } from './source.ts';

export interface AskedFor {
  readonly namespace?: string;
  readonly name?: string;
  readonly spec?: Partial<RequestSpec>;
  readonly preview?: RequestStatus['preview'];
  readonly status?: RequestStatus;
}

let count = 0;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';

/** A request as an operator, or `chaperone up`, writes it: an update of one row, which one of group dba is to decide on. */
export function aRequest({
  namespace = 'agents',
  name,
  spec = {},
  preview = { count: 1 },
  status = { state: 'Pending', votes: '0/1' },
}: AskedFor = {}): AccessRequest {
  const number = count++;
  const digits = Array.from({ length: 4 }, (_, at) => LETTERS[Math.floor(number / 32 ** at) % 32]).join('');
  const text = spec.text ?? "update tickets set status = 'closed' where id = 811";
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessRequest',
    metadata: {
      name: name ?? `ar-${digits}${'k'.repeat(12)}`,
      namespace,
      uid: `uid-${number}`,
      resourceVersion: '1',
      creationTimestamp: new Date().toISOString(),
    },
    spec: {
      session: `s-${'a'.repeat(16)}`,
      action: 3,
      agent: { serviceAccount: 'support-agent', pod: 'support-agent-6d9f7', purpose: 'answer support tickets' },
      resource: { namespace: 'data', name: 'orders-db' },
      protocol: 'postgres',
      sentence: 'UPDATE on public.tickets',
      effects: [{ verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' }],
      text,
      textBytes: new TextEncoder().encode(text).length,
      transaction: false,
      mode: 'hold',
      digest: `${number.toString(16).padStart(8, '9c1f44ab')}${'0'.repeat(56)}`,
      rules: [
        {
          policy: { namespace, name: 'support-agent' },
          generation: 14,
          rule: 'fix',
          groups: ['dba'],
          users: [],
          minimum: 1,
          all: [],
          reason: false,
        },
      ],
      expiresAt: new Date(Date.now() + 300_000).toISOString(),
      ...spec,
    },
    status: { preview, ...status },
  };
}

/** Requests that a test writes, as a cluster's are read. */
export class Requests implements RequestSource {
  readonly #all = new Map<string, AccessRequest>();
  readonly #watchers = new Set<(request: AccessRequest) => void>();
  readonly #viewer: Viewer | undefined;
  /** Rows of requests by name. */
  readonly contents = new Map<string, RequestContent>();

  constructor(viewer?: Viewer) {
    this.#viewer = viewer;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  list(): AccessRequest[] {
    return [...this.#all.values()];
  }

  watch(tell: (request: AccessRequest) => void): () => void {
    this.#watchers.add(tell);
    return () => void this.#watchers.delete(tell);
  }

  viewer(identity: { readonly user: string; readonly groups: readonly string[] }): Viewer {
    return this.#viewer ?? identity;
  }

  put(request: AccessRequest): AccessRequest {
    this.#all.set(request.metadata.name, request);
    for (const tell of this.#watchers) tell(request);
    return request;
  }

  clear(): void {
    this.#all.clear();
  }
}
