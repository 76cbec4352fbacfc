import { AccessPolicy, ProtectedResource } from '@chaperone/api';
import type { Agent } from '@chaperone/policy';
import { expect, test } from 'vitest';
import { compileContent, type ResourceState } from './compile.ts';

const apiVersion = 'chaperone.dev/v1alpha1';
const agent: Agent = { namespace: 'agents', serviceAccount: 'ops', labels: {}, annotations: {} };

const host = (name: string, namespace: string, refused?: ResourceState['refused']): [string, ResourceState] => {
  const resource = ProtectedResource.parse({
    apiVersion,
    kind: 'ProtectedResource',
    metadata: { name, namespace: 'data', generation: 1 },
    spec: {
      protocol: 'ssh',
      hosts: [`${name}.corp`],
      port: 22,
      upstream: { address: `${name}.internal:2222` },
      credentials: { secretRef: { name: 'login' } },
      ssh: { hostKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxjKNhC2FyrlxgDCNC5yGZopBL9tHKLB/R0hk8H9pXa'] },
      grantedTo: [{ namespace, operations: ['exec', 'forward'] }],
    },
  });
  const addresses = [{ host: `${name}.corp`, ipv4: '240.240.0.9' }];
  return [`data/${name}`, { resource, refused, blocked: undefined, addresses, credentials: undefined, ca: undefined }];
};
const policy = (ssh: object): AccessPolicy =>
  AccessPolicy.parse({
    apiVersion,
    kind: 'AccessPolicy',
    metadata: { name: 'ops', namespace: 'agents', generation: 1 },
    spec: {
      agents: { serviceAccounts: ['ops'] },
      rules: [{ name: 'one', effect: 'Allow', resource: { namespace: 'data', name: 'web-1' }, ssh }],
    },
  });

test.each<[string, object, string[] | undefined]>([
  ['may forward knows where all others are, refused ones too', { forward: ['*.corp:22'] }, ['web-2.internal', 'web-3.internal']],
  ['may not forward knows of none', { commands: ['ls'] }, undefined],
])('the sidecar of an agent that %s', (_, ssh, expected) => {
  const refused = { code: 'HostConflict', message: 'another resource has its name' } as const;
  const states = new Map([host('web-3', 'others', refused), host('web-1', 'agents'), host('web-2', 'others')]);
  const content = compileContent(agent, [policy(ssh)], states, {
    hashSecret: Buffer.alloc(32, 9),
    cluster: { namespace: 'chaperone', governed: [], secrets: [] },
  });
  expect(content.resources.map(({ upstream }) => upstream.host)).toEqual(['web-1.internal']);
  expect(content.elsewhere?.map(({ upstream }) => upstream.host)).toEqual(expected);
});
