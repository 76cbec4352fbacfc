import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { Enrolments } from './enrolments.ts';
import { identityOf, TokenReviewer } from './identity.ts';

const NAME = 'authentication.kubernetes.io/pod-name';
const UID = 'authentication.kubernetes.io/pod-uid';
const good = {
  authenticated: true,
  audiences: ['chaperone-sidecar'],
  user: { username: 'system:serviceaccount:agents:support', extra: { [NAME]: ['bot'], [UID]: ['u1'] } },
};

test('31 a good review names the pod', () => {
  expect(identityOf(good)).toEqual({ namespace: 'agents', serviceAccount: 'support', pod: 'bot', podUid: 'u1' });
});
test.each([
  ['nothing', undefined],
  ['no authentication', { ...good, authenticated: false }],
  ['an authentication that is not true itself', { ...good, authenticated: 'true' }],
  ['no audience', { ...good, audiences: undefined }],
  ['another audience', { ...good, audiences: ['api'] }],
  ['a second audience', { ...good, audiences: ['chaperone-sidecar', 'api'] }],
  ['a person', { ...good, user: { ...good.user, username: 'jane' } }],
  [
    'a ServiceAccount with more to its name',
    { ...good, user: { ...good.user, username: 'system:serviceaccount:agents:support:x' } },
  ],
  ['no pod', { ...good, user: { username: good.user.username } }],
  ['two pods', { ...good, user: { ...good.user, extra: { [NAME]: ['a', 'b'], [UID]: ['u1'] } } }],
  ['no UID', { ...good, user: { ...good.user, extra: { [NAME]: ['bot'] } } }],
])('31 a review with %s names nobody', (_name, status) => expect(identityOf(status)).toBeUndefined());

let api: FakeApiServer;
beforeEach(async () => {
  api = await startFakeApiServer();
});
afterEach(() => api.close());

test('a good answer is reused for ten seconds, a bad one never, and what is no token is not sent', async () => {
  let now = 0;
  let asked = 0;
  api.intercept = (_asked, response) => {
    asked += 1;
    response.writeHead(201).end(JSON.stringify({ status: asked === 1 ? {} : good }));
    return true;
  };
  const reviewer = new TokenReviewer(api.kube, () => now);
  expect(await reviewer.review('a.b.c')).toBeUndefined();
  expect(await reviewer.review('a.b.c')).toBeDefined();
  now = 9_999;
  expect(await reviewer.review('a.b.c')).toBeDefined();
  expect(asked).toBe(2);
  now = 10_000;
  await reviewer.review('a.b.c');
  expect(asked).toBe(3);
  expect(await reviewer.review('a b')).toBeUndefined();
  expect(await reviewer.review('x'.repeat(9000))).toBeUndefined();
  expect(asked).toBe(3);
});

test('one nkey per pod and one pod per nkey, under the next leader too', async () => {
  const first = new Enrolments(api.kube, 'system');
  expect(await first.bind('pod-1', 'UA')).toBe(true);
  expect(await first.bind('pod-1', 'UA')).toBe(true);
  expect(await first.bind('pod-1', 'UB')).toBe(false);
  expect(await first.bind('pod-2', 'UA')).toBe(false);
  const next = new Enrolments(api.kube, 'system');
  await next.load(() => true);
  expect(await next.bind('pod-1', 'UB')).toBe(false);
  expect(await next.bind('pod-1', 'UA')).toBe(true);
  await next.forget('pod-1');
  const third = new Enrolments(api.kube, 'system');
  await third.load(() => true);
  expect(third.nkeyOf('pod-1')).toBeUndefined();
});

test('of two enrolments of one pod at once only one passes, and one that could not be written down does not count', async () => {
  const enrolments = new Enrolments(api.kube, 'system');
  const both = await Promise.all([enrolments.bind('pod-1', 'UA'), enrolments.bind('pod-1', 'UB')]);
  expect(both).toEqual([true, false]);
  api.intercept = (_asked, response) => {
    response.writeHead(500).end('{}');
    return true;
  };
  await expect(enrolments.bind('pod-2', 'UC')).rejects.toThrow();
  api.intercept = undefined;
  expect(await enrolments.bind('pod-2', 'UD')).toBe(true);
});

test('pods that enrol at once share writes, and one that another leader enrolled meanwhile fails alone', async () => {
  const patches = new Map<string, number>();
  api.intercept = ({ method, url: { pathname } }) => {
    if (method === 'PATCH') patches.set(pathname, (patches.get(pathname) ?? 0) + 1);
    return false;
  };
  const [mine, theirs] = [new Enrolments(api.kube, 'system'), new Enrolments(api.kube, 'system')];
  expect(await mine.bind('pod-0', 'U0')).toBe(true);
  expect(await theirs.bind('pod-7', 'UZ')).toBe(true);
  const pods = Array.from({ length: 400 }, (_, at) => at);
  const bound = await Promise.allSettled(pods.map((at) => mine.bind(`pod-${at}`, `U${at}`)));
  expect(bound.filter(({ status }) => status === 'rejected')).toMatchObject([
    { reason: { message: 'the pod was enrolled by another leader meanwhile' } },
  ]);
  expect(mine.nkeyOf('pod-7')).toBeUndefined();
  // Sixteen ConfigMaps: each with a write of the first that came, one of the rest, and one that another leader was ahead of.
  expect(Math.max(...patches.values())).toBeLessThanOrEqual(4);
  api.intercept = undefined;
  const next = new Enrolments(api.kube, 'system');
  await next.load(() => true);
  expect(pods.filter((at) => next.nkeyOf(`pod-${at}`) !== `U${at}`)).toEqual([7]);
});

test('an enrolment that is asked for again is not answered before it is written down', async () => {
  const enrolments = new Enrolments(api.kube, 'system');
  let fails = false;
  api.intercept = ({ method }, response) => {
    fails ||= method === 'PATCH';
    if (fails) response.writeHead(500).end('{}');
    return fails;
  };
  const [first, again] = await Promise.allSettled([enrolments.bind('pod-1', 'UA'), enrolments.bind('pod-1', 'UA')]);
  api.intercept = undefined;
  expect([first.status, again.status]).toEqual(['rejected', 'rejected']);
});
