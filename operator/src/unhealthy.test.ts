import type { Condition } from '@chaperone/api';
import { expect, test } from 'vitest';
import { createMetrics } from './metrics.ts';
import { MAX_UNHEALTHY, unhealthyConditions } from './unhealthy.ts';

const condition = (type: string, status: Condition['status'], reason: string): Condition => ({
  type,
  status,
  reason,
  message: 'it is',
  lastTransitionTime: '2026-01-01T00:00:00Z',
});
const policy = (name: string, ...conditions: Condition[]) => ({
  kind: 'AccessPolicy',
  metadata: { namespace: 'agents', name },
  status: { conditions },
});
const labels = (object_name: string, type: string, reason: string): object => ({
  kind: 'AccessPolicy',
  object_namespace: 'agents',
  object_name,
  type,
  reason,
});

test.each<[string, Condition[], object[]]>([
  ['a policy that no operator has looked at', [], []],
  ['what holds', [condition('Accepted', 'True', 'Accepted'), condition('Programmed', 'True', 'NoAgentsYet')], []],
  ['what nobody knows yet', [condition('Reachable', 'Unknown', 'NotDialledYet')], []],
  [
    'what fails, once',
    [condition('Programmed', 'False', 'Programming'), condition('Ready', 'False', 'Programming')],
    [labels('p', 'Programmed', 'Programming')],
  ],
  ['old sidecars', [condition('Programmed', 'True', 'SidecarsOutdated')], [labels('p', 'Programmed', 'SidecarsOutdated')]],
])('%s', (_what, conditions, expected) => {
  expect(unhealthyConditions([policy('p', ...conditions)])).toEqual(expected);
});

test('a cluster where everything is wrong has so many series and no more', () => {
  const all = Array.from({ length: MAX_UNHEALTHY + 1 }, (_, at) => policy(`p${at}`, condition('Accepted', 'False', 'Invalid')));
  expect(unhealthyConditions(all)).toHaveLength(MAX_UNHEALTHY);
});

test('what was mended is no longer exported', async () => {
  const metrics = createMetrics();
  metrics.unhealthy(unhealthyConditions([policy('p', condition('Accepted', 'False', 'Invalid'))]));
  expect(await metrics.registry.metrics()).toContain(
    'chaperone_condition_unhealthy{kind="AccessPolicy",object_namespace="agents",object_name="p",type="Accepted",reason="Invalid"} 1',
  );
  metrics.unhealthy([]);
  expect(await metrics.registry.metrics()).not.toContain('object_name=');
});
