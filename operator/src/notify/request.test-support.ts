import { type AccessRequest, API_VERSION, type RequestSpec, type RequestState, type RequestStatus } from '@chaperone/api';

export const REQUEST = `ar-${'a'.repeat(16)}`;

/** A request that waits, made now for five minutes, with what a test is about laid over it. */
export function anAccessRequest(
  mods: {
    readonly name?: string;
    readonly spec?: Partial<RequestSpec>;
    readonly status?: RequestStatus;
    readonly now?: number;
  } = {},
): AccessRequest {
  const {
    name = REQUEST,
    spec = {},
    status = { state: 'Pending', votes: '0/1', preview: { count: 3 } },
    now = Date.now(),
  } = mods;
  return {
    apiVersion: API_VERSION,
    kind: 'AccessRequest',
    metadata: { namespace: 'agents', name, uid: `uid-${name}`, creationTimestamp: new Date(now).toISOString() },
    spec: {
      session: `s-${'a'.repeat(16)}`,
      action: 3,
      agent: { serviceAccount: 'support-agent', pod: 'support-agent-6d9', podUid: 'pod-1', purpose: 'answer support tickets' },
      resource: { namespace: 'data', name: 'orders-db' },
      protocol: 'postgres',
      sentence: 'UPDATE on public.tickets',
      effects: [{ verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' }],
      text: 'update tickets set note = CANARY-4711',
      textBytes: 37,
      parameters: ['CANARY-4711'],
      transaction: false,
      mode: 'hold',
      digest: `9c1f44ab${'0'.repeat(56)}`,
      rules: [
        {
          policy: { namespace: 'agents', name: 'support-agent' },
          generation: 12,
          rule: 'fix',
          groups: ['dba'],
          users: ['jane@corp.example'],
          minimum: 1,
          all: [],
          reason: false,
        },
      ],
      expiresAt: new Date(now + 300_000).toISOString(),
      ...spec,
    },
    status,
  };
}

/** The same request in another state. */
export function became(request: AccessRequest, state: RequestState, mods: Partial<RequestStatus> = {}): AccessRequest {
  return { ...request, status: { ...request.status, state, decidedAt: new Date().toISOString(), ...mods } };
}

/** A number that names a request of its own. */
export function requestName(index: number): string {
  const letters = index.toString(8).replaceAll(/\d/g, (digit) => 'abcdefgh'[Number(digit)] ?? 'a');
  return `ar-${letters.padStart(16, 'z')}`;
}
