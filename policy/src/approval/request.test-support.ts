import type { Approvers, DecisionSpec, RequestSpec } from '@chaperone/api';
import type { Asked, GivenDecision } from './tally.ts';

export const AT = '2026-01-01T00:01:00Z';

export function anAskingRule(mods: Partial<Approvers> = {}): Approvers {
  return {
    policy: { namespace: 'agents', name: 'support-agent' },
    generation: 1,
    rule: 'fix',
    groups: ['dba'],
    users: [],
    minimum: 1,
    all: [],
    reason: false,
    ...mods,
  };
}

/** A valid request, made at the beginning of 2026 for five minutes, with what a test is about laid over it. */
export function aRequest(mods: Partial<RequestSpec> = {}): Asked {
  return {
    namespace: 'agents',
    uid: 'uid-1',
    spec: {
      session: `s-${'a'.repeat(16)}`,
      action: 3,
      agent: {
        serviceAccount: 'bot',
        pod: 'bot-1',
        podUid: 'pod-1',
        purpose: 'tests',
        onBehalfOf: { issuer: 'i', user: 'mira@corp' },
      },
      resource: { namespace: 'data', name: 'orders-db' },
      protocol: 'postgres',
      sentence: 'UPDATE on public.tickets',
      effects: [{ verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' }],
      text: 'update tickets set status = 1',
      textBytes: 29,
      transaction: false,
      mode: 'hold',
      digest: 'a'.repeat(64),
      rules: [anAskingRule()],
      expiresAt: '2026-01-01T00:05:00Z',
      ...mods,
    },
  };
}

let count = 0;
export function decisionOn({ uid, spec }: Asked, mods: Partial<DecisionSpec> = {}, at = AT): GivenDecision {
  return {
    name: `d-${count++}`,
    at,
    spec: {
      request: `ar-${'a'.repeat(16)}`,
      requestUid: uid,
      digest: spec.digest,
      decision: 'Approve',
      by: 'jane',
      groups: [],
      ...mods,
    },
  };
}
