import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, hasSshd, startProvider, type TestProvider } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Said, type SshWorld, startSshWorld, Talk } from './ssh.test-support.ts';

// Tokens of people by SSH: a real provider's, carried by stock ssh. What is checked of a token is shown where tokens are verified.

const policies = (issuer: string): string => `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: people, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  identity: {oidc: {issuer: "${issuer}", audiences: [chaperone], userClaim: email}}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: host}, onBehalfOf: {groups: [support]}, ssh: {commands: [echo **]}}
  - {name: fix, effect: RequireApproval, resource: {namespace: data, name: host}, onBehalfOf: {groups: [support]}, ssh: {commands: [touch **]}, approval: {approvers: {groups: [ops]}, timeout: 30s}}
`;
const METHODS = ['keyboard-interactive', 'password'] as const;
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const aPerson = (more: object = {}): Record<string, unknown> => {
  const exp = Math.floor(Date.now() / 1000) + 300;
  return {
    aud: 'chaperone',
    exp,
    iat: exp - 300,
    sub: 'mira',
    email: 'mira@corp',
    email_verified: true,
    groups: ['support'],
    ...more,
  };
};

describe.runIf(hasSshd && findProgram('ssh') !== undefined)('a token over ssh', () => {
  let provider: TestProvider;
  let world: SshWorld;
  let helper: string;
  let good: string;
  beforeAll(async () => {
    provider = await startProvider();
    world = await startSshWorld(['host'], () => policies(provider.issuer));
    helper = join(world.folder, 'askpass');
    // Gives its part of the token, as the question says from where.
    const script = `#!/bin/sh
from=$(expr "$1" : '.*from character \\([0-9]*\\)') || from=1
tail -c +"$from" "$TOKEN_FILE" | head -c 1023
`;
    await writeFile(helper, script, { mode: 0o700 });
    good = await provider.personToken('mira');
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await provider?.[Symbol.asyncDispose]();
  });

  let files = 0;
  const ask = async (token: string, method: string, command: string): Promise<Talk> => {
    const file = join(world.folder, `token-${files++}`);
    await writeFile(file, token);
    const options = [`PreferredAuthentications=${method}`, 'NumberOfPasswordPrompts=1'].flatMap((option) => ['-o', option]);
    const env = { SSH_ASKPASS: helper, SSH_ASKPASS_REQUIRE: 'force', TOKEN_FILE: file };
    return new Talk('ssh', [...world.to('host', ...options), command], env);
  };
  const run = async (token: string, method: string = METHODS[0]): Promise<Said> => (await ask(token, method, 'echo in')).ended;
  const dialled = (): number => world.sshd.log().split('Connection from').length - 1;

  test.each(METHODS)('lets in by %s whoever it names, and is in no record', async (method) => {
    const token = method === 'password' ? provider.signed(aPerson()) : good;
    expect(await run(token, method)).toMatchObject({ code: 0, out: 'in\n' });
    const records = await world.session((all) => all.some(({ type }) => type === 'done'));
    expect(records[0]).toMatchObject({
      type: 'session.open',
      onBehalfOf: { issuer: provider.issuer, user: 'mira@corp', groups: ['support'] },
    });
    expect(JSON.stringify(records)).not.toContain(token.split('.')[1]);
  });

  test('names on whose behalf people are asked', async () => {
    const agent = await ask(good, METHODS[0], `touch ${join(world.sshd.directory, 'touched')}`);
    const { spec } = await world.approve('touch');
    expect(spec.agent.onBehalfOf).toEqual({ issuer: provider.issuer, user: 'mira@corp' });
    expect((await agent.ended).code).toBe(0);
  });

  test('lets rules count for its groups alone', async () => {
    const { code, err } = await run(provider.signed(aPerson({ groups: ['sales'] })));
    expect([code, err]).toEqual([126, expect.stringContaining('NoRuleAllows')]);
  });

  test.each([1_500, 8_000, 16_000])('may have %i bytes, of which stock ssh gives 1,023 at a time', async (bytes) => {
    const short = provider.signed(aPerson({ more: '' })).length;
    const token = provider.signed(aPerson({ more: 'x'.repeat(Math.floor(((bytes - short) * 3) / 4)) }));
    expect(token.length).toBeGreaterThan(bytes - 10);
    expect(await run(token)).toMatchObject({ code: 0, out: 'in\n' });
  });

  const bad: Record<string, [() => string | Promise<string>, RegExp]> = {
    none: [() => '', /a token of whoever this agent acts for is needed: the password is empty \(TokenRequired\)/],
    'no token': [() => 'hunter2', /the token was not accepted: it is not a JWT \(TokenRejected\)/],
    'one for somebody else': [() => provider.taskToken('other'), /the token was not accepted: .*audience.* \(TokenRejected\)/],
    'one that is over': [
      () => provider.signed(aPerson({ exp: 1_700_000_000 })),
      /the token was not accepted: it has expired.* \(TokenRejected\)/,
    ],
    'one without a signature': [
      () => `${part({ alg: 'none' })}.${part({ iss: provider.issuer, ...aPerson() })}.`,
      /kind that is not accepted \(TokenRejected\)/,
    ],
  };
  test.each(Object.keys(bad).flatMap((what) => METHODS.map((method) => [what, method] as const)))(
    'is refused with a sentence, and nothing is dialled: %s, by %s',
    async (what, method) => {
      const [token, sentence] = bad[what] ?? [];
      const before = dialled();
      const { code, out, err } = await run((await token?.()) ?? '', method);
      expect([code, out]).toEqual([255, '']);
      expect(err).toMatch(sentence ?? /never/);
      expect(err).not.toContain('stays usable');
      expect(dialled()).toBe(before);
    },
  );

  test('is asked for in a sentence where a client gives none', async () => {
    const before = dialled();
    const { code, err } = await new Talk('ssh', [...world.to('host', '-o', 'BatchMode=yes'), 'echo in']).ended;
    expect([code, err]).toEqual([
      255,
      expect.stringMatching(
        /^chaperone: this host asks for a token of whoever this agent acts for; give it as the password \(TokenRequired\)\./,
      ),
    ]);
    expect(dialled()).toBe(before);
  });

  test('that is cut by a client says how it goes on', async () => {
    const token = provider.signed(aPerson({ more: 'x'.repeat(1_000) }));
    expect((await run(token, 'password')).err).toMatch(
      /OpenSSH cuts it at 1023 bytes, and by keyboard-interactive is asked for the rest/,
    );
  });
});
