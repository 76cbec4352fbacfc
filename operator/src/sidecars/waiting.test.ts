import { expect, test } from 'vitest';
import type { KubeObject } from '@chaperone/kube';
import { waitingSidecar } from './waiting.ts';

const now = Date.UTC(2026, 0, 1, 12, 1, 0);
const startedAt = '2026-01-01T12:00:00Z';
const waiting = { name: 'chaperone-sidecar', started: false, state: { running: { startedAt } } };
const aPod = (...initContainerStatuses: object[]): KubeObject => ({
  metadata: { namespace: 'agents', name: 'bot' },
  status: { phase: 'Pending', initContainerStatuses },
});

test.each([
  [false, 'has asked for no policy in 60 s'],
  [true, 'has its policy and is not ready after 60 s'],
])('a sidecar that waits for a minute, enrolled: %s', (enrolled, what) => {
  expect(waitingSidecar(aPod({ name: 'chaperone-init' }, waiting), { now, enrolled })).toBe(
    `chaperone-sidecar ${what}; the agent waits rather than start ungoverned: kubectl logs bot -c chaperone-sidecar -n agents`,
  );
});

test.each<[string, KubeObject]>([
  ['has let its agent in', aPod({ ...waiting, started: true })],
  ['has waited for less', aPod({ ...waiting, state: { running: { startedAt: '2026-01-01T12:00:01Z' } } })],
  ['is not running', aPod({ name: 'chaperone-sidecar', state: {} })],
  ['is not there', aPod()],
  ['says a time that is none', aPod({ ...waiting, state: { running: { startedAt: 'soon' } } })],
  ['has a pod without status', { metadata: { namespace: 'agents', name: 'bot' } }],
])('nothing is said of a sidecar that %s', (_what, pod) => {
  expect(waitingSidecar(pod, { now, enrolled: false })).toBeUndefined();
});
