import type { ProtectedResource } from '@chaperone/api';
import { type ResourceObservation, UNNAMED_SECRET } from '@chaperone/policy';
import { expect, test } from 'vitest';
import { Observations, withSourceName } from './observations.ts';

const at = { namespace: 'data', name: 'orders-db' };
const resource = { metadata: at } as unknown as ProtectedResource;
const refused = (message: string, mods: Partial<ResourceObservation> = {}): ResourceObservation => ({
  resource: at,
  type: 'Reachable',
  status: 'False',
  reason: 'UpstreamRefused',
  message,
  ...mods,
});

test('of sidecars that saw the same at different times, the first to say it stands', () => {
  const observations = new Observations();
  const first = refused('db:5432 refuses connections since 12:01:00 UTC; is it running?');
  expect(observations.record(first, '1/a')).toBe(true);
  expect(observations.record(refused('db:5432 refuses connections since 12:03:07 UTC; is it running?'), '1/a')).toBe(false);
  expect(observations.of(resource, '1/a')).toEqual([first]);
});

test.each<[string, ResourceObservation, string]>([
  ['says something else', refused('db:5433 refuses connections since 12:01:00 UTC'), '1/a'],
  ['has another reason', refused('db:5432 refuses connections since 12:01:00 UTC', { reason: 'TLSFailed' }), '1/a'],
  ['is good news', refused('db:5432 refuses connections since 12:01:00 UTC', { status: 'True' }), '1/a'],
  ['is of another generation', refused('db:5432 refuses connections since 12:01:00 UTC'), '2/a'],
])('what %s replaces it', (_what, next, basis) => {
  const observations = new Observations();
  observations.record(refused('db:5432 refuses connections since 12:01:00 UTC'), '1/a');
  expect(observations.record(next, basis)).toBe(true);
  expect(observations.of(resource, basis)).toEqual([next]);
});

test('the Secret that sidecars do not know by name is named, once, also after a change of leader', () => {
  const of = { ...resource, spec: { credentials: { secretRef: { name: 'orders-db-agent' } } } } as unknown as ProtectedResource;
  const seen = refused(`db:5432 refused user agent_ro; update ${UNNAMED_SECRET}, the next session tries it`);
  const named = withSourceName(seen, of);
  expect(named).toEqual({
    ...seen,
    message: 'db:5432 refused user agent_ro; update Secret data/orders-db-agent, the next session tries it',
  });
  expect(withSourceName(named, of)).toEqual(named);
  const without = { ...resource, spec: {} } as unknown as ProtectedResource;
  expect(withSourceName(seen, without)).toEqual(seen);
});
