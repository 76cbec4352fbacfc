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

const SECRETS = new Map([['data', new Set(['orders-db-agent', 'orders-ca'])]]);

describe('a cluster', () => {
  it('that is the own one knows the agent, and which namespaces are governed', () => {
    const { ownNamespace, isGoverned, secrets, agent } = surroundingsOf({ cluster: CLUSTER, agent: AGENT }, true);
    expect([ownNamespace, secrets]).toEqual(['chaperone-system', SECRETS]);
    expect([isGoverned('agents'), isGoverned('shop')]).toEqual([true, false]);
    expect(agent).toEqual({ namespace: 'agents', serviceAccount: 'deployer' });
  });

  it('that may be another keeps safe what is kept safe here, and governs nothing', () => {
    const { ownNamespace, isGoverned, secrets, agent } = surroundingsOf({ cluster: CLUSTER, agent: AGENT }, false);
    expect([ownNamespace, secrets, isGoverned('agents')]).toEqual(['chaperone-system', SECRETS, false]);
    expect(agent).toEqual({ namespace: '', serviceAccount: '' });
  });

  it('has nothing of Chaperone where no control plane knows of any', () => {
    expect(surroundingsOf({ agent: AGENT }, true)).toBe(ELSEWHERE);
  });
});
