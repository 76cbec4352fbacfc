import { startProvider, type TestProvider } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AGENT, connect, type Ended, run, type Shop, startShop, Up } from '../program.test-support.ts';

// A policy that demands a token, without a cluster: from the manifest to what a person reads of the session.

let provider: TestProvider;
let shop: Shop;
let up: Awaited<ReturnType<typeof Up.start>>;
let manifests: string;
let data: string;
beforeAll(async () => {
  [provider, shop] = await Promise.all([startProvider(), startShop()]);
  data = shop.path('data');
  manifests = await shop.manifests({
    'policy.yaml': (text) =>
      text
        .replace(
          '  rules:\n',
          `  identity: {oidc: {issuer: "${provider.issuer}", audiences: [chaperone], userClaim: email}}\n  rules:\n`,
        )
        .replace('    - name: edit-tickets\n', '    - name: edit-tickets\n      onBehalfOf: {groups: [support]}\n'),
  });
  up = await Up.start(manifests, data);
});
afterAll(async () => {
  await up?.[Symbol.asyncDispose]();
  await shop?.[Symbol.asyncDispose]();
  await provider?.[Symbol.asyncDispose]();
});

const ask = (...args: readonly string[]): Promise<Ended> => run([...args, '--data', data]);

describe('chaperone up with a policy that demands a token', () => {
  test('refuses a connection without one', async () => {
    await expect(connect(up.ready)).rejects.toMatchObject({ code: '28000', message: /\(TokenRejected\)/ });
  });

  test('serves psql, which brings it within TLS', async () => {
    const [host = '', port = ''] = (up.ready.resources[0]?.address ?? '').split(':');
    const to = `host=${host} port=${port} dbname=orders user=bot sslmode=require`;
    const psql = (password: string): Promise<Ended> =>
      run(['-X', '-w', '-At', '-c', 'select name from customers where id = 1', to], {
        command: ['psql'],
        env: { PGPASSWORD: password },
      });
    expect(await psql(await provider.personToken('jane'))).toEqual({ code: 0, out: 'Ada Lovelace\n', err: '' });
    const { code, err } = await psql('hunter2');
    expect([code, err]).toEqual([2, expect.stringContaining('(TokenRejected)')]);
  });

  test('serves one that brings it, and tells on whose behalf', async () => {
    const agent = await connect(up.ready, await provider.personToken('mira'));
    const { rowCount } = await agent.query("update tickets set status = 'closed' where id = 1");
    expect(rowCount).toBe(1);
    await agent.end();
    const [name = ''] = await up.over(2);
    const shown = await ask('sessions', 'show', name);
    expect(shown.out).toContain(`Caller:    on behalf of mira@corp (verified), by ${provider.issuer}\n`);
    expect(JSON.parse((await ask('sessions', 'show', name, '-o', 'json')).out)).toMatchObject({
      onBehalfOf: { issuer: provider.issuer, user: 'mira@corp' },
    });
    const replayed = await ask('sessions', 'replay', name);
    expect(replayed.out).toMatch(/open {3}agents\/support-agent on behalf of mira@corp \(verified\) on data\/orders-db/);
    const [first = ''] = (await ask('sessions', 'replay', name, '-o', 'json')).out.split('\n');
    expect(JSON.parse(first)).toMatchObject({ onBehalfOf: { user: 'mira@corp', groups: ['support'] } });
    expect((await ask('verify', name)).out).toContain('complete');
  });
});

describe('policy check', () => {
  const input = `${JSON.stringify({ sql: "update tickets set status = 'closed' where id = 1" })}\n`;
  const check = (...more: readonly string[]): Promise<Ended> =>
    run(['policy', 'check', '--manifests', manifests, ...AGENT, '--resource', 'data/orders-db', ...more], { input });

  test.each<[string, string[], string]>([
    ['nobody', [], 'NoRuleAllows'],
    ['a user of the group', ['--on-behalf-of', 'mira@corp', '--groups', 'eu,support'], 'Allowed'],
    ['a user of another group', ['--on-behalf-of', 'mira@corp', '--groups', 'sales'], 'NoRuleAllows'],
    ['a user without groups', ['--on-behalf-of', 'mira@corp'], 'NoRuleAllows'],
    ['a user who is called like the group', ['--on-behalf-of', 'support'], 'NoRuleAllows'],
  ])('on behalf of %s', async (_, flags, expected) => {
    const { code, out, err } = await check(...flags);
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({ code: expected });
  });

  test.each<[string, string[], RegExp]>([
    ['groups of nobody', ['--groups', 'support'], /--groups are those of a user; say which with --on-behalf-of/],
    ['an empty group', ['--on-behalf-of', 'a', '--groups', 'a,,b'], /--groups is written a,b/],
    ['an empty user', ['--on-behalf-of', ''], /--on-behalf-of is written/],
  ])('%s is wrong usage', async (_, flags, text) => {
    const { code, out, err } = await check(...flags);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(text);
  });
});
