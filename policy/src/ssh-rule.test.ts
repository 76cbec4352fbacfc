import type { PolicyRule, SshSelector } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Effect } from './action.ts';
import { aPolicy, aResource, anAccessRule, anAgent, ORDERS } from './builders.ts';
import { compileAccess } from './compile.ts';
import { allowedHere } from './hint.ts';
import { judge } from './judge.ts';
import { covers, touches } from './rule.ts';

const command = (...words: string[]): Effect => ({
  verb: 'exec',
  object: words.join(' '),
  via: 'direct',
  kind: 'command',
  words,
});
const unread: Effect = { verb: 'exec', object: '$(echo rm) -rf /', via: 'direct', kind: 'command' };
const path = (verb: string, object: string): Effect => ({ verb, object, via: 'direct', kind: 'path' });
const subsystem = (object: string): Effect => ({ verb: 'subsystem', object, via: 'direct', kind: 'subsystem' });
const address = (object: string): Effect => ({ verb: 'forward', object, via: 'direct', kind: 'address' });
const shell: Effect = { verb: 'shell', object: '', via: 'direct', kind: 'shell' };

/** Whether a rule with the selector surely is about all of the effect, and whether it may be about some of it. */
const meets = (ssh: SshSelector | undefined, effect: Effect, kind: PolicyRule['effect'] = 'Allow'): [boolean, boolean] => {
  const rule = anAccessRule({ effect: kind, ...(ssh && { ssh }) });
  return [covers(rule, effect), touches(rule, effect)];
};

describe('a rule about commands', () => {
  it.each<[string, string, string[], [boolean, boolean]]>([
    ['the very command', 'systemctl status nginx', ['systemctl', 'status', 'nginx'], [true, true]],
    ['a word more', 'systemctl status nginx', ['systemctl', 'status', 'nginx', 'sshd'], [false, false]],
    ['a word less', 'systemctl status nginx', ['systemctl', 'status'], [false, false]],
    ['any one word', 'systemctl status *', ['systemctl', 'status', 'any thing'], [true, true]],
    ['any one word, and there is none', 'systemctl status *', ['systemctl', 'status'], [false, false]],
    ['a part of a word', 'tail -n5 /var/log/*.log', ['tail', '-n5', '/var/log/a/b.log'], [true, true]],
    ['any words', 'git log **', ['git', 'log', '--oneline', 'main'], [true, true]],
    ['any words, and there are none', 'git log **', ['git', 'log'], [true, true]],
    ['an option before', 'git log **', ['git', '-C', '/', 'log'], [false, false]],
    ['any command', '**', ['rm', '-rf', '/'], [true, true]],
    ['its program by a path', 'rm **', ['/bin/rm', '-rf', '/'], [false, true]],
    ['its program by another path', '/bin/rm **', ['/usr/bin/rm', 'x'], [false, true]],
    ['a program in whose path it is', 'rm **', ['/rm/x', 'y'], [false, false]],
    ['another case', 'rm **', ['RM', 'x'], [false, false]],
    ['two words in one', 'rm x', ['rm x'], [false, false]],
    ['an empty program', '*', [''], [true, true]],
    ['a pattern that cannot be read', 'git ** log', ['ls'], [false, true]],
  ])('meets %s (%s)', (_, pattern, words, expected) => {
    expect(meets({ commands: [pattern] }, command(...words))).toEqual(expected);
  });

  it.each<[string, [boolean, boolean]]>([
    ['git-receive-pack /srv/a', [true, true]],
    ['git-receive-pack /srv/a.git', [false, true]],
    ['git-receive-pack /srv/b', [false, false]],
  ])('allows a command as it is written, and denies it as a program may take it: %s', (pattern, expected) => {
    const effect = { ...command('git-receive-pack', '/srv/a'), also: [['git-receive-pack', '/srv/a.git']] };
    expect(meets({ commands: [pattern] }, effect)).toEqual(expected);
  });

  it.each<[string, PolicyRule['effect'], string, [boolean, boolean]]>([
    ['is not allowed by a rule about all commands', 'Allow', '**', [false, true]],
    ['may be asked for by a rule about all commands', 'RequireApproval', '**', [true, true]],
    ['is not asked for by a rule about some', 'RequireApproval', 'ls **', [false, true]],
    ['is denied by a rule about any', 'Deny', 'rm **', [false, true]],
  ])('one whose words are not known %s', (_, effect, pattern, expected) => {
    expect(meets({ commands: [pattern] }, unread, effect)).toEqual(expected);
  });
});

describe('a rule about files', () => {
  it.each<[string, string, string, string, [boolean, boolean]]>([
    ['a file below', 'read', '/srv/**', '/srv/app/a.log', [true, true]],
    ['the directory itself', 'read', '/srv/**', '/srv', [true, true]],
    ['one beside', 'read', '/srv/**', '/srvx', [false, false]],
    ['one level', 'read', '/srv/*', '/srv/a', [true, true]],
    ['two levels where one is meant', 'read', '/srv/*', '/srv/a/b', [false, false]],
    ['a dot in a name', 'read', '/srv/*.log', '/srv/a.b.log', [true, true]],
    ['a quote in a name', 'read', '/srv/"a/*', '/srv/"a/b', [true, true]],
    ['the root', 'read', '/', '/', [true, true]],
    ['everything, and the root', 'read', '/**', '/', [true, true]],
    ['another operation', 'write', '/srv/**', '/srv/a', [false, false]],
    ['a path that is not known', 'read', '/srv/**', '', [false, true]],
  ])('meets %s', (_, verb, pattern, object, expected) => {
    expect(meets({ files: { operations: ['read'], paths: [pattern] } }, path(verb, object))).toEqual(expected);
  });

  it.each<[string, string, string, [boolean, boolean]]>([
    ['everything below it', '/srv/**', '/srv/app', [true, true]],
    ['it and everything below', '/srv/app/**', '/srv/app', [true, true]],
    ['all levels but one name', '/srv/**/secret', '/srv/app', [false, true]],
    ['the name itself alone', '/srv/app', '/srv/app', [false, true]],
    ['one level', '/srv/app/*', '/srv/app', [false, true]],
    ['a part below', '/srv/app/a/secret/**', '/srv/app', [false, true]],
    ['a part beside', '/srv/other/**', '/srv/app', [false, false]],
    ['names above, and no more', '/srv', '/srv/app', [false, false]],
    ['one that begins alike', '/srv/ap', '/srv/app', [false, false]],
    ['everything', '/**', '/', [true, true]],
    ['one name, where all is meant', '/etc', '/', [false, true]],
    ['a pattern that cannot be read', '/a/**/**', '/srv', [false, true]],
  ])('meets a directory with all that is below it: %s', (_, pattern, object, expected) => {
    const effect: Effect = { ...path('delete', object), below: true };
    expect(meets({ files: { operations: ['delete'], paths: [pattern] } }, effect)).toEqual(expected);
  });

  it('meets what is below as it meets each path there', () => {
    const segment = fc.constantFrom('a', 'b', 'ab');
    const patterns = fc
      .array(fc.constantFrom('a', 'b', 'a*', '*', '**'), { minLength: 1, maxLength: 4 })
      .map((parts) => `/${parts.join('/')}`)
      .filter((pattern) => pattern.split('**').length < 3);
    const places = fc.array(segment, { maxLength: 3 });
    fc.assert(
      fc.property(patterns, places, fc.array(segment, { maxLength: 3 }), (pattern, above, more) => {
        const files = { operations: ['delete' as const], paths: [pattern] };
        const [covered, touched] = meets({ files }, { ...path('delete', `/${above.join('/')}`), below: true });
        const [one] = meets({ files }, path('delete', `/${[...above, ...more].join('/')}`));
        if (covered) expect(one).toBe(true);
        if (one) expect(touched).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('of every operation and path denies them all, and no command', () => {
    expect(meets({ files: {} }, path('delete', '/x'), 'Deny')).toEqual([false, true]);
    expect(meets({ files: {} }, command('rm', '/x'), 'Deny')).toEqual([false, false]);
  });
});

describe('a rule about what is opened', () => {
  it.each<[string, SshSelector | undefined, Effect, [boolean, boolean]]>([
    ['a subsystem that it names', { subsystems: ['netconf'] }, subsystem('netconf'), [true, true]],
    ['another subsystem', { subsystems: ['netconf'] }, subsystem('sftp'), [false, false]],
    ['sftp, where it is about files', { files: { operations: ['read'], paths: ['/**'] } }, subsystem('sftp'), [true, false]],
    ['another subsystem, where it is about files', { files: {} }, subsystem('netconf'), [false, false]],
    ['an address', { forward: ['db.internal:5432'] }, address('db.internal:5432'), [true, true]],
    ['an address in another case', { forward: ['db.internal:5432'] }, address('DB.internal:5432'), [true, true]],
    ['another port', { forward: ['db.internal:5432'] }, address('db.internal:22'), [false, false]],
    ['any port', { forward: ['db.internal:*'] }, address('db.internal:22'), [true, true]],
    ['a name below', { forward: ['*.internal:443'] }, address('a.b.internal:443'), [true, true]],
    ['the name itself, where names below are meant', { forward: ['*.internal:443'] }, address('internal:443'), [false, false]],
    ['a name that only ends like it', { forward: ['*.internal:443'] }, address('xinternal:443'), [false, false]],
    ['an address of IPv6', { forward: ['[2001:db8::5]:443'] }, address('[2001:db8::5]:443'), [true, true]],
    ['a shell, by a rule about commands', { commands: ['**'] }, shell, [false, false]],
    ['a shell, which nothing can allow', { shell: true }, shell, [false, true]],
    ['anything, by a rule that does not say what', undefined, shell, [false, true]],
    ['a relation', { commands: ['**'] }, { verb: 'select', object: 'a.b', via: 'direct', kind: 'relation' }, [false, true]],
  ])('meets %s', (_, ssh, effect, expected) => {
    expect(meets(ssh, effect)).toEqual(expected);
  });

  it('asks people about a shell', () => {
    expect(meets({ shell: true }, shell, 'RequireApproval')).toEqual([true, true]);
  });
});

const aRuleOf = (mods: Partial<PolicyRule>): Partial<PolicyRule> => ({
  name: 'look',
  effect: 'Allow',
  resource: ORDERS,
  ...mods,
});

describe('on a resource that speaks ssh', () => {
  const resource = aResource({
    protocol: 'ssh',
    postgres: undefined,
    ssh: { hostKeys: ['ssh-ed25519 AAAA'], authentication: ['publickey'], algorithms: 'default' },
    grantedTo: [{ namespace: 'agents', operations: ['exec', 'read', 'shell'] }],
  });
  const compiled = (...rules: Partial<PolicyRule>[]) =>
    compileAccess({ agent: anAgent(), policies: [aPolicy({ rules: rules.map(aRuleOf) })], resource });
  const LOOK: Partial<PolicyRule> = {
    ssh: { commands: ['ls **'], files: { operations: ['read', 'write'], paths: ['/srv/**'] } },
  };
  const NEVER: Partial<PolicyRule> = { name: 'never', effect: 'Deny', ssh: { commands: ['rm **'] } };
  const ASK: Partial<PolicyRule> = {
    name: 'ask',
    effect: 'RequireApproval',
    ssh: { commands: ['**'], shell: true },
    approval: { approvers: { groups: ['ops'] }, minimum: 1, timeout: '5m', mode: 'hold', reason: 'optional' },
  };

  it.each<[string, Partial<PolicyRule>[], Effect[], string]>([
    ['what a rule allows', [LOOK], [command('ls', '-l')], 'Allowed'],
    ['every command of several', [LOOK], [command('ls'), command('id')], 'NoRuleAllows'],
    ['a pipeline of which one is denied', [LOOK, NEVER], [command('ls'), command('/bin/rm', 'x')], 'DeniedByRule'],
    ['what people are asked about', [LOOK, ASK], [command('id')], 'ApprovalPending'],
    ['what cannot be read and may be denied', [ASK, NEVER], [unread], 'DeniedByRule'],
    ['what cannot be read', [ASK], [unread], 'ApprovalPending'],
    ['what the owner does not grant', [LOOK], [path('write', '/srv/a')], 'NotGranted'],
    ['what the owner grants', [LOOK], [path('read', '/srv/a')], 'Allowed'],
    ['a shell', [ASK], [shell], 'ApprovalPending'],
    ['sftp, where the owner grants any operation on files', [LOOK], [subsystem('sftp')], 'Allowed'],
    ['another subsystem', [{ ssh: { subsystems: ['netconf'] } }], [subsystem('netconf')], 'NotGranted'],
  ])('judges %s', (_, rules, effects, code) => {
    const access = compiled(...rules);
    expect(access.ok && judge(access.access, { effects }).code).toBe(code);
  });

  it.each<[string, Partial<PolicyRule>, string]>([
    ['says sql', { sql: { statements: ['select'], relations: ['**'] } }, 'says sql of a resource that speaks ssh'],
    ['does not say what it lets through', {}, 'add ssh'],
    ['has an empty list', { ssh: { commands: [] } }, 'spec.rules[0].ssh.commands is empty'],
    [
      'has a pattern that cannot be read',
      { ssh: { commands: ['ls', 'git ** log'] } },
      'spec.rules[0].ssh.commands[1]: ** stands',
    ],
    ['has a path that cannot be read', { ssh: { files: { paths: ['/**x'] } } }, 'spec.rules[0].ssh.files.paths[0]: ** stands'],
  ])('a rule that %s is no rule, and the field is named', (_, mods, message) => {
    expect(compiled(mods)).toMatchObject({ ok: false, code: 'PolicyInvalid', message: expect.stringContaining(message) });
  });

  it('tells an agent what it may do instead', () => {
    const access = compiled(LOOK, NEVER, ASK);
    expect(access.ok && allowedHere(access.access)).toEqual([
      'EXEC ls **',
      'EXEC ** after approval',
      'READ on /srv/**',
      'SHELL after approval',
    ]);
  });

  it('nothing of ssh is a rule elsewhere', () => {
    const policy = aPolicy({ rules: [aRuleOf({ ssh: { commands: ['**'] } })] });
    expect(compileAccess({ agent: anAgent(), policies: [policy], resource: aResource() })).toMatchObject({
      code: 'PolicyInvalid',
    });
  });

  it('a grant of commands alone starts no sftp', () => {
    const granted = aResource({ ...resource.spec, grantedTo: [{ namespace: 'agents', operations: ['exec'] }] });
    const access = compileAccess({ agent: anAgent(), policies: [aPolicy({ rules: [aRuleOf(LOOK)] })], resource: granted });
    expect(access.ok && judge(access.access, { effects: [subsystem('sftp')] }).code).toBe('NotGranted');
  });

  it('grants reading of files where the owner does not say what', () => {
    const granted = aResource({ ...resource.spec, grantedTo: [{ namespace: 'agents' }] });
    const access = compileAccess({ agent: anAgent(), policies: [aPolicy({ rules: [aRuleOf(LOOK)] })], resource: granted });
    expect(access.ok && access.access.ceiling.statements).toEqual(['list', 'read']);
  });

  it.each([
    ['read', subsystem('sftp'), 'allow'],
    ['exec', subsystem('sftp'), 'deny'],
    ['read', subsystem('netconf'), 'deny'],
    ['subsystem', subsystem('netconf'), 'allow'],
  ] as const)('a grant of %s lets %j start: %s', (operation, effect, expected) => {
    const granted = aResource({ ...resource.spec, grantedTo: [{ namespace: 'agents', operations: [operation] }] });
    const rules = [aRuleOf({ ssh: { files: { operations: ['read'], paths: ['/**'] }, subsystems: ['netconf'] } })];
    const access = compileAccess({ agent: anAgent(), policies: [aPolicy({ rules })], resource: granted });
    expect(access.ok && judge(access.access, { effects: [effect] }).verdict).toBe(expected);
  });
});

describe('covers and touches', () => {
  it('agree: what a rule surely is about it may be about', () => {
    const word = fc.constantFrom('rm', '/bin/rm', 'ls', '-l', '*', 'x y', '');
    const commands = fc.array(fc.constantFrom('rm **', 'ls *', '/bin/rm', '**', '* -l', 'git ** x'), { minLength: 1 });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), commands, (words, patterns) => {
        const [surely, maybe] = meets({ commands: patterns }, command(...words));
        expect(maybe || !surely).toBe(true);
      }),
    );
  });
});
