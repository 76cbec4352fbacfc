import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AGENT, type Ended, QUICKSTART, run } from '../program.test-support.ts';

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let manifests: string;
beforeAll(async () => {
  folder = await temporaryDirectory();
  manifests = join(folder.path, 'shop');
  await cp(QUICKSTART, manifests, { recursive: true });
  const policy = join(manifests, 'policy.yaml');
  const approval = `    - name: fix
      effect: RequireApproval
      resource: {namespace: data, name: orders-db}
      sql: {statements: [update], relations: [public.orders]}
      approval: {approvers: {groups: [dba]}}
`;
  await writeFile(policy, (await readFile(policy, 'utf8')).replace('    - name: never', `${approval}    - name: never`));
});
afterAll(() => folder[Symbol.asyncDispose]());

function check(input: string | Buffer, ...more: readonly string[]): Promise<Ended> {
  return run(['policy', 'check', '--manifests', manifests, ...AGENT, '--resource', 'data/orders-db', ...more], { input });
}
interface Answer {
  readonly verdict: string;
  readonly rule: string;
  readonly code: string;
  readonly reason: string;
  readonly effects: readonly object[];
}
const answers = (out: string): Answer[] =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Answer);
const ask = (sql: string): string => `${JSON.stringify({ sql })}\n`;

test('each action gets one line with the five keys of the contract, in order', async () => {
  const statements: [string, string, string, string][] = [
    ['select name from customers', 'allow', 'Allowed', 'read'],
    ['update orders set total = 1 where id = 101', 'approve', 'ApprovalPending', 'fix'],
    ['drop table tickets', 'deny', 'DeniedByRule', 'never'],
    ['delete from tickets', 'deny', 'NoRuleAllows', ''],
    ['select 1; drop table tickets', 'deny', 'DeniedByRule', 'never'],
    ['select 1; select name from public.customers', 'allow', 'Allowed', 'read'],
    ['selec 1', 'deny', 'NotAnalysable', ''],
    ['', 'allow', 'Allowed', ''],
  ];
  const { code, out, err } = await check(statements.map(([sql]) => ask(sql)).join(''), '--output', 'json');
  expect([code, err]).toEqual([0, '']);
  const found = answers(out);
  expect(found.map(({ verdict, code: word, rule }) => [verdict, word, rule])).toEqual(
    statements.map(([, ...expected]) => expected),
  );
  for (const answer of found) {
    expect(Object.keys(answer)).toEqual(['verdict', 'rule', 'code', 'reason', 'effects']);
    expect(answer.reason).toMatch(/\S/);
  }
  expect(found[1]?.effects).toContainEqual({
    verb: 'update',
    object: 'public.orders',
    via: 'direct',
    verdict: 'approve',
    rule: 'fix',
  });
});

test('what of the policies comes to nothing is said beside the answers, in the words of the cluster', async () => {
  const vain = join(folder.path, 'vain');
  await cp(manifests, vain, { recursive: true });
  const file = join(vain, 'policy.yaml');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('label: pii.ssn', 'label: pii.snn').replace('statements: [update]', 'statements: [delete]'));
  const { code, out, err } = await run(['policy', 'check', '--manifests', vain, ...AGENT, '--resource', 'data/orders-db'], {
    input: ask('select 1'),
  });
  expect([code, answers(out).length]).toEqual([0, 1]);
  expect(err.split('\n')).toEqual([
    'warn: agents/support-agent: spec.masking[0].label: no resource of the rules has the label "pii.snn"; did you mean "pii.ssn"? (LabelUnknown)',
    'warn: agents/support-agent: rule "edit-tickets": delete on data/orders-db stays denied, since its owner grants select, update; it belongs in spec.grantedTo[].statements of the resource (StatementNotGranted)',
    '',
  ]);
});

test('the Secrets of a cluster need not lie in the directory', async () => {
  const bare = join(folder.path, 'bare');
  await cp(manifests, bare, { recursive: true });
  await writeFile(join(bare, 'secret.yaml'), '');
  const { code, out } = await run(['policy', 'check', '--manifests', bare, ...AGENT, '--resource', 'data/orders-db'], {
    input: ask('select 1'),
  });
  expect([code, answers(out)[0]?.verdict]).toEqual([0, 'allow']);
});

describe('lines', () => {
  test.each<[string, string, string[]]>([
    ['none', '', []],
    ['blank ones between', `\n${ask('select 1')}  \n\n`, ['Allowed']],
    ['the last without an end', ask('select 1').trimEnd(), ['Allowed']],
    ['ended by CRLF', `${ask('select 1').trimEnd()}\r\n${ask('drop table tickets').trimEnd()}\r\n`, ['Allowed', 'DeniedByRule']],
    ['with a line separator inside, which JSON allows', `{"sql":"select '\u2028' from customers"}\n`, ['Allowed']],
    ['of 1 MiB', ask(`select '${'x'.repeat(1024 * 1024 - 20)}' `), ['Allowed']],
    ['of more than a statement may have', ask(`select '${'x'.repeat(1024 * 1024)}'`), ['NotAnalysable']],
  ])('%s are answered, exit 0', async (_what, input, codes) => {
    const { code, out, err } = await check(input);
    expect(answers(out).map((answer) => answer.code)).toEqual(codes);
    expect([code, err]).toEqual([0, '']);
  });

  test.each<[string, string | Buffer, RegExp]>([
    ['no JSON', 'select 1\n', /not JSON/],
    ['no object', '"select 1"\n', /has no "sql"/],
    ['an action of another protocol', '{"command":"ls"}\n', /has no "sql"; for protocol postgres/],
    ['SQL that is no text', '{"sql":1}\n', /has no "sql"/],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d, 0x0a]), /not UTF-8/],
    ['longer than 4 MiB', `{"sql":"${'x'.repeat(5 * 1024 * 1024)}"}\n`, /longer than 4194304 bytes/],
  ])('%s: answered with deny and Usage, the others as usual, exit 2', async (_what, input, reason) => {
    const { code, out } = await check(Buffer.concat([Buffer.from(input), Buffer.from(ask('select 1'))]));
    expect(answers(out)).toMatchObject([{ verdict: 'deny', rule: '', code: 'Usage', effects: [] }, { verdict: 'allow' }]);
    expect(answers(out)[0]?.reason).toMatch(reason);
    expect(code).toBe(2);
  });

  test('thousands are answered one for one, also to a reader who goes away', async () => {
    const input = Array.from({ length: 5_000 }, (_, n) => ask(n % 2 === 0 ? `select ${n}` : 'drop table tickets')).join('');
    const { code, out } = await check(input);
    expect(code).toBe(0);
    expect(answers(out).map(({ verdict }) => verdict)).toEqual(
      Array.from({ length: 5_000 }, (_, n) => (n % 2 === 0 ? 'allow' : 'deny')),
    );
    const file = join(folder.path, 'actions.jsonl');
    await writeFile(file, input);
    const piped = await run(
      [
        '-c',
        `"$0" "$@" < ${file} | head -1`,
        process.execPath,
        join(import.meta.dirname, '../main.ts'),
        'policy',
        'check',
        '--manifests',
        manifests,
        ...AGENT,
        '--resource',
        'data/orders-db',
      ],
      { command: ['bash'] },
    );
    expect(answers(piped.out)).toHaveLength(1);
    expect([piped.code, piped.err]).toEqual([0, '']);
  });

  test('what names hold that a terminal would obey is escaped', async () => {
    const { out } = await check(ask('drop table "\u001b[2J\u202ex"'));
    expect(out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(answers(out)[0]?.code).toBe('DeniedByRule');
  });
});

test.each<[string, readonly string[], number, RegExp]>([
  [
    'a resource with a typing error',
    ['--resource', 'data/order-db'],
    1,
    /^error: agents\/support-agent is granted no resource data\/order-db; nearest: data\/orders-db \(NotGranted\)\n/,
  ],
  ['a resource without a namespace', ['--resource', 'orders-db'], 2, /--resource is written NAMESPACE\/NAME/],
  ['an agent with a typing error', ['--agent', 'agents/suport-agent'], 1, /nearest: agents\/support-agent \(AgentNotSelected\)/],
  [
    'a directory that is not there',
    ['--manifests', '/nonexistent'],
    1,
    /\/nonexistent cannot be read; --manifests names a directory of YAML files \(ManifestInvalid\)/,
  ],
  ['an unknown output', ['--output', 'yaml'], 2, /"yaml" is invalid.*Allowed choices are json \(Usage\)/],
])('%s is an error, and nothing is answered', async (_what, flags, exit, text) => {
  const { code, out, err } = await check(ask('select 1'), ...flags);
  expect([code, out]).toEqual([exit, '']);
  expect(err).toMatch(text);
});
