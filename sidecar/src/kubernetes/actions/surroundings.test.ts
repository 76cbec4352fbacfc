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
};
const AGENT = { namespace: 'agents', serviceAccount: 'deployer', labels: {}, annotations: {} };

const behind = (own: boolean) => ({
  access: { resource: { namespace: 'data', name: 'cluster' } },
  hosts: ['cluster'],
  port: 443,
  upstream: { host: '10.0.0.1', port: 6443 },
  kubernetes: { identity: 'credential' as const, authentication: 'token' as const, own },
  addresses: [],
});
const SECRETS = new Map([['data', new Set(['orders-db-agent', 'orders-ca'])]]);

describe('a cluster', () => {
  it('that is the own one knows the agent, and which namespaces are governed', () => {
    const { ownNamespace, isGoverned, secrets, agent } = surroundingsOf(
      { cluster: CLUSTER, agent: AGENT, resources: [] },
      behind(true),
    );
    expect([ownNamespace, secrets]).toEqual(['chaperone-system', SECRETS]);
    expect([isGoverned('agents'), isGoverned('shop')]).toEqual([true, false]);
    expect(agent).toEqual({ namespace: 'agents', serviceAccount: 'deployer' });
  });

  it('that may be another keeps safe what is kept safe here, and governs nothing', () => {
    const { ownNamespace, isGoverned, secrets, agent } = surroundingsOf(
      { cluster: CLUSTER, agent: AGENT, resources: [] },
      behind(false),
    );
    expect([ownNamespace, secrets, isGoverned('agents')]).toEqual(['chaperone-system', SECRETS, false]);
    expect(agent).toEqual({ namespace: '', serviceAccount: '' });
  });

  it('is told where all other resources are', () => {
    const there = { hosts: ['a'], port: 1, addresses: [], upstream: { host: 'a.data.svc', port: 1 } };
    expect(surroundingsOf({ agent: AGENT, resources: [behind(false)], elsewhere: [there] }, behind(false)).places).toEqual([
      there,
    ]);
  });

  it('has nothing of Chaperone where no control plane knows of any', () => {
    expect(surroundingsOf({ agent: AGENT, resources: [] }, behind(true))).toEqual(ELSEWHERE);
  });
});
