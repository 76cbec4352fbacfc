import { describe, expect, it } from 'vitest';
import { copyOf } from './copy.ts';
import { type Opening, openingOf, portAction } from './opening.ts';
import { readRequest, type ResourceRequest } from './request.ts';

const HEAD = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'SPDY/3.1'],
] as const;

function request(verb: string, query: string): ResourceRequest {
  const read = readRequest({
    method: 'POST',
    target: `/api/v1/namespaces/shop/pods/web/${verb}${query}`,
    headers: HEAD,
    hasBody: false,
  });
  if (read.kind !== 'resource') throw new Error(read.kind);
  return read;
}
const opening = (verb: string, query: string, isProtected = false): Opening => openingOf(request(verb, query), isProtected);
/** An exec with these words; `flags` beside stdout. */
const exec = (words: readonly string[], flags = '', isProtected = false): Opening =>
  opening('exec', `?stdout=true${flags}${words.map((word) => `&command=${encodeURIComponent(word)}`).join('')}`, isProtected);
/** Effects as kind and object, without the pod. */
const told = ({ action }: Opening): string[] =>
  action.effects.map(({ inside, object }) =>
    `${inside?.kind ?? 'nothing'} ${object.replace(/^pods\/\w+ web in shop(: )?/, '')}`.trim(),
  );

describe('what opens in a pod', () => {
  it.each<[string, Opening, string[], Opening['unit']]>([
    ['a command', exec(['ls', '-l', '/a b']), ["command ls -l '/a b'"], 'command'],
    ['a command that runs another', exec(['env', 'LANG=C', 'rm', 'x']), ["command env 'LANG=C' rm x", 'command rm x'], 'command'],
    [
      'a text for a shell',
      exec(['sh', '-c', 'ls | wc -l']),
      ["command sh -c 'ls | wc -l'", 'command ls', 'command wc -l'],
      'command',
    ],
    ['a text that cannot be told', exec(['sh', '-c', 'ls $X']), ["command sh -c 'ls $X'"], 'command'],
    ['no command', exec([]), ['command'], 'command'],
    ['a path that goes back', exec(['cat', '/a/../b']), ['command cat /a/../b', 'command cat /b'], 'command'],
    ['a command with a terminal', exec(['ls'], '&tty=true'), ['command ls', 'shell shell'], 'command'],
    ['a shell', exec(['bash'], '&stdin=true&tty=true'), ['shell shell'], 'shell'],
    ['a shell by its path, with flags', exec(['/bin/sh', '-i', '-l'], '&stdin=1'), ['shell shell'], 'shell'],
    ['busybox as a shell', exec(['busybox', 'sh'], '&stdin=1'), ['shell shell'], 'shell'],
    ['another program of that name', exec(['/tmp/sh'], '&stdin=1'), ['command /tmp/sh'], 'command'],
    ['an interpreter that reads its code', exec(['python3'], '&stdin=1'), ['command python3'], 'command'],
    ['attach', opening('attach', '?stdout=true'), ['shell shell'], 'shell'],
    ['a port-forward', opening('portforward', ''), ['nothing'], 'forward'],
    ['files that are read', exec(['tar', 'cf', '-', '/srv//app/./x/']), ['path read /srv/app/x'], 'file operation'],
    ['files that are written', exec(['tar', '-xmf', '-', '-C', '/srv'], '&stdin=true'), ['path write /srv'], 'file operation'],
    ['files that are read from where nobody knows', exec(['tar', 'cf', '-', 'x']), ['path read'], 'file operation'],
    ['a command in a pod that is protected', exec(['ls'], '', true), ['command ls', 'shell shell'], 'command'],
    [
      'files of a pod that is protected',
      exec(['tar', 'cf', '-', '/x'], '', true),
      ['path read /x', 'shell shell'],
      'file operation',
    ],
  ])('is %s', (_, read, effects, unit) => {
    expect([told(read), read.unit]).toEqual([effects, unit]);
  });

  it('has no words where what runs is not known', () => {
    for (const words of [['sh', '-c', 'ls $X'], ['python3'], ['xargs', 'rm'], ['sh', '-s'], ['\u0007', 'x']]) {
      const read = exec(words, '&stdin=true');
      expect([words, read.unknown !== undefined, read.action.effects[0]?.inside?.words]).toEqual([words, true, undefined]);
    }
  });

  it('reads as the words of kubectl that ask for it', () => {
    const read = exec(['ls', 'a b'], '&container=app&stdin=true&tty=true');
    expect(read.text).toBe("kubectl exec -n shop web -c app -i -t -- ls 'a b'");
    expect(opening('attach', '?stdin=true').text).toBe('kubectl attach -n shop web -i');
    expect(opening('portforward', '').text).toBe('kubectl port-forward -n shop web');
  });

  it('may be less than it could: one file, or a look at what is there', () => {
    const { less } = exec(['tar', 'cf', '-', '/etc/hosts']);
    expect([less?.copy?.isOne, less?.action.effects[0]?.inside?.below]).toEqual([true, undefined]);
    expect(exec(['tar', '-xmf', '-', '-C', '/x'], '&stdin=true').less).toBeUndefined();
    const look = exec(['test', '-d', '/srv']);
    expect([told(look), look.less && told(look.less), look.less?.tells]).toEqual([
      ['command test -d /srv'],
      ['path write /srv'],
      true,
    ]);
  });

  it('is one port of a pod', () => {
    const [effect] = portAction(request('portforward', ''), 8080).effects;
    expect(effect).toMatchObject({ object: 'pods/portforward web in shop: 8080', inside: { kind: 'address', object: '8080' } });
  });
});

describe('what kubectl cp asks for', () => {
  it.each<[string, boolean, ReturnType<typeof copyOf>]>([
    ['tar cf - /a', false, { verb: 'read', path: '/a' }],
    ['tar cf - /', false, { verb: 'read', path: '/' }],
    ['tar cf - /a/../b', false, { verb: 'read', path: '' }],
    ['tar -xmf -', true, { verb: 'write', path: '' }],
    ['tar -xmf - -C /a', true, { verb: 'write', path: '/a' }],
    ['tar --no-same-permissions --no-same-owner -xmf - -C /a', true, { verb: 'write', path: '/a' }],
    ['tar cf - /a', true, undefined],
    ['tar -xmf - -C /a', false, undefined],
    ['tar -xmf - -C /a -C /b', true, undefined],
    ['tar -xmf - --to-command=sh', true, undefined],
    ['tar cf - /a /b', false, undefined],
    ['tar cf - --checkpoint=1', false, { verb: 'read', path: '' }],
    ['tar cfz - /a', false, undefined],
    ['/bin/tar cf - /a', false, undefined],
    ['tar', false, undefined],
  ])('%s, with stdin: %s', (words, stdin, expected) => {
    expect(copyOf(words.split(' '), { stdin })).toEqual(expected);
  });
});
