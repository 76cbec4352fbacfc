import { hash } from 'node:crypto';
import type { ApprovalDecision } from '@chaperone/api';
import { describe, expect, onTestFinished, test } from 'vitest';
import { aCluster, cliError } from '../cluster/cluster.test-support.ts';
import type { ClusterFlags } from '../collector/transport.ts';
import { MAIN, run } from '../program.test-support.ts';
import { aRequest, RequestStore } from './api-server.test-support.ts';
import { openClusterDesk } from './cluster-desk.ts';
import type { RequestDesk } from './desk.ts';

const [FIRST, SECOND] = ['ar-aaaaaaaaaaaaaaa2', 'ar-aaaaaaaaaaaaaaa3'] as const;

async function start(
  flags: ClusterFlags = {},
): Promise<{ store: RequestStore; desk: RequestDesk; kubeconfig: string; asked: string[] }> {
  const { cluster, store } = await RequestStore.start();
  const desk = openClusterDesk({ kubeconfig: cluster.kubeconfig, namespace: 'agents', ...flags }, {});
  onTestFinished(() => desk[Symbol.asyncDispose]());
  return { store, desk, kubeconfig: cluster.kubeconfig, asked: cluster.asked };
}

describe('requests of a cluster', () => {
  test('are listed page by page, of one namespace or of all, the newest first', async () => {
    const { store, desk } = await start();
    store.pageSize = 2;
    for (const at of [2, 3, 4, 5, 6]) {
      const request = aRequest(`ar-aaaaaaaaaaaaaaa${at}`, {}, at === 4 ? 'other' : 'agents');
      store.put({ ...request, metadata: { ...request.metadata, creationTimestamp: `2026-01-01T12:00:0${at}Z` } });
    }
    const names = async (filter: object): Promise<string[]> =>
      (await desk.list(filter)).map(({ metadata }) => metadata.name.slice(-1));
    expect(await names({})).toEqual(['6', '5', '4', '3', '2']);
    expect(await names({ namespace: 'agents' })).toEqual(['6', '5', '3', '2']);
    expect(await names({ states: ['Denied'] })).toEqual([]);
    expect((await desk.list({ namespace: 'other' }))[0]).toMatchObject({
      apiVersion: 'chaperone.dev/v1alpha1',
      kind: 'AccessRequest',
    });
  });

  test('are found by name or a unique beginning, in their namespace', async () => {
    const { store, desk } = await start();
    store.put(aRequest(FIRST));
    store.put(aRequest(SECOND));
    expect((await desk.get(FIRST)).metadata.name).toBe(FIRST);
    expect(await cliError(desk.get('ar-a'))).toMatchObject({
      code: 'AmbiguousName',
      exit: 2,
      message: `ar-a fits 2 requests: ${FIRST}, ${SECOND}`,
    });
    expect(await cliError(desk.get('ar-b'))).toMatchObject({
      code: 'NotFound',
      exit: 5,
      message: 'no request ar-b in namespace agents of context test',
    });
    expect(await cliError(desk.get(FIRST, 'other'))).toMatchObject({ code: 'NotFound', exit: 5 });
  });

  test('are told as they change; a watch that ends goes on where it was, and one that is too old begins anew', async () => {
    const { store, desk } = await start();
    store.put(aRequest(FIRST));
    const bookmark = { type: 'BOOKMARK', object: { kind: 'AccessRequest', metadata: { resourceVersion: '77' } } };
    const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } };
    store.scripts.push(`${JSON.stringify(bookmark)}\n`, `${JSON.stringify(gone)}\n`);
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const { metadata, status } of desk.watch({ namespace: 'agents' }, stop.signal)) {
      seen.push(`${metadata.name} ${status?.state}`);
      if (seen.length === 2) store.end(FIRST, { state: 'Denied' });
      if (seen.length === 3) stop.abort();
    }
    expect(seen).toEqual([`${FIRST} Pending`, `${FIRST} Pending`, `${FIRST} Denied`]);
    expect(store.watches.map((query) => query.get('resourceVersion'))).toEqual(['2', '77', '2']);
  });

  test('are not told for ever by a server that only breaks off', async () => {
    const { store, desk } = await start();
    store.scripts.push('nonsense\n', 'nonsense\n', 'nonsense\n', 'nonsense\n');
    const following = async (): Promise<void> => {
      for await (const request of desk.watch({}, new AbortController().signal)) expect(request).toBeUndefined();
    };
    expect(await cliError(following())).toMatchObject({ code: 'ClusterUnreachable', exit: 7 });
  });

  test.each<[string, number, string, number]>([
    ['may not read them', 403, 'NotPermitted', 4],
    ['has no Chaperone', 404, 'NotInstalled', 1],
    ['is not known', 401, 'NotPermitted', 4],
    ['meets a fault', 500, 'ClusterUnreachable', 7],
  ])('whoever %s is told so', async (_, status, code, exit) => {
    const { cluster } = await RequestStore.start();
    cluster.state.refuse.set('GET /apis/chaperone.dev/v1alpha1', status);
    const desk = openClusterDesk({ kubeconfig: cluster.kubeconfig }, {});
    onTestFinished(() => desk[Symbol.asyncDispose]());
    expect(await cliError(desk.list({}))).toMatchObject({ code, exit });
  });
});

describe('an answer', () => {
  test('is by its author, with those of the groups that are asked, under a name that the same answer has again', async () => {
    const { store, desk } = await start();
    const request = store.put(aRequest(FIRST));
    const given = await desk.decide({ request, decision: 'Approve', reason: 'checked' });
    const name = `${FIRST}-${hash('sha256', `uid-of-${FIRST}janeApprove`, 'hex').slice(0, 12)}`;
    expect(given).toMatchObject({
      metadata: { name, namespace: 'agents' },
      spec: {
        request: FIRST,
        requestUid: `uid-of-${FIRST}`,
        digest: request.spec.digest,
        decision: 'Approve',
        by: 'jane',
        groups: ['dba'],
        reason: 'checked',
      },
    });
    expect(await desk.decide({ request, decision: 'Approve', reason: 'twice' })).toEqual(given);
    await desk.decide({ request, decision: 'Deny' });
    expect(store.decisions.size).toBe(2);
  });

  test('that did not count may be given again, a few times; one that nobody counted yet is the same still', async () => {
    const { store, desk } = await start();
    const request = store.put(aRequest(FIRST));
    const give = (reason: string) => desk.decide({ request, decision: 'Approve', reason });
    const uncounted = ({ metadata }: ApprovalDecision): void => {
      const stored = store.decisions.get(metadata.name);
      if (stored !== undefined) store.decisions.set(metadata.name, { ...stored, status: { counted: false } });
    };
    const first = await give('one');
    uncounted(first);
    const names: string[] = [];
    for (const reason of ['two', 'three', 'four']) {
      const given = await give(reason);
      expect([given.spec.reason, await give('pressed twice')]).toEqual([reason, given]);
      uncounted(given);
      names.push(given.metadata.name);
    }
    expect(names).toEqual([2, 3, 4].map((time) => `${first.metadata.name}-${time}`));
    expect(await give('five')).toMatchObject({ metadata: { name: names[2] }, spec: { reason: 'four' } });
    expect(store.decisions.size).toBe(4);
  });

  test('of somebody else under the name is never taken for one’s own', async () => {
    const { store, desk } = await start();
    const request = store.put(aRequest(FIRST));
    const { metadata } = await desk.decide({ request, decision: 'Approve' });
    const stored = store.decisions.get(metadata.name);
    if (stored !== undefined) store.decisions.set(metadata.name, { ...stored, spec: { ...stored.spec, by: 'mallory' } });
    expect(await cliError(desk.decide({ request, decision: 'Approve' }))).toMatchObject({ code: 'DigestMismatch' });
  });

  test('by somebody impersonated is by them', async () => {
    const { store, desk } = await start({ as: 'bob', asGroup: ['dev', 'dba'] });
    const request = store.put(aRequest(FIRST));
    expect(await desk.person(request)).toEqual({ user: 'bob', groups: ['dev', 'dba'], note: 'impersonated' });
    expect((await desk.decide({ request, decision: 'Deny' })).spec).toMatchObject({ by: 'bob', groups: ['dba'] });
  });

  test('that admission refuses is not permitted', async () => {
    const { cluster, store } = await RequestStore.start();
    cluster.state.refuse.set('POST /apis/chaperone.dev/v1alpha1/namespaces/agents/approvaldecisions', 403);
    const desk = openClusterDesk({ kubeconfig: cluster.kubeconfig, namespace: 'agents' }, {});
    onTestFinished(() => desk[Symbol.asyncDispose]());
    const error = await cliError(desk.decide({ request: store.put(aRequest(FIRST)), decision: 'Approve' }));
    expect(error).toMatchObject({
      code: 'NotPermitted',
      exit: 4,
      message: 'the user of context test may not answer requests of namespace agents: refused: Forbidden',
    });
  });
});

describe('the end of a session', () => {
  const SESSION = `s-${'a'.repeat(16)}`;
  /** A cluster in which SessionKills get the status that `statusAt` says, by how often it was asked for. */
  async function kills(statusAt: (asked: number) => object | undefined): Promise<(...more: string[]) => ReturnType<typeof run>> {
    let asked = 0;
    let made: Record<string, unknown> = {};
    const { kubeconfig } = await aCluster({
      serve: ({ method, url, body }, response) => {
        if (!url.pathname.includes('/sessionkills')) return false;
        if (method === 'POST') made = { ...(body as object), metadata: { namespace: 'agents', name: `${SESSION}-x7k2p` } };
        const status = method === 'POST' ? undefined : statusAt(++asked);
        if (status === undefined && method === 'GET')
          response.writeHead(403).end(JSON.stringify({ kind: 'Status', reason: 'Forbidden', message: 'no' }));
        else response.writeHead(method === 'POST' ? 201 : 200).end(JSON.stringify({ ...made, status }));
        return true;
      },
    });
    return (...more) => run(['sessions', 'kill', SESSION, '--reason', 'x', '-n', 'agents', '--kubeconfig', kubeconfig, ...more]);
  }
  const SENT = { sent: 2, at: '2026-01-01T12:00:00Z' };

  test('is said with its time once a sidecar has said so', async () => {
    const kill = await kills((asked) => (asked < 3 ? SENT : { ...SENT, endedAt: '2026-01-01T12:00:01Z' }));
    const took = /^session\/s-a{16} ended, [0-4]\.\d s after it was asked for\n$/;
    expect(await kill()).toEqual({ code: 0, out: expect.stringMatching(took) as string, err: '' });
    const { code, out } = await kill('-o', 'json');
    expect([code, JSON.parse(out)]).toEqual([
      0,
      {
        session: SESSION,
        ended: true,
        tookMs: expect.any(Number) as number,
        kill: expect.objectContaining({ kind: 'SessionKill' }) as object,
      },
    ]);
  });

  test.each<[string, object | undefined, string]>([
    ['nobody said', SENT, ''],
    ['nobody could be told', { ...SENT, sent: 0 }, ', where no sidecar is connected'],
    ['nobody may look', undefined, ''],
  ])(
    'is not said where %s that it is over: exit code 7',
    async (_, status, more) => {
      const kill = await kills(() => status);
      const name = `sessionkill/${SESSION}-x7k2p in namespace agents${more}`;
      // Both wait.
      const [said, asJson] = await Promise.all([kill(), kill('-o', 'json')]);
      expect(said).toMatchObject({
        code: 7,
        out: '',
        err: expect.stringContaining(
          `error: ${SESSION} is told to end by ${name}, and nobody has said yet that it has (NotEndedYet)`,
        ) as string,
      });
      expect([asJson.code, JSON.parse(asJson.out)]).toMatchObject([7, { session: SESSION, ended: false }]);
    },
    20_000,
  );
});

describe('kubectl chaperone', () => {
  test('approves and says what became of it, in which context and namespace', async () => {
    const { store, kubeconfig } = await start();
    store.put(aRequest(FIRST));
    const approving = run(['approve', FIRST, '--digest', '9c1f-44ab', '-n', 'agents'], {
      env: { KUBECONFIG: kubeconfig },
      command: [process.execPath, '--title=kubectl-chaperone', MAIN],
    });
    while (store.requests.get(FIRST)?.status?.state !== 'Approved') await new Promise((next) => setTimeout(next, 20));
    const conditions = [
      { type: 'Executed', status: 'True' as const, reason: 'Ran', message: 'it ran', lastTransitionTime: '2026-01-01T12:04:07Z' },
    ];
    store.end(FIRST, { state: 'Ran', result: 'UPDATE 1', conditions });
    const at = new Date('2026-01-01T12:04:07Z').toTimeString().slice(0, 8);
    expect(await approving).toEqual({
      code: 0,
      out: `accessrequest/${FIRST} approved (1 of 1) · ran at ${at}: UPDATE 1\n`,
      err: 'context test, namespace agents, as jane\n',
    });
    expect(await run(['requests', 'ls', '-A', '-o', 'name', '--kubeconfig', kubeconfig])).toMatchObject({ out: `${FIRST}\n` });
  });

  test('is meant without any flag where KUBECONFIG is set and no chaperone up runs here', async () => {
    const { kubeconfig } = await start();
    expect(await run(['requests', 'ls'], { env: { KUBECONFIG: kubeconfig } })).toMatchObject({
      code: 0,
      err: 'No requests found.\n',
    });
    const none = await run(['requests', 'ls']);
    expect([none.code, none.err]).toEqual([7, expect.stringContaining('no chaperone up runs with --data')]);
  });

  test('says that nobody counted it where the operator is away, and who is not asked', async () => {
    const { store, kubeconfig } = await start();
    store.put(aRequest(FIRST));
    store.isOperatorThere = false;
    const deny = ['deny', FIRST, '-n', 'agents', '--kubeconfig', kubeconfig];
    const other = await run([...deny, '--as', 'bob', '--as-group', 'dev', '--as-group', 'oncall']);
    expect([other.code, other.err.split('\n')[0]]).toEqual([
      4,
      `error: ${FIRST} needs group dba; you are bob, your groups: dev, oncall (NotAnApprover)`,
    ]);
    expect(store.decisions.size).toBe(0);
    const denied = await run(deny);
    expect([denied.code, denied.out]).toEqual([7, '']);
    expect(denied.err).toMatch(
      new RegExp(`error: the answer ${FIRST}-[0-9a-f]{12} is given, and nobody has counted it yet \\(NotCountedYet\\)`),
    );
  });
});
