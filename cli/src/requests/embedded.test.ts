import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AccessRequest } from '@chaperone/api';
import { shortDigest } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Program, run, type Shop, startShop } from '../program.test-support.ts';
import { type Held, startHeld, totalOf } from './requests.test-support.ts';

let shop: Shop;
beforeAll(async () => {
  shop = await startShop();
});
afterAll(() => shop[Symbol.asyncDispose]());

const digestOf = ({ spec }: AccessRequest): string => shortDigest(spec.digest);

test('an update that a rule holds is listed, shown and approved by its digest, runs once, and is told by the replay', async () => {
  await using held = await startHeld(shop);
  const { request, answer } = await held.held('update orders set total = $1 where id = $2', ['16.50', 102]);
  const { name } = request.metadata;

  const listed = await held.ask('requests', 'ls');
  expect(listed).toMatchObject({ code: 0, err: '' });
  const rows = listed.out
    .trimEnd()
    .split('\n')
    .map((row) => row.split(/\s+/));
  expect(rows[0]).toEqual(['NAME', 'AGENT', 'RESOURCE', 'EFFECT', 'STATE', 'VOTES', 'EXPIRES', 'AGE']);
  expect(rows[1]?.slice(0, 6)).toEqual([name, 'support-agent', 'data/orders-db', 'update:public.orders', 'Pending', '0/1']);
  expect(rows[1]?.[6]).toBe(`${request.spec.expiresAt.slice(11, 19)}Z`);
  const wide = (await held.ask('requests', 'ls', '-A', '-o', 'wide')).out.split('\n').map((row) => row.split(/ {2,}/));
  expect(wide[0]).toEqual(['NAMESPACE', ...(rows[0] ?? []), 'RULE', 'DIGEST', 'PURPOSE']);
  expect([wide[1]?.[0], ...(wide[1]?.slice(-3) ?? [])]).toEqual([
    'agents',
    'refund',
    digestOf(request),
    'answer support tickets',
  ]);
  expect((await held.ask('requests', 'ls', '--state', 'denied,pending', '-o', 'name')).out).toBe(`${name}\n`);
  expect(await held.ask('requests', 'ls', '--state', 'Denied')).toEqual({ code: 0, out: '', err: 'No requests found.\n' });
  expect(JSON.parse((await held.ask('requests', 'ls', '-o', 'json')).out)).toEqual({
    apiVersion: 'v1',
    kind: 'List',
    items: [request],
  });
  expect(parse((await held.ask('requests', 'show', name, '-o', 'yaml')).out)).toEqual(request);
  const shown = (await held.ask('requests', 'show', `accessrequest/${name.slice(0, 9)}`)).out;
  for (const line of [
    `Name      ${name} in namespace agents`,
    'State     Pending, 0/1 approvals',
    'Agent     support-agent (ServiceAccount support-agent) · purpose "answer support tickets"',
    'Runs      update orders set total = $1 where id = $2',
    "          $1 = '16.50'",
    'Effects   update public.orders (direct): approve by rule "refund"',
    'Rows      1 row matched when it was asked for',
    '          102  2            17.00  *****',
    `Digest    ${digestOf(request)} (${request.spec.digest})`,
  ])
    expect(shown.split('\n'), shown).toContain(line);
  expect(await totalOf(shop, 102)).toBe('17.00');

  const approved = await held.ask('approve', name, '--digest', digestOf(request), '--reason', 'ticket 2');
  expect([approved.code, approved.out]).toEqual([
    0,
    expect.stringMatching(new RegExp(`^accessrequest/${name} approved \\(1 of 1\\) · ran at \\d\\d:\\d\\d:\\d\\d: UPDATE 1\\n$`)),
  ]);
  expect(approved.err).toMatch(/^chaperone up at http:\S+, namespace agents, as local:\S+, for whoever is asked/);
  expect([await answer, await totalOf(shop, 102)]).toEqual(['UPDATE 1', '16.50']);

  for (const verb of [
    ['approve', name, '--digest', digestOf(request)],
    ['deny', name],
  ]) {
    const late = await held.ask(...verb);
    expect([late.code, late.out]).toEqual([6, '']);
    expect(late.err).toMatch(
      new RegExp(
        `^error: ${name} was approved \\d+s ago by local:\\S+ \\("ticket 2"\\) and ran: UPDATE 1 \\(AlreadyDecided\\)\n`,
      ),
    );
  }
  const replay = await eventually('the replay', async () => {
    const { out } = await held.ask('sessions', 'replay', request.spec.session);
    return out.includes('done ') ? out : undefined;
  });
  expect(replay).toMatch(
    new RegExp(
      `ask {4}update orders set total = \\$1 where id = \\$2\n +approve: .*\n *\\+\\S+ {2}held {3}${name}: approved after [\\d.]+ s\n +approve by local:\\S+, on this machine, where nobody signs in: "ticket 2"\n`,
    ),
  );
  expect((await held.ask('sessions', 'show', request.spec.session)).out).toMatch(
    /^Approvals: 1 asked for: 1 approved; approve by local:\S+, on this machine, where nobody signs in$/m,
  );
});

test('what is not said right decides nothing', async () => {
  await using held = await startHeld(shop);
  const { request, answer } = await held.held();
  const { name } = request.metadata;
  const { answer: second } = await held.agent('update orders set total = 1 where id = 101');
  await held.request(({ metadata, status }) => status?.state === 'Pending' && metadata.name !== name);
  const other = 'ar-7f3kq2mzt4hcnw5e';
  const [first = '', ...rest] = request.spec.digest;
  const wrong = `${first === '0' ? '1' : '0'}${rest.join('')}`;
  for (const [line, code, said] of [
    [['approve', name], 2, 'without a terminal, approve needs --digest: what was shown is what is approved (Usage)'],
    [['approve', name, '--digest', 'yes'], 2, '--digest is written 9c1f-44ab, or as all 64 digits; "yes" is not (Usage)'],
    [
      ['approve', name, '--digest', shortDigest(wrong)],
      3,
      `has the digest ${digestOf(request)}, not ${shortDigest(wrong)}; nothing was decided (DigestMismatch)`,
    ],
    [['approve', name, '--digest', wrong], 3, `not ${wrong}; nothing was decided (DigestMismatch)`],
    [['approve', other, '--digest', digestOf(request)], 5, `no request ${other} at chaperone up`],
    [['approve', 'ar-', '--digest', digestOf(request)], 2, 'ar- fits 2 requests: '],
    [['approve', 's-7hq2', '--digest', digestOf(request)], 2, '"s-7hq2" is not the name of a request; they look like ar-'],
    [['deny', name, '--reason', ''], 2, '--reason is empty; say why, since others read it (Usage)'],
    [['deny', name, '--reason', 'x'.repeat(1025)], 2, '--reason is at most 1024 characters (Usage)'],
    [
      ['deny', name, '--as', 'bob', '--as-group', 'dev'],
      4,
      `${name} needs group shop-leads; you are bob, your groups: dev (NotAnApprover)`,
    ],
    [['deny', name, '--as-group', 'dev'], 2, '--as-group needs --as (Usage)'],
    [['deny', name, '--as', 'bob', '--as-uid', '7'], 2, '--as-uid is for a cluster'],
    [['deny', name, '--context', 'x'], 2, '--data is about this machine'],
    [['requests', 'ls', '--state', 'Pendin'], 2, 'there is no state "Pendin"; did you mean "Pending"? (Usage)'],
    [['requests', 'show', name, '-o', 'wide'], 2, 'requests show has no output "wide"; it has table, json, yaml (Usage)'],
  ] as const) {
    const ended = await held.ask(...line);
    expect([ended.code, ended.out], line.join(' ')).toEqual([code, '']);
    expect(ended.err, line.join(' ')).toContain(said);
  }
  expect(await held.ask('approve', name, '-o', 'json')).toMatchObject({
    code: 2,
    err: expect.stringContaining('"code":"Usage"'),
  });
  expect(await run(['deny', name, '--data', shop.path('none')])).toMatchObject({ code: 7 });
  expect((await held.request(({ metadata }) => metadata.name === name)).status).toMatchObject({
    state: 'Pending',
    decisions: [],
  });

  const elsewhere = shop.path('data');
  await mkdir(elsewhere);
  await writeFile(join(elsewhere, 'collector.json'), JSON.stringify({ url: held.url, token: 'another', pid: process.pid }));
  expect(await run(['deny', name, '--data', elsewhere])).toMatchObject({
    code: 4,
    err: expect.stringContaining('error: the collector wants its bearer token (NotSignedIn)') as string,
  });
  expect((await held.request(({ metadata }) => metadata.name === name)).status).toMatchObject({
    state: 'Pending',
    decisions: [],
  });

  const denied = await held.ask('deny', name, '--reason', 'wrong \u001b[2Jorder', '-o', 'json');
  expect(denied.code).toBe(0);
  expect(JSON.parse(denied.out)).toMatchObject({
    decision: {
      kind: 'ApprovalDecision',
      spec: { decision: 'Deny', requestUid: request.metadata.uid },
      status: { counted: true },
    },
    request: { kind: 'AccessRequest', status: { state: 'Denied' } },
    outcome: { said: 'denied', final: true },
  });
  expect(denied.out).not.toContain('\u001b');
  expect(await answer).toContain(`${name} was denied by a reviewer (ApprovalDenied); UPDATE on public.orders did not run`);
  expect(await held.ask('deny', 'ar-', '--no-wait')).toMatchObject({ code: 2 });
  const left = await held.request();
  expect(await held.ask('deny', left.metadata.name, '--no-wait')).toMatchObject({
    code: 0,
    out: expect.stringMatching(new RegExp(`^accessrequest/${left.metadata.name} deny is given as ${left.metadata.name}-\\w+\n$`)),
  });
  expect(await second).toContain('ApprovalDenied');
  expect(await totalOf(shop, 101)).toBe('42.50');
});

test('two people must approve, each once, with a reason', async () => {
  await using held = await startHeld(shop, 'approvers: {groups: [shop-leads]}, minimum: 2, reason: required');
  const { request, answer } = await held.held('update orders set total = 3 where id = 103');
  const { name } = request.metadata;
  const approve = ['approve', name, '--digest', request.spec.digest];
  expect(await held.ask(...approve)).toMatchObject({
    code: 2,
    err: expect.stringContaining('wants a reason: add --reason (Usage)'),
  });
  const own = [...approve, '--reason', 'first'];
  const once = await held.ask(...own);
  expect([once.code, once.out]).toEqual([0, `accessrequest/${name} approved (1 of 2): waits for one more\n`]);
  expect((await held.ask(...own)).out, 'a double press').toBe(
    `accessrequest/${name} approved (1 of 2): waits for one more; yours was given already, and counts once\n`,
  );
  expect((await held.request()).status?.decisions).toHaveLength(1);
  expect(await totalOf(shop, 103)).toBe('5.25');
  const agents = ['--as', 'system:serviceaccount:agents:support-agent', '--as-group', 'shop-leads'];
  const itself = await held.ask(...own, ...agents);
  expect([itself.code, itself.out]).toEqual([4, '']);
  expect(itself.err).toContain('error: does not count: nobody decides on a request of their own (NotAnApprover)\n');
  const second = await held.ask(...own, '--as', 'bob', '--as-group', 'shop-leads');
  expect(second.out).toMatch(/approved \(2 of 2\) · ran at [\d:]{8}: UPDATE 1\n$/);
  expect(second.err).toContain('as bob, played by the person at this machine');
  expect([await answer, await totalOf(shop, 103)]).toEqual(['UPDATE 1', '3.00']);
});

test('nobody decides on what expired; it never ran', async () => {
  await using held = await startHeld(shop, 'approvers: {groups: [shop-leads]}, timeout: 1s');
  const { request, answer } = await held.held('update orders set total = 9 where id = 101');
  expect(await answer).toContain('expired after 1 s without a decision');
  const { name } = request.metadata;
  for (const line of [
    ['approve', name, '--digest', digestOf(request)],
    ['deny', name],
  ]) {
    const late = await held.ask(...line);
    expect([late.code, late.out]).toEqual([6, '']);
    expect(late.err).toContain(
      `error: ${name} expired at ${request.spec.expiresAt.slice(11, 19)}Z with 0/1 approvals; it never ran (RequestExpired)\n`,
    );
  }
  expect(await totalOf(shop, 101)).toBe('42.50');
});

test('a list that goes on tells each change once, and ends with the proxy', async () => {
  await using held = await startHeld(shop);
  const watching = new Program(['requests', 'ls', '--watch', '--state', 'Pending', '--data', held.data]);
  const { request, answer } = await held.held('update orders set total = 8 where id = 101');
  const { name } = request.metadata;
  await eventually('the request', () => (watching.out.includes(name) ? true : undefined));
  await held.ask('deny', name);
  await answer;
  await eventually('its end', () => (watching.out.includes('Denied') ? true : undefined));
  expect(
    watching.out
      .trimEnd()
      .split('\n')
      .map((row) => row.split(/\s+/)[4]),
  ).toEqual(['STATE', 'Pending', 'Denied']);
  await held[Symbol.asyncDispose]();
  const ended = await watching.ended;
  expect(ended.code).toBe(7);
  expect(ended.err).toMatch(
    /^error: chaperone up at \S+ does not answer any more; requests end with it \(CollectorUnreachable\)\n/,
  );
  expect(await held.ask('requests', 'ls')).toMatchObject({
    code: 7,
    err: expect.stringContaining('no chaperone up runs with --data'),
  });
});

describe('at a terminal', () => {
  const ask = '[q]uit undecided (4m';
  let held: Held;
  beforeAll(async () => {
    held = await startHeld(shop);
  });
  afterAll(() => held[Symbol.asyncDispose]());

  test('a person sees what is to run, and approves it by a letter', async () => {
    const { request, answer } = await held.held("update orders set total = 12 where id = 102 and 'a\u202eb' <> ''");
    const terminal = held.terminal('approve', request.metadata.name);
    await terminal.type(ask, 'what\n');
    await terminal.type('v shows all of it', 'v\n');
    await terminal.type('Executed  it has not run', 'a\n');
    const { code, seen } = await terminal.end();
    expect(code).toBe(0);
    expect(seen).toMatch(/^Agent {5}agents\/support-agent · purpose "answer support tickets" {6}expires in (4m\d\d|5m00)s$/m);
    expect(seen).toMatch(
      /^Runs {6}update orders set total = 12 where id = 102 and 'a\\u\{202e\}b' <> '' {8}on data\/orders-db$/m,
    );
    expect(seen).toMatch(/^Effect {4}update public\.orders, select public\.orders · 1 row matched when it was asked for$/m);
    expect(seen).toContain(
      `Digest    ${digestOf(request)} · rule "refund", generation 1 · needs 1 of group shop-leads, you are asked\n`,
    );
    expect(seen).toMatch(/^approved \(1 of 1\) · ran at [\d:]{8}: UPDATE 1$/m);
    expect(await answer).toBe('UPDATE 1');
  });

  test('a person denies it, and tells the agent why', async () => {
    const { request, answer } = await held.held();
    const terminal = held.terminal('approve', request.metadata.name);
    await terminal.type(ask, 'd\n');
    await terminal.type('reason (the agent reads it; Enter for none)', 'wrong order\n');
    expect((await terminal.end()).seen).toMatch(/^denied$/m);
    expect(await answer).toContain('Reviewer: "wrong order"');
  });

  test.each<[string, string, number]>([
    ['Enter', '\n', 0],
    ['q', 'q\n', 0],
    ['the end of input', '\u0004', 0],
    ['a denial without an end to its reason', 'd\n\u0004', 0],
    ['Ctrl-C', '\u0003', 130],
  ])(
    '%s decides nothing',
    async (_, typed, exit) => {
      const { request } = await held.held(`update orders set total = 77 where id = 102 and ${exit} < ${exit + typed.length}`);
      const terminal = held.terminal('approve', request.metadata.name);
      await terminal.type(ask, typed);
      expect(await terminal.end()).toMatchObject({
        code: exit,
        seen: expect.stringContaining('undecided; nothing was written') as string,
      });
      expect((await held.request()).status).toMatchObject({ state: 'Pending', decisions: [] });
      await held.ask('deny', request.metadata.name);
    },
    30_000,
  );

  test('somebody else’s decision ends the prompt', async () => {
    const { request } = await held.held();
    const { name } = request.metadata;
    const terminal = held.terminal('approve', name);
    await terminal.type(ask, 'a');
    await held.ask('deny', name, '--as', 'bob', '--as-group', 'shop-leads', '--reason', 'wrong ticket');
    const { code, seen } = await terminal.end();
    expect(code).toBe(6);
    expect(seen).toMatch(new RegExp(`error: ${name} was denied \\d+s ago by bob \\("wrong ticket"\\) \\(AlreadyDecided\\)`));
  });

  test('the end of the time ends the prompt, and what meets many rows wants its name typed', async () => {
    await using short = await startHeld(shop, 'approvers: {groups: [shop-leads]}, timeout: 6s, reason: required');
    const { request, answer } = await short.held('update orders set total = total + 1 where total > random() - 1');
    const { name } = request.metadata;
    expect(request.status?.preview?.count, 'nobody can look at the rows of what is volatile').toBeUndefined();
    const terminal = short.terminal('approve', name);
    await terminal.type('[q]uit undecided (', 'a\n');
    await terminal.type('type public.orders to approve it', 'public.orders\n');
    await terminal.type('reason (the agent reads it)', 'because');
    const { code, seen } = await terminal.end();
    expect(code).toBe(6);
    expect(seen).toContain(`error: ${name} expired at`);
    expect(await answer).toContain('ApprovalExpired');
  });
});

test('a session says what became of what its agent was told to repeat, and counts it once', async () => {
  await using held = await startHeld(shop, 'approvers: {groups: [shop-leads]}, mode: retry, timeout: 1m');
  const sql = 'update orders set total = 16.5 where id = 102';
  const { client, answer } = await held.agent(sql);
  expect(await answer).toContain('(ApprovalPending)');
  const { metadata, spec } = await held.request();
  const shown = (said: RegExp): Promise<true | undefined> =>
    eventually(`${said} of the session`, async () =>
      said.test((await held.ask('sessions', 'show', spec.session)).out) ? true : undefined,
    );
  await shown(/^Actions: +1, 0 denied, 1 held, .*\nApprovals: 1 asked for: 1 pending \(not repeated\)$/m);
  await held.ask('approve', metadata.name, '--digest', digestOf({ metadata, spec } as AccessRequest));
  await client.query(sql);
  await shown(
    /^Actions: +2, 0 denied, 1 held, .*\nApprovals: 1 asked for: 1 approved; approve by local:\S+, on this machine, where nobody signs in$/m,
  );
  expect((await held.ask('sessions', 'replay', spec.session)).out).toMatch(
    new RegExp(`held {3}${metadata.name}: pending after \\S+ s; the agent is to repeat it[^]*held {3}${metadata.name}: approved`),
  );
});

test.each<[string, (policy: string) => string]>([
  ['changes', (policy) => policy.replace('timeout: 5m', 'timeout: 6m')],
  ['goes', () => ''],
])('a request is void at once where its policy %s, and the agent that waits hears it', async (_, change) => {
  await using held = await startHeld(shop);
  const { request, answer } = await held.held();
  const file = join(held.manifests, 'policy.yaml');
  await writeFile(file, change(await readFile(file, 'utf8')));
  expect(await answer).toMatch(/ApprovalVoided|SessionEnded/);
  const over = await held.request(({ status }) => status?.state === 'Voided');
  expect(over.metadata.name).toBe(request.metadata.name);
  expect(await totalOf(shop, 102)).not.toBe('0');
});

test('a person ends a session while its statement waits; the agent reads why, and nothing runs', async () => {
  await using held = await startHeld(shop);
  const { request, answer } = await held.held();
  const { session } = request.spec;
  expect(await held.ask('sessions', 'kill', session.slice(0, 8), '--reason', 'x')).toMatchObject({ code: 2, out: '' });
  for (const reason of ['', '  ', 'x'.repeat(257)])
    expect(await held.ask('sessions', 'kill', session, '--reason', reason)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/^error: --reason is (empty|at most 256 characters).* \(Usage\)\n/) as string,
    });
  expect(await held.ask('sessions', 'kill', session, '--reason', 'wrong order', '--as', 'jane@corp')).toEqual({
    code: 0,
    out: expect.stringMatching(new RegExp(`^session/${session} ended, \\d+\\.\\d s after it was asked for\n$`)) as string,
    err: '',
  });
  const read = await answer;
  expect(read).toMatch(/SessionEnded.*|terminat/);
  expect(read).not.toContain('jane');
  await held.request(({ metadata, status }) => metadata.name === request.metadata.name && status?.state === 'Withdrawn');
  const shown = await eventually('the record of the end', async () => {
    const { out } = await held.ask('sessions', 'replay', session);
    return out.includes('close') ? out : undefined;
  });
  expect(shown).toMatch(new RegExp(`held   ${request.metadata.name}: withdrawn after `));
  expect(shown).toContain('a person ended it: wrong order (SessionEnded, by jane@corp)');
  expect(await held.ask('sessions', 'kill', session, '--reason', 'again')).toMatchObject({
    code: 6,
    out: '',
    err: expect.stringContaining(`error: ${session} is over already; nothing was done (SessionOver)`) as string,
  });
  expect(await held.ask('sessions', 'kill', 's-aaaaaaaaaaaaaaaa', '--reason', 'x')).toMatchObject({
    code: 5,
    out: '',
    err: expect.stringContaining('error: no session s-aaaaaaaaaaaaaaaa is known here (NotFound)') as string,
  });
});
