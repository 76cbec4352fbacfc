import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation } from './harness/installation.ts';
import {
  type AccessRequest,
  untilItIs,
  type Decision,
  decisionOn,
  hold,
  heldPolicy,
  listRequests,
  readRequest,
} from './harness/requests.ts';
import type { Result } from './harness/run.ts';
import { AGENTS, DATA, Shop } from './harness/shop.ts';

/** What a rule wants approved: held for an agent's stock psql, answered by people with kubectl, run once. */
const OPERATOR = 'deployment/chaperone-operator';
const JANE = ['--as=jane@corp', '--as-group=dba'];
const EVE = ['--as=eve@corp', '--as-group=sales'];
const AGENT_ACCOUNT = `system:serviceaccount:${AGENTS}:support-agent`;
let shop: Shop;
let bot: Agent;
let decisions = 0;

const policy = heldPolicy();
const requests = (): Promise<AccessRequest[]> => listRequests(shop.cluster);
const request = (name: string): Promise<AccessRequest> => readRequest(shop.cluster, name);
const state = async (name: string): Promise<string | undefined> => (await request(name)).status?.state;
const becomes = (name: string, wanted: string): Promise<true> => untilItIs(shop.cluster, name, wanted);
const held = (mark: string): ReturnType<typeof hold> => hold(shop.cluster, bot, mark);
async function ticket(): Promise<string> {
  return (await bot.psql('select status from tickets where id = 1')).stdout.trim();
}

/** The same at the database itself: no session opens while nobody counts it. */
async function stored(): Promise<string> {
  const psql = ['psql', '-h', '/tmp', '-U', 'postgres', '-d', 'orders', '-tAc', 'select status from tickets where id = 1'];
  return (await shop.cluster.demand(['exec', 'deployment/orders', '-n', DATA, '--', ...psql])).trim();
}

function decision(asked: AccessRequest, mods: Partial<Decision> = {}) {
  decisions += 1;
  return decisionOn(asked, `${asked.metadata.name}-${decisions}`, mods);
}
const create = (object: object, as: readonly string[]): Promise<Result> =>
  shop.cluster.kubectl(['create', '-f', '-', ...as], object);

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  await shop.cluster.apply(policy);
  const bind = ['create', 'rolebinding', '-n', AGENTS, '--clusterrole=chaperone-approver'];
  await shop.cluster.demand([...bind, 'dba', '--group=dba']);
  await shop.cluster.demand([...bind, 'eve', '--user=eve@corp']);
  await shop.cluster.demand([...bind, 'agent', `--serviceaccount=${AGENTS}:support-agent`]);
  bot = await shop.startAgent('bot');
  await bot.serves();
  await shop.condition('accesspolicy/support-agent', AGENTS, 'Programmed', 60_000);
});
afterAll(() => shop.close());

describe('an UPDATE that a rule wants approved', () => {
  test('is held, shown by kubectl, approved by somebody whom the rule asks, and runs once', async () => {
    const before = await ticket();
    const { asked, result } = await held('!');
    expect(await ticket()).toBe(before);
    const table = await shop.cluster.demand(['get', 'accessrequests', '-n', AGENTS, ...JANE]);
    expect(table).toMatch(/NAME +AGENT +RESOURCE +EFFECT +STATE +VOTES/);
    expect(table).toMatch(new RegExp(`${asked.metadata.name} +bot +orders-db +UPDATE.* +Pending +0/1`));
    expect(asked.spec).toMatchObject({
      agent: { serviceAccount: 'support-agent', pod: 'bot', purpose: 'answer support tickets' },
      rules: [{ rule: 'fix', groups: ['dba'], minimum: 1 }],
    });
    const given = decision(asked, { reason: 'ticket 5' });
    expect(await create(given, JANE)).toMatchObject({ status: 0, stderr: '' });
    const { status, stdout, stderr } = await result;
    expect([status, stdout]).toEqual([0, 'UPDATE 1\n']);
    expect(stderr).toContain(asked.metadata.name);
    expect(await ticket()).toBe(`${before}!`);
    await becomes(asked.metadata.name, 'Ran');
    expect((await request(asked.metadata.name)).status).toMatchObject({ votes: '1/1', result: 'UPDATE 1' });
    const counts = ['get', 'approvaldecision', given.metadata.name, '-n', AGENTS, '-o', 'jsonpath={.status.counted}'];
    expect(await shop.cluster.demand(counts)).toBe('true');
  });

  test('again is another request: an approval is for one execution', async () => {
    const before = await ticket();
    const { asked, result } = await held('!');
    expect(await create(decision(asked, { decision: 'Deny', reason: 'once is enough' }), JANE)).toMatchObject({ status: 0 });
    const { stderr } = await result;
    expect(stderr).toContain('(ApprovalDenied)');
    expect(stderr).toContain('once is enough');
    expect(await ticket()).toBe(before);
    expect(await state(asked.metadata.name)).toBe('Denied');
  });

  test('counts no approval of somebody whom the rule does not ask, and says why', async () => {
    const { asked, result } = await held('?');
    const given = decision(asked, { by: 'eve@corp', groups: ['sales'] });
    expect(await create(given, EVE)).toMatchObject({ status: 0 });
    const why = ['get', 'approvaldecision', given.metadata.name, '-n', AGENTS, '-o', 'jsonpath={.status}'];
    await eventually('a word on the decision', async () => ((await shop.cluster.demand(why)) === '' ? undefined : true), 10_000);
    expect(JSON.parse(await shop.cluster.demand(why))).toEqual({ counted: false, why: 'the rule does not ask this person' });
    expect((await request(asked.metadata.name)).status).toMatchObject({ state: 'Pending', votes: '0/1' });
    expect(await create(decision(asked, { decision: 'Deny' }), JANE)).toMatchObject({ status: 0 });
    expect((await result).stderr).toContain('(ApprovalDenied)');
  });

  test('is answered by the command line, as it is by kubectl', async () => {
    const before = await ticket();
    const { asked, result } = await held('#');
    const { name } = asked.metadata;
    const jane = ['-n', AGENTS, '--as', 'jane@corp', '--as-group', 'dba'];
    const listed = await shop.cluster.chaperone('requests', 'ls', ...jane);
    expect([listed.status, listed.stdout]).toEqual([0, expect.stringContaining(name)]);
    const blind = await shop.cluster.chaperone('approve', name, ...jane);
    expect([blind.status, blind.stderr]).toEqual([2, expect.stringContaining('--digest')]);
    const digest = `${asked.spec.digest.slice(0, 4)}-${asked.spec.digest.slice(4, 8)}`;
    const eve = await shop.cluster.chaperone('approve', name, '--digest', digest, '-n', AGENTS, '--as', 'eve@corp');
    expect([eve.status, eve.stderr]).toEqual([4, expect.stringContaining('(NotAnApprover)')]);
    const approved = await shop.cluster.chaperone('approve', name, '--digest', digest, ...jane);
    expect(approved.status).toBe(0);
    expect(approved.stdout).toMatch(/approved \(1 of 1\) · ran at \d\d:\d\d:\d\d: UPDATE 1/);
    expect(await result).toMatchObject({ status: 0, stdout: 'UPDATE 1\n' });
    expect(await ticket()).toBe(`${before}#`);
  });

  test('is withdrawn when the agent goes', async () => {
    const brief = await shop.startAgent('brief');
    await brief.serves();
    const known = new Set((await requests()).map(({ metadata }) => metadata.name));
    const result = brief.psql("update tickets set status = 'gone' where id = 2");
    const fresh = async (): Promise<AccessRequest | undefined> =>
      (await requests()).find(({ metadata, spec }) => !known.has(metadata.name) && spec.agent.pod === 'brief');
    const asked = await eventually('a request for approval', fresh);
    await shop.cluster.demand(['delete', 'pod', 'brief', '-n', AGENTS, '--wait=false']);
    await becomes(asked.metadata.name, 'Withdrawn');
    await result;
    expect((await bot.psql('select status from tickets where id = 2')).stdout).toBe('open\n');
  });
});

describe('admission, also while the operator is away', () => {
  test('refuses who answers in another’s name, and the request waits for the next operator', async () => {
    const before = await ticket();
    const { asked, result } = await held('+');
    await shop.installation.stop(OPERATOR);
    try {
      const refused: readonly (readonly [Partial<Decision>, readonly string[], string])[] = [
        [{ by: 'jane@corp' }, EVE, 'set spec.by to your own user name, eve@corp [DecisionNotOwn]'],
        [{ by: 'eve@corp' }, EVE, 'remove "dba" from spec.groups; you are not in it [DecisionNotOwn]'],
        [{ by: AGENT_ACCOUNT, groups: [] }, [`--as=${AGENT_ACCOUNT}`], '[DecisionByWorkload]'],
      ];
      for (const [spec, as, message] of refused) {
        const { status, stderr } = await create(decision(asked, spec), as);
        expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
      }
      expect(await create(decision(asked), JANE)).toMatchObject({ status: 0, stderr: '' });
      expect(await state(asked.metadata.name)).toBe('Pending');
      expect(await stored()).toBe(before);
    } finally {
      await shop.installation.start(OPERATOR);
    }
    expect(await result).toMatchObject({ status: 0, stdout: 'UPDATE 1\n' });
    expect(await ticket()).toBe(`${before}+`);
  }, 300_000);

  test('lets nobody but the operator say that an answer was signed, and the operator approve nothing without a proof', async () => {
    const [asked] = await requests();
    if (asked === undefined) throw new Error('there is no request');
    const attestation = {
      assurance: 'signed',
      idToken: 'a.b.c',
      key: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' },
      opening: 'o',
      challenge: 'c',
      shown: 'a'.repeat(64),
      signature: 's',
      signedAt: new Date().toISOString(),
    };
    const plain = decision(asked);
    const proven = { ...plain, spec: { ...plain.spec, attestation } };
    const noted = { ...plain, metadata: { ...plain.metadata, annotations: { 'chaperone.dev/attested-by': 'slack' } } };
    // Its right to create decisions comes with the page, which is not installed here; what admission says is.
    const bind = ['create', 'rolebinding', 'operator-decides', '-n', AGENTS, '--clusterrole=chaperone-approver'];
    await shop.cluster.demand([...bind, '--serviceaccount=chaperone-system:chaperone-operator']);
    const operator = ['--as=system:serviceaccount:chaperone-system:chaperone-operator', '--dry-run=server'];
    const tries: readonly (readonly [object, readonly string[], string])[] = [
      [proven, JANE, '[DecisionNotAttested]'],
      [noted, JANE, '[DecisionNotAttested]'],
      [plain, operator, '[DecisionNotOwn]'],
    ];
    for (const [object, as, message] of tries)
      expect(await create(object, as)).toMatchObject({ status: 1, stderr: expect.stringContaining(message) });
    expect(await create(proven, operator)).toMatchObject({ status: 0, stderr: '' });
  });

  test('lets nobody but the operator write what is asked for, or what became of it', async () => {
    const [asked] = await requests();
    if (asked === undefined) throw new Error('there is no request');
    const { name } = asked.metadata;
    const forged = { ...asked, metadata: { name: 'ar-aaaaaaaaaaaaaaaa', namespace: AGENTS }, status: undefined };
    const status = JSON.stringify({ status: { state: 'Approved' } });
    const of = ['accessrequest', name, '-n', AGENTS];
    const tries: readonly Promise<Result>[] = [
      create(forged, []),
      shop.cluster.kubectl(['patch', ...of, '--subresource=status', '--type=merge', '-p', status]),
      shop.cluster.kubectl(['annotate', ...of, 'note=mine']),
      shop.cluster.kubectl(['delete', ...of]),
    ];
    for (const each of await Promise.all(tries))
      expect([each.status, each.stderr]).toEqual([1, expect.stringContaining('[RequestByOperatorOnly]')]);
  });

  test('lets nobody change a decision, or say that it counts', async () => {
    const [given = ''] = (await shop.cluster.demand(['get', 'approvaldecisions', '-n', AGENTS, '-o', 'name'])).split('\n');
    const patch = (body: object, ...args: string[]): Promise<Result> =>
      shop.cluster.kubectl(['patch', given, '-n', AGENTS, '--type=merge', '-p', JSON.stringify(body), ...args]);
    expect((await patch({ spec: { reason: 'other' } })).stderr).toContain('a decision never changes');
    expect((await patch({ status: { counted: true, why: 'mine' } }, '--subresource=status')).stderr).toContain(
      '[RequestByOperatorOnly]',
    );
  });
});

describe('the role chaperone-approver', () => {
  test.each<[string, string, string[], string]>([
    ['create', 'approvaldecisions', JANE, 'yes'],
    ['list', 'accessrequests', JANE, 'yes'],
    ['create', 'accessrequests', JANE, 'no'],
    ['delete', 'accessrequests', JANE, 'no'],
    ['update', 'accessrequests/status', JANE, 'no'],
    ['update', 'approvaldecisions/status', JANE, 'no'],
    ['delete', 'approvaldecisions', JANE, 'no'],
    ['create', 'approvaldecisions', ['--as=bob@corp'], 'no'],
  ])('may %s %s: %s, %s', async (verb, resource, as, may) => {
    const { stdout } = await shop.cluster.kubectl(['auth', 'can-i', verb, resource, '-n', AGENTS, ...as]);
    expect(stdout.trim()).toBe(may);
  });

  test('is in no role that is built in', async () => {
    await shop.cluster.demand(['create', 'rolebinding', 'editor', '-n', AGENTS, '--clusterrole=edit', '--user=ed@corp']);
    const can = async (verb: string, resource: string): Promise<string> =>
      (await shop.cluster.kubectl(['auth', 'can-i', verb, resource, '-n', AGENTS, '--as=ed@corp'])).stdout.trim();
    expect([await can('create', 'approvaldecisions'), await can('create', 'accessrequests')]).toEqual(['no', 'no']);
  });
});

describe('a request', () => {
  test('is voided with its policy, whatever is approved after it', async () => {
    const before = await ticket();
    const { asked, result } = await held('*');
    await shop.cluster.demand(['delete', 'accesspolicy', 'support-agent', '-n', AGENTS]);
    await becomes(asked.metadata.name, 'Voided');
    const given = decision(asked);
    expect(await create(given, JANE)).toMatchObject({ status: 0 });
    const { stdout, stderr } = await result;
    expect(stdout).toBe('');
    // Its session may hear first that the agent has no right to the resource any more.
    expect(stderr).toMatch(/\((ApprovalVoided|SessionEnded)\)/);
    await shop.cluster.apply(policy);
    await bot.serves();
    await eventually('the policy to be in force', async () => ((await ticket()) === before ? true : undefined));
    const why = ['get', 'approvaldecision', given.metadata.name, '-n', AGENTS, '-o', 'jsonpath={.status.why}'];
    expect(await shop.cluster.demand(why)).toBe('it was over already: Voided');
  });

  test('goes with its namespace', async () => {
    expect((await requests()).length).toBeGreaterThan(3);
    await shop.cluster.demand(['delete', 'namespace', AGENTS, '--wait=true', '--timeout=120s']);
  });
});
