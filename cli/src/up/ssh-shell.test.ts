import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, findProgram, hasSshd } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SshWorld, startSshWorld, Talk } from './ssh.test-support.ts';

// A terminal of stock ssh, on a pty of util-linux's script, through chaperone up to OpenSSH's server.

const POLICIES = `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: repair, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  limits: {shellDuration: 90s, statementDuration: 1s}
  rules:
  - {name: shell, effect: RequireApproval, resource: {namespace: data, name: broken}, ssh: {shell: true}, approval: {approvers: {groups: [ops]}, timeout: 60s}}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: brief, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  limits: {shellDuration: 4s}
  rules:
  - {name: shell, effect: RequireApproval, resource: {namespace: data, name: brief}, ssh: {shell: true, commands: [sleep *]}, approval: {approvers: {groups: [ops]}, timeout: 60s}}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: any, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  limits: {shellDuration: 8s}
  rules:
  - {name: any, effect: RequireApproval, resource: {namespace: data, name: any}, ssh: {commands: ["**"]}, approval: {approvers: {groups: [ops]}, timeout: 60s}}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: look, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: quiet}, ssh: {commands: ["**"]}}
`;

describe.runIf(hasSshd && findProgram('script') !== undefined)('a terminal of ssh', () => {
  let world: SshWorld;
  beforeAll(async () => {
    world = await startSshWorld(['broken', 'brief', 'quiet', 'any'], () => POLICIES);
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  /** On a pty of 100 by 30, which becomes 120 by 40 once `resize` is there. */
  const terminal = (resource: string, resize = '/nonexistent'): Talk => {
    const later = `(until [ -e ${resize} ]; do sleep 0.1; done; stty rows 40 cols 120 </dev/tty) &`;
    const ssh = ['ssh', '-tt', ...world.to(resource, '-o', 'BatchMode=yes')].join(' ');
    return new Talk('script', ['-qfec', `stty rows 30 cols 100; ${later} exec ${ssh}`, '/dev/null'], {
      SHELL: '/bin/sh',
      TERM: 'xterm',
    });
  };

  test('is denied where no rule speaks of shells, whatever commands are allowed', async () => {
    const shell = await terminal('quiet').ended;
    expect([shell.code, shell.out]).toEqual([
      126,
      expect.stringMatching(/this shell is not covered by any rule: it wants a rule with ssh\.shell.*\(NoRuleAllows\)/),
    ]);
    const command = new Talk('ssh', ['-tt', ...world.to('quiet'), 'id']);
    expect(await command.ended).toMatchObject({
      code: 126,
      out: expect.not.stringContaining('uid='),
      err: expect.stringContaining('Change it: ask without a terminal; with OpenSSH leave out -t.'),
    });
  });

  test('is held until somebody approves all of it, says how long it goes on, and is recorded both ways', async () => {
    const resize = join(world.folder, 'resize');
    await rm(resize, { force: true });
    const agent = terminal('broken', resize);
    await agent.says('waiting for approval');
    const { metadata } = await world.approve('shell');
    await agent.says(/this terminal is recorded\. It ends at \d\d:\d\d:\d\d UTC, in 90 s\./);
    agent.type('PS1="vm1$ "\r');
    // Digits may be the beginning of a card's number, and a prompt is shown all the same.
    await agent.says(/vm1\$ $/);
    agent.type('echo sum $((20+3)); stty size\r');
    await agent.says('sum 23\r\n30 100\r\n');
    await writeFile(resize, '');
    // It runs for longer than commands may.
    await delay(1_000);
    // The new size comes in two steps, each when it does.
    agent.type(
      'until [ "$(stty size)" = "40 120" ]; do sleep 0.1; done; stty -echo; printf "Pass%s: " word; read -r secret; stty echo\r',
    );
    await agent.says(/Password: $/);
    agent.type('hunter2\r');
    agent.type('echo ${#secret} letters; exit 7\r');
    await agent.says('7 letters');
    expect((await agent.ended).code).toBe(7);

    const records = await world.session((all) => all.some(({ type }) => type === 'done'));
    expect(JSON.stringify(records)).not.toContain('hunter2');
    expect(records.filter(({ type }) => type === 'resize')).toMatchObject([
      { columns: 100, rows: 30 },
      { columns: 120, rows: 40 },
    ]);
    const of = (stream: string): string =>
      records
        .filter((record) => record['type'] === 'output' && record['stream'] === stream)
        .map(({ data }) => String(data).slice(2))
        .join('');
    expect(of('terminal')).toContain('sum 23');
    expect(of('stdin')).toMatch(/^[•\r]+$/);
    expect(records.filter(({ type }) => type === 'line').map(({ text }) => String(text).replace(/^.*?\$ /, ''))).toEqual(
      expect.arrayContaining(['echo sum $((20+3)); stty size', 'echo ${#secret} letters; exit 7']),
    );
    expect(records.find(({ type }) => type === 'done')).toMatchObject({ tag: 'exit 7' });
    // It is the exit of its last command.
    const request = (await world.requests()).find((each) => each.metadata.name === metadata.name);
    expect(request?.status).toMatchObject({ state: 'Ran', result: 'exit 7' });
    const [{ session } = { session: '' }] = records as { session?: string }[];
    const shown = await world.chaperone('sessions', 'show', session ?? '');
    expect(shown.out).toContain('ENTERED (best effort: as the screen showed it)');
    expect(shown.out).toContain('vm1$ echo sum $((20+3)); stty size');
    expect((await world.chaperone('verify', session ?? '')).out).toContain('complete');
  });

  test('ends with its time, warned before, and so does a command with a terminal', async () => {
    const agent = new Talk('ssh', ['-tt', ...world.to('brief'), 'sleep 30']);
    await agent.says('waiting for approval');
    await world.approve('sleep');
    await agent.says(/this terminal is recorded\. It ends at .* in 4 s/);
    await agent.says(/this terminal ends at .* in 1 s/);
    expect(await agent.ended).toMatchObject({
      code: 126,
      err: expect.stringMatching(/it ran for longer than 4000 ms \(LimitReached\)/),
    });
    const records = await world.session((all) => all.some(({ type }) => type === 'done'));
    expect(records.find(({ type }) => type === 'done')).toMatchObject({ error: { code: 'LimitReached' } });
  });

  // Each waits for its end, and all of them together no longer than one.
  test.concurrent.each(['bash', 'sh -s', 'sh /proc/self/fd/0', '$(echo bash)'])(
    'is what %s is in all but its name: people know what they do not see, it is recorded, ends in time, and is for once',
    async (command) => {
      const agent = new Talk('ssh', [...world.to('any'), command]);
      await agent.says('waiting for approval');
      const { spec, metadata } = await world.approve((text) => text === command);
      expect(spec).toMatchObject({ once: 'a command may be another one each time', text: command });
      expect(spec).not.toHaveProperty('template');
      await agent.says(/this command is recorded\. It ends at .* in 8 s/);
      const request = (await world.requests()).find((each) => each.metadata.name === metadata.name);
      expect(request?.status).toMatchObject({ preview: { why: expect.stringContaining('what it is sent once it runs') } });
      agent.type('echo sum $((20+3))\n');
      await agent.says('sum 23');
      const { code, err } = await agent.ended;
      expect([code, err]).toEqual([126, expect.stringMatching(/it ran for longer than 8000 ms \(LimitReached\)/)]);
      const records = await world.session((all) => all.some(({ type }) => type === 'done'), spec.session);
      const sent = records.filter((record) => record['type'] === 'output' && record['stream'] === 'stdin');
      expect(sent.map(({ data }) => String(data).slice(2)).join('')).toBe('echo sum $((20+3))\n');
    },
  );

  test('is not what a command is that can be read: it may run again, and has no end of its own', async () => {
    const agent = new Talk('ssh', [...world.to('any'), 'echo in']);
    await agent.says('waiting for approval');
    expect((await world.approve('echo in')).spec).toHaveProperty('template');
    expect(await agent.ended).toMatchObject({ code: 0, out: 'in\n', err: expect.not.stringContaining('It ends at') });
  });

  test('is over within two seconds once somebody kills it, and says why', { retry: 3 }, async () => {
    const agent = terminal('broken');
    await agent.says('waiting for approval');
    await world.approve('shell');
    await agent.says('this terminal is recorded');
    const name = await eventually(
      'the session',
      async () => (await world.sessions()).find(({ state }) => state === 'open')?.name,
    );
    const killed = world.chaperone('sessions', 'kill', name, '--reason', 'it drops tables');
    let told = 0;
    agent.child.stdout?.once('data', () => (told = performance.now()));
    await agent.ended;
    const until = performance.now();
    expect(await killed).toMatchObject({ code: 0 });
    expect(until - told).toBeLessThan(2_000);
    expect(agent.out).toMatch(/this session was ended: a person ended it: it drops tables \(SessionEnded\)/);
    const records = await world.session((all) => all.some(({ type }) => type === 'done'));
    expect(records.at(-1)).toMatchObject({ type: 'session.close', code: 'SessionEnded' });
  });

  test('goes on no longer than a policy allows it', async () => {
    const agent = terminal('broken');
    await agent.says('waiting for approval');
    await world.approve('shell');
    await agent.says('this terminal is recorded');
    const manifests = await readFile(world.manifest, 'utf8');
    await writeFile(
      world.manifest,
      manifests
        .replace(
          'effect: RequireApproval, resource: {namespace: data, name: broken}',
          'effect: Deny, resource: {namespace: data, name: broken}',
        )
        .replace(', approval: {approvers: {groups: [ops]}, timeout: 60s}}', '}'),
    );
    expect((await agent.ended).code).toBe(126);
    expect(agent.out).toMatch(/this shell is denied by rule "shell": the policy changed while it ran \(DeniedByRule\)/);
  });
});
