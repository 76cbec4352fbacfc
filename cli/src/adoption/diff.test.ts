import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AUDITING, type Body, compared, manifests, Recorder, sessionOf, type Spoken } from './adoption.test-support.ts';

const OTHERS = `
  - {name: x, effect: Deny, resource: {namespace: data, name: web-3}}
  - {name: y, effect: Deny, resource: {namespace: data, name: staging}}
  - {name: z, effect: Deny, resource: {namespace: data, name: model-api}}`;
const AGENTS = 'agents: {serviceAccounts: [support-agent]}';
const RESOURCE = 'resource: {namespace: data, name: orders-db}';
/** A policy with one rule about orders-db, or several. */
const policy = (rules: readonly string[], agents = AGENTS): string =>
  manifests(`${agents}\nrules:${rules.map((rule) => `\n  - {${RESOURCE}, ${rule}}`).join('')}${OTHERS}`);
const select = (relation: string, name = 'read'): string =>
  `name: ${name}, effect: Allow, sql: {statements: [select], relations: [${relation}]}`;
const ask =
  'name: ask, effect: RequireApproval, sql: {statements: [select], relations: [public.tickets]}, approval: {approvers: {groups: [dba]}}';
const never = 'name: never, effect: Deny, sql: {statements: [select], relations: [public.tickets]}';

const READ = policy([select('public.tickets')]);
const none = new Recorder(READ);
const TICKETS = none.sql(['select', 'public.tickets']);
const ORDERS = none.sql(['select', 'public.orders']);

/** `deny never DeniedByRule` */
function said(each: object): string {
  const { word, rule = '-', code } = each as { word: string; rule?: string; code: string };
  return `${word} ${rule} ${code}`;
}

test.each<[string, string, string, string, string, boolean]>([
  ['deny to allow', policy([never]), READ, 'deny never DeniedByRule', 'allow read Allowed', true],
  ['no rule to allow', policy([select('public.orders')]), READ, 'deny - NoRuleAllows', 'allow read Allowed', true],
  ['deny to approval', policy([never]), policy([ask]), 'deny never DeniedByRule', 'approve ask ApprovalPending', true],
  ['approval to allow', policy([ask]), READ, 'approve ask ApprovalPending', 'allow read Allowed', true],
  ['allow to approval', READ, policy([ask]), 'allow read Allowed', 'approve ask ApprovalPending', false],
  ['allow to deny', READ, policy([select('public.tickets'), never]), 'allow read Allowed', 'deny never DeniedByRule', false],
  [
    'allowed in truth to Audit',
    READ,
    AUDITING.replace('[public.tickets]', '[public.orders]'),
    'allow read Allowed',
    'audit - NoRuleAllows',
    false,
  ],
  [
    'Audit to deny',
    AUDITING.replace('[public.tickets]', '[public.orders]'),
    policy([select('public.orders')]),
    'audit - NoRuleAllows',
    'deny - NoRuleAllows',
    false,
  ],
  [
    'a policy that selects no such agent',
    policy([select('public.tickets')], 'agents: {serviceAccounts: [other]}'),
    READ,
    'deny - AgentNotSelected',
    'allow read Allowed',
    true,
  ],
  [
    'another owner',
    READ,
    READ.replace('statements: ["*"]', 'statements: [insert]'),
    'allow read Allowed',
    'deny - NotGranted',
    false,
  ],
])('%s is said', async (_, before, after, was, wouldBe, opens) => {
  const sessions = [sessionOf({ bodies: [TICKETS, TICKETS] })];
  const { code, differences, same, untold } = await compared([before, after], sessions);
  expect(differences.map((each) => [said(each.was), said(each.wouldBe), each.opens, each.count])).toEqual([
    [was, wouldBe, opens, 2],
  ]);
  expect([code, same, untold]).toEqual([1, 0, []]);
});

test('what opens comes first, then what is most frequent; sessions are named, five at most', async () => {
  const sessions = Array.from({ length: 7 }, (_, at) =>
    sessionOf({ session: `s-${at}`, at: at * 100, bodies: [TICKETS, ORDERS, TICKETS] }),
  );
  const { text, code } = await compared([READ, policy([select('public.orders')])], sessions, { output: 'table' });
  expect(code).toBe(1);
  expect(text).toBe(`WAS                  WOULD BE             COUNT  LAST  RESOURCE        ACTION                    SESSIONS
deny (NoRuleAllows)  allow by read        7      60m   data/orders-db  SELECT on public.orders   s-0, s-1, s-2, s-3, s-4
allow by read        deny (NoRuleAllows)  14     60m   data/orders-db  SELECT on public.tickets  s-0, s-1, s-2, s-3, s-4

7 sessions: 0 actions judged alike, 21 otherwise, of these 7 let through further than before; 0 cannot be told.
`);
});

test('the same is said only of what was judged, and 0 only where that is all', async () => {
  const sessions = [sessionOf({ bodies: [TICKETS, ORDERS] })];
  expect(await compared([READ, READ], sessions)).toMatchObject({ code: 0, same: 2, differences: [], untold: [] });
  const renamed = READ.replace('name: read,', 'name: look,');
  const { code, text } = await compared([READ, renamed], sessions, { output: 'table' });
  expect([code, text]).toEqual([
    0,
    '1 session: 2 actions judged alike (1 by another rule or for another reason), 0 otherwise, of these 0 let through further than before; 0 cannot be told.\n',
  ]);
});

test('fields that bear on what happens and are not judged are named', async () => {
  const after = READ.replace('  rules:', '  inference: deny\n  limits: {rows: 10}\n  rules:');
  const { code, text } = await compared([READ, after], [sessionOf({ bodies: [TICKETS] })], { output: 'table' });
  expect([code, text]).toEqual([0, expect.stringContaining('They differ in inference, limits too, which is not compared.\n')]);
});

test.each<[string, string, string]>([
  [
    'what an owner calls sensitive no more',
    'sensitive',
    READ.replace(
      'postgres: {database: orders}',
      'postgres: {database: orders}\n  sensitive: [{label: pii.ssn, columns: [public.tickets.note]}]',
    ),
  ],
  ['where names are looked for', 'searchPath', READ.replace('database: orders', 'database: orders, searchPath: [private]')],
  ['whom a rule asks', 'approval', policy([select('public.tickets'), ask.replaceAll('tickets', 'notes')])],
])('%s is named', async (_, field, before) => {
  const found = await compared([before, READ], [sessionOf({ bodies: [TICKETS] })], { output: 'table' });
  expect([found.code, found.text]).toEqual([0, expect.stringContaining(`They differ in ${field} too, which is not compared.\n`)]);
});

describe('what cannot be told is counted, and is no sameness', () => {
  const byColumns = policy([
    'name: read, effect: Allow, sql: {statements: [select], relations: [public.tickets], columns: ["public.tickets.*"]}',
  ]);
  const byLabels = policy([select('public.tickets')], 'agents: {podSelector: {matchLabels: {app: bot}}}');
  const demanding = READ.replace(
    '  rules:',
    '  identity: {oidc: {issuer: "https://login.corp", audiences: [chaperone]}}\n  rules:',
  );
  const gone = READ.replaceAll('name: orders-db', 'name: other-db');
  const cut: Body = { ...new Recorder(AUDITING).ssh({ command: 'ls -l' }), text: 'ls' };
  const unmarked = AUDITING.replace(
    '  ssh: {hostKeys',
    '  sensitive: [{label: pci.card, detector: credit-card}]\n  ssh: {hostKeys',
  ).replace('  rules:', '  masking: [{label: pci.card, strategy: {"null": {}}}]\n  rules:');
  test.each<[string, string, string, Spoken, Body]>([
    ['masked', AUDITING, unmarked, 'ssh', new Recorder(AUDITING).ssh({ file: { operation: 'read', path: '/srv/a-.txt' } })],
    ['columns', READ, byColumns, 'postgres', TICKETS],
    ['columns', byColumns, byColumns, 'postgres', TICKETS],
    ['labels', READ, byLabels, 'postgres', TICKETS],
    ['token', demanding, demanding, 'postgres', TICKETS],
    ['resource', gone, gone, 'postgres', TICKETS],
    ['refused', READ, READ, 'postgres', { ...TICKETS, code: 'SettingPinned', verdict: 'deny', effects: [] }],
    ['shortened', AUDITING, AUDITING, 'ssh', cut],
    ['masked', AUDITING, AUDITING, 'ssh', new Recorder(AUDITING).ssh({ file: { operation: 'read', path: '/*****' } })],
  ])('%s', async (why, before, after, protocol, body) => {
    const found = await compared([before, after], [sessionOf({ protocol, bodies: [body, body] })]);
    expect(found).toMatchObject({ code: 2, same: 0, differences: [], untold: [{ why, count: 2 }] });
  });

  test('a rule about other columns stands in nobody’s way, and labels that are given count', async () => {
    const sessions = [sessionOf({ bodies: [ORDERS] })];
    expect(await compared([byColumns, byColumns], sessions)).toMatchObject({ code: 0, same: 1 });
    const labelled = [sessionOf({ bodies: [TICKETS] })];
    expect(await compared([READ, byLabels], labelled, { labels: { app: 'bot' } })).toMatchObject({ code: 0, same: 1 });
    expect(await compared([READ, byLabels], labelled, { labels: { app: 'cat' } })).toMatchObject({ code: 1 });
  });

  test('nor are sessions that were not read whole', async () => {
    const read = sessionOf({ bodies: [TICKETS] });
    const half = sessionOf({ bodies: [TICKETS], isIncomplete: true });
    const headless = { session: 's-x', records: [], isIncomplete: false };
    for (const odd of [half, headless, { session: 's-y', unread: 'it was erased' }])
      expect(await compared([READ, READ], [read, odd])).toMatchObject({ code: 2, differences: [], untold: [] });
  });
});

test('a directory is as good as its files, and what is wrong with manifests is an error', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-diff-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'a.yaml'), READ);
  const { readObjects } = await import('@chaperone/sidecar');
  expect(await readObjects(folder)).toEqual(await readObjects(join(folder, 'a.yaml')));
  await writeFile(join(folder, 'b.yaml'), 'kind: AccessPolicy');
  await expect(readObjects(folder)).rejects.toMatchObject({ code: 'ManifestInvalid' });
  await expect(readObjects(join(folder, 'none'))).rejects.toMatchObject({ code: 'ManifestInvalid' });
});
