import type { SessionRecord } from '@chaperone/evidence';
import type { Action, Effect } from '@chaperone/policy';
import { describe, expect, test } from 'vitest';
import { execAction, readExec } from '../ssh/actions/index.ts';
import { described } from '../ssh/actions/files.ts';
import { apiAction, openingOf, portAction } from '../kubernetes/actions/index.ts';
import { recordedActions } from './index.ts';

type Judged = SessionRecord & { type: 'action' };
const stamp = { seq: 1, at: 1, mono: 1, type: 'action', action: 0 } as const;

/** As a session records what it judged. */
function recordOf(action: Action, more: Partial<Judged> = {}): Judged {
  const effects = action.effects.map(({ verb, object, via }) => ({ verb, object, via, verdict: 'allow' as const }));
  return { ...stamp, bytes: Buffer.byteLength(more.text ?? ''), verdict: 'allow', code: 'Allowed', reason: '', effects, ...more };
}

const effect = (verb: string, object: string, kind: Effect['kind'], more: Partial<Effect> = {}): Effect => ({
  verb,
  object,
  via: 'direct',
  kind,
  ...more,
});
const api = { group: '', resource: 'pods', subresource: '', namespace: 'shop', name: 'web-1' };
const call = { ...api, verb: 'get', version: 'v1', dryRun: false };
const inPod = { ...api, subresource: 'exec', verb: 'exec', parameters: new Map([['command', ['ls', "it's", '']]]) } as const;
const shell = {
  ...inPod,
  parameters: new Map([
    ['command', ['sh']],
    ['stdin', ['true']],
    ['tty', ['true']],
    ['container', ['app']],
  ]),
};
const copied = { ...inPod, parameters: new Map([['command', ['tar', 'cf', '-', '/srv/a']]]) };

function ofCommand(text: string): [Action, Partial<Judged>] {
  return [execAction(readExec(Buffer.from(text)), Buffer.from(text)), { text }];
}
function ofOpening(request: Parameters<typeof openingOf>[0], isProtected = false): [Action, Partial<Judged>] {
  const { text, action } = openingOf(request, isProtected);
  return [action, { text, kubernetes: { ...call, verb: request.verb, subresource: request.subresource } }];
}
function ofFiles(operation: string, ...effects: Effect[]): [Action, Partial<Judged>] {
  return [{ effects }, { text: described(operation, effects) }];
}

test.each<[string, string, [Action, Partial<Judged>]]>([
  ['a relation', 'postgres', [{ effects: [effect('select', 'public.tickets', 'relation')] }, {}]],
  [
    'what a view reads',
    'postgres',
    [{ effects: [effect('select', 'public.v', 'relation'), effect('select', 'public.t', 'relation', { via: 'view' })] }, {}],
  ],
  ['a function', 'postgres', [{ effects: [effect('execute', 'public.f', 'function')] }, {}]],
  ['a statement about nothing', 'postgres', [{ effects: [effect('vacuum', '', 'other')] }, {}]],
  ['a statement that touches nothing', 'postgres', [{ effects: [] }, {}]],
  ['a command with its words', 'ssh', ofCommand("grep -r 'a b' /srv; sudo systemctl restart nginx")],
  ['a command that cannot be read', 'ssh', ofCommand('ls $(cat x)')],
  ['a command that hides its program', 'ssh', ofCommand('sudo -s')],
  ['rsync, with what lies below', 'ssh', ofCommand('rsync --server --sender -logDtpre.iLsfxC . /srv/app')],
  ['git, with its other names', 'ssh', ofCommand("git-upload-pack '/srv/app.git'")],
  ['scp', 'ssh', ofCommand('scp -t /srv/app')],
  ['a file', 'ssh', ofFiles('read', effect('read', '/srv/a, write "/etc/b"', 'path'))],
  [
    'a directory that moves',
    'ssh',
    ofFiles('rename', effect('delete', '/a', 'path', { below: true }), effect('write', '/b', 'path')),
  ],
  ['a subsystem', 'ssh', [{ effects: [effect('subsystem', 'sftp', 'subsystem')] }, { text: 'sftp' }]],
  ['a forward', 'ssh', [{ effects: [effect('forward', 'db:5432', 'address')] }, { text: 'forward to db:5432', bytes: 7 }]],
  ['a shell', 'ssh', [{ effects: [effect('shell', '', 'shell')] }, { text: 'shell' }]],
  ['a call', 'kubernetes', [apiAction({ ...call, kind: 'resource' } as never, undefined), { kubernetes: call }]],
  [
    'a call that may make its object',
    'kubernetes',
    [
      {
        effects: ['update', 'create'].map((verb) =>
          effect(verb, 'services a in shop', 'api-object', { api: { ...api, resource: 'services', name: 'a' } }),
        ),
      },
      { kubernetes: { ...call, verb: 'update', resource: 'services', name: 'a' } },
    ],
  ],
  ['a path', 'kubernetes', [{ effects: [effect('get', '/healthz', 'api-path')] }, {}]],
  ['a command in a pod', 'kubernetes', ofOpening(inPod)],
  ['the same in a pod that is protected', 'kubernetes', ofOpening(inPod, true)],
  ['a shell in a pod', 'kubernetes', ofOpening(shell)],
  [
    'a forward that begins',
    'kubernetes',
    ofOpening({ ...inPod, subresource: 'portforward', verb: 'portforward', parameters: new Map() }),
  ],
  ['a port of a pod', 'kubernetes', [portAction({ ...api, subresource: 'portforward', verb: 'portforward' }, 8080), {}]],
  ['a connection', 'tcp', [{ effects: [effect('connect', 'api.example', 'other')] }, {}]],
])('%s of %s is read again as it was judged', (_, protocol, [action, more]) => {
  const found = recordedActions(recordOf(action, more), protocol);
  expect(found).toEqual({ actions: [action] });
});

test('what a utility statement is about may be a relation or not, and both are said', () => {
  const found = recordedActions(recordOf({ effects: [effect('drop', 'public.x', 'relation')] }), 'postgres');
  expect('actions' in found && found.actions.map(({ effects }) => effects[0]?.kind)).toEqual(['relation', 'other']);
});

test('a copy out of a pod may be of one file or of all below, and both are said', () => {
  const [whole, more] = ofOpening(copied);
  const actions = [whole, openingOf(copied, false).less?.action];
  expect(recordedActions(recordOf(whole, more), 'kubernetes')).toEqual({ actions });
});

const COMMAND = 'cat /srv/report';
describe('nothing is guessed', () => {
  test.each<[string, string, string, [Action, Partial<Judged>]]>([
    ['a star in a path', 'masked', 'ssh', ofFiles('read', effect('read', '/srv/*******6789', 'path'))],
    [
      'a hash in a name',
      'masked',
      'kubernetes',
      [{ effects: [effect('get', 'secrets h:ABCDEFGHIJKLMNOP in shop', 'api-object')] }, { kubernetes: call }],
    ],
    [
      'a name of which a mask left nothing',
      'masked',
      'kubernetes',
      [apiAction({ ...call, name: '', kind: 'resource' } as never, undefined), { kubernetes: { ...call, name: '' } }],
    ],
    [
      'a namespace of which it left nothing',
      'masked',
      'kubernetes',
      [
        apiAction({ ...call, verb: 'list', name: '', namespace: '', kind: 'resource' } as never, undefined),
        { kubernetes: { ...call, verb: 'list', name: '', namespace: '' }, text: 'GET /api/v1/namespaces//pods' },
      ],
    ],
    [
      'a list of which no line is kept',
      'shortened',
      'kubernetes',
      [
        apiAction({ ...call, verb: 'list', name: '', kind: 'resource' } as never, undefined),
        { kubernetes: { ...call, verb: 'list', name: '' } },
      ],
    ],
    ['a path that ends early', 'masked', 'ssh', ofFiles('read', effect('read', '/srv/', 'path'))],
    ['a refusal before anything was named', 'refused', 'postgres', [{ effects: [] }, { code: 'NotGranted', verdict: 'deny' }]],
    ['a text that is cut', 'shortened', 'ssh', [ofCommand(COMMAND)[0], { text: COMMAND.slice(0, 5), bytes: COMMAND.length }]],
    ['a text that is not kept', 'shortened', 'ssh', [ofCommand(COMMAND)[0], { bytes: COMMAND.length }]],
    ['only the name of a program', 'shortened', 'ssh', [{ effects: [effect('exec', 'rm', 'command')] }, { bytes: 6 }]],
    ['a text in which a value is gone', 'shortened', 'ssh', [ofCommand('cat ')[0], { text: 'cat ', bytes: 20 }]],
    ['a text of another command', 'unclear', 'ssh', [ofCommand('rm /srv/a')[0], { text: 'ls /srv/a', bytes: 9 }]],
    [
      'where links led',
      'unclear',
      'ssh',
      [
        { effects: [effect('read', '/srv/app', 'path'), effect('read', '/etc', 'path')] },
        ofCommand('rsync --server --sender -logDtpre.iLsfxC . /srv/app')[1],
      ],
    ],
    [
      'a call about another object',
      'unclear',
      'kubernetes',
      [{ effects: [effect('get', 'pods web-2 in shop', 'api-object')] }, { kubernetes: call }],
    ],
    [
      'an exec whose words are cut',
      'shortened',
      'kubernetes',
      [ofOpening(inPod)[0], { ...ofOpening(inPod)[1], text: "kubectl exec -n shop web-1 -- ls 'it" }],
    ],
    [
      'a port and a name that could be two',
      'unclear',
      'kubernetes',
      [{ effects: [effect('portforward', 'pods/portforward a in b in c: 1', 'api-object')] }, {}],
    ],
    ['a refusal by something else', 'refused', 'postgres', [{ effects: [] }, { code: 'NotAnalysable', verdict: 'deny' }]],
    ['another code', 'refused', 'postgres', [{ effects: [effect('select', 'public.t', 'relation')] }, { code: 'constructor' }]],
    ['a name that is no host of tcp', 'refused', 'tcp', [{ effects: [] }, { code: 'NotGranted', verdict: 'deny' }]],
    ['an unknown protocol', 'protocol', 'constructor', [{ effects: [effect('select', 'public.t', 'relation')] }, {}]],
    [
      'too many objects of unknown kinds',
      'unclear',
      'postgres',
      [{ effects: Array.from({ length: 5 }, (_, at) => effect('drop', `public.x${at}`, 'other')) }, {}],
    ],
  ])('%s is %s', (_, untold, protocol, [action, more]) => {
    expect(recordedActions(recordOf(action, more), protocol)).toEqual({ untold });
  });
});
