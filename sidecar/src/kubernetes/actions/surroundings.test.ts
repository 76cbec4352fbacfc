import type { ClusterFacts } from '@chaperone/policy';
import { describe, expect, it } from 'vitest';
import { ELSEWHERE, surroundingsOf } from './surroundings.ts';

const CLUSTER: ClusterFacts = {
  namespace: 'chaperone-system',
  governed: ['agents'],
  secrets: [
    { namespace: 'data', name: 'orders-db-agent' },
    { namespace: 'data', name: 'orders-ca' },
  ],
  places: [],
};
const AGENT = { namespace: 'agents', serviceAccount: 'deployer', labels: {}, annotations: {} };

describe('a cluster', () => {
  it.each(['kubernetes.default.svc', 'kubernetes.default.svc.cluster.local', 'kubernetes.default.svc.'])(
    'behind %s is the own one: agents are known there, and their namespaces governed',
    (host) => {
      const { ownNamespace, isGoverned, secrets, agent } = surroundingsOf({ cluster: CLUSTER, agent: AGENT }, host);
      expect(ownNamespace).toBe('chaperone-system');
      expect([isGoverned('agents'), isGoverned('shop')]).toEqual([true, false]);
      expect(secrets).toEqual(new Map([['data', new Set(['orders-db-agent', 'orders-ca'])]]));
      expect(agent).toEqual({ namespace: 'agents', serviceAccount: 'deployer' });
    },
  );

  it.each(['10.96.0.1', 'staging.corp', 'kubernetes.default', 'kubernetes.default.svc.evil.corp', 'x.kubernetes.default.svc'])(
    'behind %s may be the own one or another: what is kept safe here is kept safe there, and nothing is governed',
    (host) => {
      const { ownNamespace, isGoverned, secrets, agent } = surroundingsOf({ cluster: CLUSTER, agent: AGENT }, host);
      expect([ownNamespace, isGoverned('agents'), secrets.size]).toEqual(['chaperone-system', false, 1]);
      expect(agent).toEqual({ namespace: '', serviceAccount: '' });
    },
  );

  it('has nothing of Chaperone where no control plane knows of any', () => {
    expect(surroundingsOf({ agent: AGENT }, 'kubernetes.default.svc')).toBe(ELSEWHERE);
  });
});
