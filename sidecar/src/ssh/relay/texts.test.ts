import type { PolicyRule, SshSelector } from '@chaperone/api';
import { type Access, judge } from '@chaperone/policy';
import { describe, expect, test } from 'vitest';
import { fileEffect } from '../actions/files.ts';
import { encode } from '../wire/channel-messages.ts';
import { readAsking, withTerminal } from './asking.ts';
import { accessOf } from './files.test-support.ts';
import { refusalOfSsh, textOf } from './texts.ts';

type Rule = readonly [name: string, effect: PolicyRule['effect'], ssh: SshSelector];
const LOOK: Rule = ['look', 'Allow', { commands: ['ls **', 'git-upload-pack **'] }];
const NEVER: Rule = ['never', 'Deny', { commands: ['rm **'] }];
const FIX: Rule = ['fix', 'RequireApproval', { commands: ['touch **'] }];
const FILES: Rule = ['files', 'Allow', { files: { operations: ['read'], paths: ['/srv/**'] } }];
const FLAT: Rule = ['flat', 'Allow', { files: { operations: ['read'], paths: ['/srv/*'] } }];
const SECRETS: Rule = ['secrets', 'Deny', { files: { paths: ['/srv/secrets/**'] } }];
const NO_SHELL: Rule = ['no-shell', 'Deny', { shell: true }];

function ruled(...rules: readonly Rule[]): Access {
  const base = accessOf([['RequireApproval', ['read'], ['/']]]);
  const [asking] = base.rules;
  return {
    ...base,
    disclosure: 'full',
    ceiling: { ...base.ceiling, statements: ['*'] },
    rules: rules.map(([name, effect, ssh]) => ({
      ...(effect === 'RequireApproval' && { ...asking }),
      policy: { namespace: 'agents', name: 'ops' },
      name,
      effect,
      ssh,
    })),
  };
}

const exec = (text: string) => readAsking('exec', encode.exec(Buffer.from(text)));
const rsync = (path: string) => exec(`rsync --server --sender -r . ${path}`);

/** What an agent is told of a denial, without what else it may do and where that is recorded. */
function told(access: Access, asking: ReturnType<typeof readAsking>, hasTerminal = false): string {
  const action = hasTerminal ? withTerminal(asking.action) : asking.action;
  const verdict = judge(access, action);
  expect(verdict.verdict).toBe('deny');
  const { line } = textOf(access, refusalOfSsh(access, action, verdict, asking), { unit: asking.unit, reference: '' });
  return line.replace(/ (Allowed here|Policy) .*/, '').replace(/ Allowed here: .*/, '');
}

describe('what an agent is told of a denial', () => {
  test.each<[what: string, rules: readonly Rule[], asking: ReturnType<typeof readAsking>, line: string]>([
    [
      'what cannot be read, beside a rule that denies',
      [LOOK, NEVER],
      exec('ls $x'),
      'ls $x is denied by rule "never": what it runs cannot be told, since a shell would put something in place of $ or a backtick, and so it may be what the rule denies (DeniedByRule). Change it: write it with plain words and quotes, without variables, substitutions, patterns and redirections.',
    ],
    [
      'what cannot be read, where no rule denies',
      [LOOK],
      exec('ls & id'),
      'ls & id is not covered by any rule: what it runs cannot be told, since it runs something in the background (NoRuleAllows). Change it: send one command a request.',
    ],
    [
      'a program with an option that is not known',
      [LOOK],
      exec('find / -exec id'),
      'find / -exec id is not covered by any rule: what it runs cannot be told, since an option or word is not known to be harmless (NoRuleAllows). Change it: leave out options and words that can make the program run or write something else.',
    ],
    [
      'what is read and denied',
      [LOOK, NEVER],
      exec('rm x'),
      'rm x is denied by rule "never" (DeniedByRule). Do not retry: other wording with the same effect gets the same answer.',
    ],
    [
      'a relative path, where no rule denies',
      [FILES],
      rsync('srv'),
      'this command is not covered by any rule: its path is relative, and what lies there is not known (NoRuleAllows). Change it: give the whole path, which begins with / and has no .. in it.',
    ],
    [
      'a path of git that goes up, beside a rule that denies',
      [LOOK, FILES, SECRETS],
      exec("git-upload-pack '/srv/../a'"),
      'this command is denied by rule "secrets": its path has .. in it, and what lies there is not known (DeniedByRule). Change it: give the whole path, which begins with / and has no .. in it.',
    ],
    [
      'a tree of which some is denied',
      [FILES, SECRETS],
      rsync('/srv'),
      'READ on /srv is denied by rule "secrets": all that is below it is meant too, and the rule denies some of that (DeniedByRule). Change it: ask for what is below it one by one.',
    ],
    [
      'a tree that is denied',
      [FILES, SECRETS],
      rsync('/srv/secrets'),
      'READ on /srv/secrets is denied by rule "secrets" (DeniedByRule). Do not retry: other wording with the same effect gets the same answer.',
    ],
    [
      'a tree of which some is not covered',
      [FLAT],
      rsync('/srv/a'),
      'READ on /srv/a is not covered by any rule: all that is below it is meant too, and a rule has to cover that (NoRuleAllows). Do not retry: other wording with the same effect gets the same answer.',
    ],
    [
      'a shell',
      [LOOK],
      readAsking('shell', encode.shell()),
      'this shell is not covered by any rule: it wants a rule with ssh.shell, by which people are asked (NoRuleAllows). Change it: name the command that is to run, one a request.',
    ],
    [
      'sftp',
      [LOOK],
      readAsking('subsystem', encode.subsystem('sftp')),
      'SUBSYSTEM on sftp is not covered by any rule: it wants a rule with ssh.files (NoRuleAllows). Do not retry: the answer stays the same for as long as the policy does.',
    ],
    [
      'another subsystem',
      [LOOK],
      readAsking('subsystem', encode.subsystem('netconf')),
      'SUBSYSTEM on netconf is not covered by any rule: it wants a rule with ssh.subsystems (NoRuleAllows). Do not retry: the answer stays the same for as long as the policy does.',
    ],
  ])('%s', (_, rules, asking, line) => {
    expect(told(ruled(...rules), asking)).toBe(`chaperone: ${line}`);
  });

  test.each<[what: string, rules: readonly Rule[], command: string, line: string]>([
    [
      'is not covered, and is without',
      [LOOK],
      'ls',
      'this command is not covered by any rule: with a terminal it wants a rule with ssh.shell, by which people are asked (NoRuleAllows). Change it: ask without a terminal; with OpenSSH leave out -t.',
    ],
    [
      'is not covered, and people are asked about it without',
      [FIX],
      'touch x',
      'this command is not covered by any rule: with a terminal it wants a rule with ssh.shell, by which people are asked (NoRuleAllows). Change it: ask without a terminal; with OpenSSH leave out -t.',
    ],
    [
      'is denied',
      [LOOK, NO_SHELL],
      'ls',
      'this command is denied by rule "no-shell": with a terminal it counts as a shell (DeniedByRule). Change it: ask without a terminal; with OpenSSH leave out -t.',
    ],
    [
      'is denied with or without',
      [LOOK, NEVER],
      'rm x',
      'rm x is denied by rule "never" (DeniedByRule). Do not retry: other wording with the same effect gets the same answer.',
    ],
    [
      'is not covered with or without',
      [NO_SHELL],
      'ls',
      'this command is denied by rule "no-shell": with a terminal it counts as a shell (DeniedByRule). Do not retry: other wording with the same effect gets the same answer.',
    ],
  ])('a command with a terminal %s', (_, rules, command, line) => {
    expect(told(ruled(...rules), exec(command), true)).toBe(`chaperone: ${line}`);
  });

  test('a forward says which kind of rule there would have to be', () => {
    const access = ruled(LOOK);
    const action = { effects: [{ verb: 'forward', object: 'db:5432', via: 'direct', kind: 'address' }] } as const;
    const { line } = textOf(access, refusalOfSsh(access, action, judge(access, action)), { unit: 'forward', reference: '' });
    expect(line).toContain('FORWARD on db:5432 is not covered by any rule: it wants a rule with ssh.forward that names it');
  });

  test('a file operation names what was denied, and not what waits for people beside it', () => {
    const access = ruled(['ask', 'RequireApproval', { files: { operations: ['delete'], paths: ['/srv/**'] } }], FILES);
    const action = { effects: [fileEffect('delete', '/srv/a'), fileEffect('write', '/srv/b')] };
    const refusal = refusalOfSsh(access, action, judge(access, action));
    const { line } = textOf(access, refusal, { unit: 'file operation', reference: '' });
    expect(line).toContain('chaperone: WRITE on /srv/b is not covered by any rule (NoRuleAllows).');
  });

  test('where a policy discloses codes alone, no rule is named', () => {
    const access: Access = { ...ruled(FILES, SECRETS), disclosure: 'code' };
    expect(told(access, rsync('/srv'))).toBe(
      'chaperone: READ on /srv is denied by a rule: all that is below it is meant too, and the rule denies some of that (DeniedByRule). Change it: ask for what is below it one by one. The connection stays usable.',
    );
  });
});
