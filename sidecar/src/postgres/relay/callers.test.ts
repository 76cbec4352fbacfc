import { setTimeout } from 'node:timers/promises';
import { startProvider, type TestProvider } from '@chaperone/testing';
import type { Client, ClientConfig, DatabaseError } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../platform.ts';
import { encodePassword } from '../wire/index.ts';
import { allowing, type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say, typesOf } from './raw-client.test-support.ts';

// A real provider signs, a real client brings the token as its password, a real server is behind the proxy.

const SCHEMA = `
  create table tickets (id int); create table customers (id int); create table secrets (id int);
  insert into tickets values (1); insert into customers values (2); insert into secrets values (3);
  grant select on all tables in schema public to agent_role;`;
const ON = { resource: { namespace: 'data', name: 'orders-db' } };
const reads = (relation: string): object => ({ statements: ['select'], relations: [`public.${relation}`] });

let provider: TestProvider;
let governed: Governed;
/** Every token that was ever used: none may be found anywhere. */
const tokens: string[] = [];
/** By how much the proxy's wall clock is ahead. */
let ahead = 0;

const policy = (oidc: object = {}): object => ({
  identity: { oidc: { issuer: provider.issuer, audiences: ['chaperone'], ...oidc } },
  rules: [
    { ...ON, name: 'read', effect: 'Allow', sql: reads('tickets') },
    { ...ON, name: 'support', effect: 'Allow', sql: reads('customers'), onBehalfOf: { groups: ['support'] } },
    { ...ON, name: 'all', effect: 'Allow', sql: reads('secrets') },
    {
      ...ON,
      name: 'ask',
      effect: 'RequireApproval',
      sql: { statements: ['delete'], relations: ['public.tickets'] },
      approval: { approvers: { groups: ['support'] }, timeout: '10s', mode: 'retry' },
    },
    { ...ON, name: 'no-tasks', effect: 'Deny', sql: reads('secrets'), onBehalfOf: { users: ['nightly-report'] } },
  ],
});

beforeAll(async () => {
  provider = await startProvider();
  const clock = { ...systemClock, after: async () => undefined, now: () => systemClock.now() + ahead };
  governed = await startGoverned({ schema: SCHEMA, policy: policy(), clock });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await provider?.[Symbol.asyncDispose]();
});

/** A connection with this as its password, within TLS. */
function bring(password: string, more: ClientConfig = {}, to = governed): Promise<Client> {
  if (password.length > 100) tokens.push(password);
  return to.connect({ password, ssl: { ca: governed.ca, servername: 'localhost' }, ...more });
}

async function refusalOf(connecting: Promise<Client>): Promise<string> {
  try {
    await connecting;
    return 'accepted';
  } catch (error) {
    const { severity, code, message } = error as DatabaseError;
    return `${severity} ${code} ${message}`;
  }
}

async function answer(client: Client, sql: string): Promise<string> {
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' });
    return String(rows);
  } catch (error) {
    return / \((\w+)\)[.] /.exec((error as Error).message)?.[1] ?? String(error);
  }
}

const opens = (of = governed) => of.records.map(({ record }) => record).filter(({ type }) => type === 'session.open');

describe('a token of the provider', () => {
  it('names the person in a request for approval, on which that person cannot decide', async () => {
    const client = await bring(await provider.personToken('mira'));
    expect(await answer(client, 'delete from tickets where id = 99')).toBe('ApprovalPending');
    const [request] = governed.desk.list();
    const user = opens().map((open) => (open.type === 'session.open' ? open.onBehalfOf?.user : undefined))[0] ?? '';
    expect(request?.spec.agent.onBehalfOf).toEqual({ issuer: provider.issuer, user });
    const decided = governed.desk.decide({
      request: request?.metadata.name,
      requestUid: request?.metadata.uid,
      digest: request?.spec.digest,
      decision: 'Approve',
      by: user,
      groups: ['support'],
    });
    expect(decided.decision.status).toEqual({ counted: false, why: 'nobody decides on a request of their own' });
    await client.end();
  });
  it('of a person lets the agent do what is done on that person’s behalf', async () => {
    const client = await bring(await provider.personToken('mira'));
    expect(await answer(client, 'select id from tickets')).toBe('1');
    expect(await answer(client, 'select id from customers')).toBe('2');
    expect(await answer(client, 'select id from secrets')).toBe('3');
    expect(opens().at(-1)).toMatchObject({
      onBehalfOf: { issuer: provider.issuer, user: 'mira', groups: ['support'] },
      client: { tls: true },
    });
    await client.end();
  });

  it('of a task lets it do what is done on its own, and no more', async () => {
    const client = await bring(await provider.taskToken());
    expect(await answer(client, 'select id from tickets')).toBe('1');
    expect(await answer(client, 'select id from customers')).toBe('NoRuleAllows');
    expect(await answer(client, 'select id from secrets')).toBe('DeniedByRule');
    expect(opens().at(-1)).toMatchObject({ onBehalfOf: { user: 'nightly-report', groups: ['tasks'] } });
    await client.end();
  });

  it('what was judged for one caller is not taken for another, whatever was asked before', async () => {
    const person = await bring(await provider.personToken('mira'));
    const task = await bring(await provider.taskToken());
    for (let round = 0; round < 4; round++) {
      expect(await answer(person, 'select id from customers')).toBe('2');
      expect(await answer(task, 'select id from customers')).toBe('NoRuleAllows');
      expect(await answer(person, 'select id from secrets')).toBe('3');
      expect(await answer(task, 'select id from secrets')).toBe('DeniedByRule');
    }
    await person.end();
    await task.end();
  });

  it('names the user by the claim that the policy says', async () => {
    await using other = await governed.anew({
      policy: {
        ...policy({ userClaim: 'email' }),
        rules: [{ ...ON, name: 'mine', effect: 'Allow', sql: reads('tickets'), onBehalfOf: { users: ['mira@corp'] } }],
      },
    });
    const mira = await bring(await provider.personToken('mira'), {}, other);
    const jane = await bring(await provider.personToken('jane'), {}, other);
    expect([await answer(mira, 'select id from tickets'), await answer(jane, 'select id from tickets')]).toEqual([
      '1',
      'NoRuleAllows',
    ]);
    expect(await refusalOf(bring(await provider.taskToken(), {}, other))).toContain('it does not name a user');
  });

  it('is needed for each connection, cancel requests aside', async () => {
    const before = opens().length;
    expect(await refusalOf(bring('anything'))).toBe(
      'FATAL 28000 chaperone: the token was not accepted: it is not a JWT (TokenRejected). Change it: connect again with a fresh token as the password.',
    );
    expect(opens()).toHaveLength(before);
  });
});

const miras = (): Promise<string> => provider.personToken('mira');

describe('a token that is not accepted', () => {
  it.each<[string, () => Promise<string>, string]>([
    ['for another audience', () => provider.taskToken('console'), 'it is meant for another audience (TokenRejected)'],
    [
      'with a changed signature',
      async () => (await miras()).replace(/.{8}$/, 'AAAAAAAA'),
      'its signature is not valid (TokenRejected)',
    ],
    ['of more than 16 KiB', async () => (await miras()) + 'A'.repeat(16 * 1024), 'it is longer than 16 KiB (TokenRejected)'],
    ['of more than a password may be', async () => 'A'.repeat(70_000), '(ProtocolViolation)'],
  ])('%s', async (_, make, expected) => expect(await refusalOf(bring(await make()))).toContain(expected));

  it('an expired one', async () => {
    const old = await miras();
    ahead = 2 * 60 * 60_000;
    expect(await refusalOf(bring(old))).toContain('it has expired (TokenRejected)');
    ahead = 0;
  });

  it('one that lacks what the policy requires', async () => {
    await using strict = await governed.anew({ policy: policy({ requiredClaims: { groups: ['support', 'dba'] } }) });
    expect(await refusalOf(bring(await provider.taskToken(), {}, strict))).toContain('it lacks a claim that the policy requires');
    expect(await refusalOf(bring(await miras(), {}, strict))).toBe('accepted');
  });

  it('one that another provider signed', async () => {
    await using other = await startProvider();
    expect(await refusalOf(bring(await other.personToken('mira')))).toContain('it is not from the issuer that the policy names');
  });

  it('is told in the log by its code alone', () => {
    expect(governed.logged.filter((line) => line.includes('a token was not accepted'))).toContain(
      '{"event":"a token was not accepted","code":"AudienceWrong"}',
    );
  });
});

describe('a connection that brings no token', () => {
  it('is refused without being asked where there is no TLS', async () => {
    await using agent = RawClient.begin(governed.port);
    const heard = await agent.ready();
    expect(typesOf(heard)).toBe('E');
    expect(heard[0]?.slice(1)).toEqual([
      '28000',
      'chaperone: a token of whoever this agent acts for is needed: the token is the password, which is taken within TLS alone; connect with sslmode=require (TokenRequired). Change it: connect with TLS and the token as the password.',
    ]);
  });

  it('is asked on loopback of an embedded proxy, TLS or not', async () => {
    await using local = await governed.anew({ local: true });
    const client = await bring(await provider.personToken('mira'), { ssl: false }, local);
    expect(await answer(client, 'select id from customers')).toBe('2');
    expect(opens(local).at(-1)).toMatchObject({ onBehalfOf: { user: 'mira' }, client: { tls: false } });
  });

  it('is told so where its password is empty', async () => {
    await using local = await governed.anew({ local: true });
    await using agent = RawClient.begin(local.port);
    await agent.until((heard) => typesOf(heard) === 'R');
    const heard = await agent.ask(encodePassword(''));
    expect(heard[0]?.[2]).toContain('the password is empty (TokenRequired)');
  });

  it('is refused where it says something else', async () => {
    await using local = await governed.anew({ local: true });
    await using agent = RawClient.begin(local.port);
    await agent.until((heard) => typesOf(heard) === 'R');
    const heard = await agent.ask(say.query('select id from tickets'));
    expect(heard[0]?.slice(1)).toEqual(['08P01', expect.stringContaining('a password was expected (ProtocolViolation)')]);
    expect(opens(local)).toEqual([]);
  });

  it('may leave without an answer', async () => {
    await using local = await governed.anew({ local: true });
    for (const leave of ['end', 'resetAndDestroy'] as const) {
      const agent = RawClient.begin(local.port);
      await agent.until((heard) => typesOf(heard) === 'R');
      agent.socket[leave]();
    }
    await expect.poll(() => local.sessions.open).toBe(0);
    expect(opens(local)).toEqual([]);
    expect(local.logged).toEqual([]);
  });

  it('what it says along with its token is answered', async () => {
    await using local = await governed.anew({ local: true });
    await using agent = RawClient.begin(local.port);
    const token = await provider.personToken('mira');
    tokens.push(token);
    agent.send(encodePassword(token), say.query('select id from customers'));
    const heard = await agent.ready(2);
    expect(heard.filter(([type]) => type === 'D')).toEqual([['D', '2']]);
  });
});

const ended = (client: Client): Promise<DatabaseError> =>
  new Promise((resolve) => client.once('error', (error) => resolve(error as DatabaseError)));
const closes = (of: Governed) => of.records.map(({ record }) => record).filter(({ type }) => type === 'session.close');

describe('a session', () => {
  it('ends when its token does, with a minute for the clocks', async () => {
    const client = await bring(await provider.taskToken());
    ahead = 300_000 + 55_000;
    await setTimeout(1_500);
    expect(await answer(client, 'select id from tickets')).toBe('1');
    const end = ended(client);
    ahead = 300_000 + 61_000;
    expect(await end).toMatchObject({ code: '57P01', severity: 'FATAL' });
    expect((await end).message).toContain('the token of its caller has expired; connect again with a fresh one (SessionEnded)');
    await expect.poll(() => closes(governed).at(-1)).toMatchObject({ code: 'SessionEnded', reason: /token of its caller/ });
    ahead = 0;
  });

  it('ends when the policies demand another token', async () => {
    await using other = await governed.anew({ policy: allowing({ statements: ['select'], relations: ['public.tickets'] }) });
    const client = await bring('anything', {}, other);
    expect(await answer(client, 'select id from tickets')).toBe('1');
    const end = ended(client);
    other.setPolicy(policy());
    expect((await end).message).toContain('the policies demand another token; connect again (SessionEnded)');
    expect(await refusalOf(bring('anything', {}, other))).toContain('(TokenRejected)');
  });

  it('follows a change of the rules about its caller', async () => {
    await using other = await governed.anew();
    const client = await bring(await provider.personToken('mira'), {}, other);
    expect(await answer(client, 'select id from customers')).toBe('2');
    const rules = (policy() as { rules: object[] }).rules.filter((rule) => !('name' in rule && rule.name === 'support'));
    other.setPolicy({ ...policy(), rules });
    expect(await answer(client, 'select id from customers')).toBe('NoRuleAllows');
    expect(await answer(client, 'select id from tickets')).toBe('1');
  });
});

describe('the provider', () => {
  it('may change its key; the new one is found within 30 seconds, the old one goes', async () => {
    await using own = await startProvider();
    let monotonic = 0;
    const clock = { ...systemClock, after: async () => undefined, monotonic: () => systemClock.monotonic() + monotonic };
    await using other = await governed.anew({ policy: policy({ issuer: own.issuer }), clock });
    const before = await own.personToken('mira');
    expect(await refusalOf(bring(before, {}, other))).toBe('accepted');
    own.rotate();
    monotonic += 30_000;
    expect(await refusalOf(bring(await own.personToken('mira'), {}, other))).toBe('accepted');
    expect(await refusalOf(bring(before, {}, other))).toContain('its issuer has no key that it could be signed with');
  });

  it('may be down while its keys are known, and not before', async () => {
    const own = await startProvider();
    const token = await own.personToken('mira');
    await using known = await governed.anew({ policy: policy({ issuer: own.issuer }) });
    expect(await refusalOf(bring(token, {}, known))).toBe('accepted');
    await own[Symbol.asyncDispose]();
    expect(await refusalOf(bring(token, {}, known))).toBe('accepted');
    await using fresh = await governed.anew({ policy: policy({ issuer: own.issuer }) });
    const refusal = await refusalOf(bring(token, {}, fresh));
    expect(refusal).toContain('FATAL 57P03');
    expect(refusal).toContain('the issuer of tokens does not answer (ResourceNotReady). Try later');
  });
});

it('no token is found in any record, log, or at the server', async () => {
  const client = await bring(await provider.personToken('mira'));
  const direct = await governed.direct();
  const { rows } = await direct.query('select * from pg_stat_activity');
  await direct.end();
  await client.end();
  const everything = [
    JSON.stringify(governed.records),
    governed.logged.join('\n'),
    governed.postgres.log(),
    JSON.stringify(rows),
  ].join('\n');
  expect(everything).toContain('mira');
  expect(tokens.length).toBeGreaterThan(10);
  for (const token of tokens) {
    for (const part of token.split('.').filter((each) => each.length > 20)) expect(everything.includes(part)).toBe(false);
  }
});
