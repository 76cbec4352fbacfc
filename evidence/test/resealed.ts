import { type Member } from '../src/index.ts';
import { a, add, fileOf } from './files.ts';
import * as world from './world.ts';

export function resealed(): void {
  const pod = world.aPod();
  const mod = (mods: NonNullable<world.Wanted['mods']>, wanted: world.Wanted = {}): Member[] =>
    fileOf(world.aSession({ pod, ...wanted, mods }));
  const from = (number: number, change: NonNullable<world.Wanted['mods']>): Member[] =>
    mod((input) => (input.number === number ? change(input) : input));
  const second = world.anEpoch(pod, 2);
  add(
    'a later epoch key from the second segment on',
    mod((input) => (input.number > 0 ? { ...input, epoch: second } : input)),
    { exit: 0 },
  );
  add(
    'an epoch key that is older than the one before',
    from(0, (input) => ({ ...input, epoch: second })),
    { exit: 3 },
  );
  const { notBefore, notAfter } = world.BOUNDS;
  const sealedAt = (sealed: number): Member[] => from(1, (input) => ({ ...input, clock: { ...input.clock, sealed } }));
  for (const sealed of [notBefore - 1, notBefore - 0.5, notAfter + 0.5, notAfter + 1, -1e300, 1e300])
    add(`a segment sealed at ${sealed}, outside its epoch`, sealedAt(sealed), { exit: 3 });
  for (const sealed of [notBefore, notBefore + 0.5, notAfter])
    add(`a segment sealed at ${sealed}, within its epoch`, sealedAt(sealed), { exit: 0 });
  // Records of long ago are sealed after a crash, and a pod's clock may be set while they wait.
  for (const wall of [[1, 2] as const, [1e15, 2] as const, [1, 1e15] as const])
    add(
      `records of ${wall.join(' to ')}, sealed within the epoch`,
      from(1, (input) => ({ ...input, clock: { ...input.clock, wall } })),
      { exit: 0 },
    );
  for (const [what, bounds, exit] of [
    ['a moment', { notBefore: 1_000, notAfter: 1_000 }, 0],
    ['no time', { notBefore: 1_001, notAfter: 1_000 }, 3],
    ['longer than an hour', { notBefore: 1_000, notAfter: 3_601_001 }, 3],
    ['ever', { notBefore: -1e308, notAfter: 1e308 }, 3],
  ] as const)
    add(
      `an epoch key that is valid for ${what}`,
      fileOf(
        world.aSession({
          pod,
          mods: (input) => ({
            ...input,
            epoch: world.anEpoch(pod, 1, pod.nkey, bounds),
            clock: { ...input.clock, sealed: 1_000 },
          }),
        }),
      ),
      { exit },
    );
  add(
    'an epoch key that another pod certified',
    from(1, (input) => ({ ...input, epoch: world.anEpoch(pod, 1, world.aSigner()) })),
    { exit: 3 },
  );
  add(
    'an epoch key of another pod',
    from(1, (input) => ({ ...input, epoch: world.anEpoch(world.aPod()) })),
    { exit: 3 },
  );
  const stranger = world.aPod();
  add(
    'a segment of another pod',
    from(1, (input) => ({ ...input, epoch: world.anEpoch(stranger), registration: stranger.registration })),
    { exit: 3 },
  );
  const unknown = world.aPod(undefined, world.aSigner());
  add('a pod that nobody enrolled', fileOf(world.aSession({ pod: unknown })), { exit: 3 });
  add(
    'a session of another agent',
    fileOf(world.aSession({ pod: world.aPod({ namespace: 'agents', serviceAccount: 'admin', pod: 'x' }) })),
    { exit: 3 },
  );
  add(
    'an origin of another log',
    from(1, (input) => ({ ...input, origin: 'elsewhere' })),
    { exit: 3 },
  );
  add(
    'a link to nothing',
    from(1, (input) => ({ ...input, prev: '0'.repeat(64) })),
    { exit: 3 },
  );
  add(
    'numbers of records that leave one out',
    from(1, (input) => ({ ...input, firstSeq: input.firstSeq + 1 })),
    { exit: 3 },
  );
  add(
    'segments after the end',
    mod((input) =>
      input.number === 1
        ? { ...input, records: [...input.records, ...closing(input.firstSeq + input.records.length)], flags: ['close'] }
        : input,
    ),
    { exit: 3 },
  );
  for (const flags of [[], ['open', 'close'], ['open', 'open'], ['torn']] as const)
    add(
      `flags ${JSON.stringify(flags)} at the beginning`,
      from(0, (input) => ({ ...input, flags: [...flags] })),
      { exit: flags[1] === 'open' ? 0 : 3 },
    );
  for (const [what, text] of [
    ['no JSON', '{'],
    ['null', 'null'],
    ['a list', '[]'],
    ['without a type', '{"seq":3,"at":1,"mono":1}'],
    ['of a type that nobody knows', '{"seq":3,"at":1,"mono":1,"type":"x"}'],
    ['of a type that every object has', '{"seq":3,"at":1,"mono":1,"type":"constructor"}'],
    ['of another number', '{"seq":4,"at":1,"mono":1,"type":"note","code":"x","message":""}'],
    ['with a number as text', '{"seq":"3","at":1,"mono":1,"type":"note","code":"x","message":""}'],
    ['with a number too large', '{"seq":3,"at":1e999,"mono":1,"type":"note","code":"x","message":""}'],
    ['with bytes that it may not have', '{"seq":3,"at":1,"mono":1,"type":"note","code":"x","message":""}\0bytes'],
    ['with data of its own', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout","data":"t:x"}'],
    ['of a stream without bytes', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}'],
    [
      'of a stream of too many bytes',
      `{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}\0${'y'.repeat(65_537)}`,
    ],
    ['of an open session once more', opened(3)],
  ] as const)
    add(
      `a record that is ${what}`,
      from(1, (input) => ({ ...input, records: [Buffer.from(text), ...input.records.slice(1)] })),
      { exit: 3 },
    );
  for (const [what, text] of [
    ['deep', `{"seq":3,"at":1,"mono":1,"type":"note","code":"x","message":"","more":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
    [
      'with keys of every object',
      '{"seq":3,"at":1,"mono":1,"type":"note","code":"x","message":"","__proto__":{"type":"x"},"constructor":1}',
    ],
    ['of bytes that are no text', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}\0\u00ff\u0000'],
    ['of the largest stream', `{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}\0${'y'.repeat(65_536)}`],
    [
      'a call of the Kubernetes API',
      '{"seq":3,"at":1,"mono":1,"type":"action","action":1,"bytes":1,"verdict":"allow","code":"","reason":"","effects":[],"kubernetes":{"verb":"get","group":"","version":"v1","resource":"pods","subresource":"","namespace":"","name":"","dryRun":false}}',
    ],
    [
      'the end of an action with its result',
      '{"seq":3,"at":1,"mono":1,"type":"done","action":1,"rows":1,"bytes":1,"digest":"","truncated":false,"maskedValues":0,"durationMs":1.5,"result":{"columns":[{"name":"x","type":25}],"masked":[],"rows":[["t:y",null]]}}',
    ],
    [
      'of a file, with its digest',
      `{"seq":3,"at":1,"mono":1,"type":"file","action":1,"operation":"read","path":"","bytes":0,"digest":"${'aB'.repeat(32)}","outcome":"ok","file":0}`,
    ],
    ['a line, a size, bytes', '{"seq":3,"at":1,"mono":1,"type":"line","action":1,"text":"ls"}'],
  ] as const)
    add(
      `a record that is ${what}`,
      from(1, (input) => ({ ...input, records: [Buffer.from(text), ...input.records.slice(1)] })),
      { exit: 0 },
    );
  for (const text of [
    '\r\nset-cookie: x',
    'a\0b',
    '../../etc/passwd',
    '\u001b]0;x\u0007\u001b[2J',
    '\u202e\u2066',
    '=cmd|calc!A1',
    '@SUM(1)',
    '<script>',
    '"},{"',
  ])
    add(`a session that says ${JSON.stringify(text)}`, fileOf(world.aSession({ text })), { exit: 0 });
  for (const hostile of ['\r\n', '\u001b[2J', '\u202e', '=1+1', '\0'])
    add(
      `an agent called ${JSON.stringify(hostile)}`,
      fileOf(world.aSession({ pod: world.aPod({ namespace: hostile, serviceAccount: hostile, pod: hostile }) })),
      { exit: 3 },
    );
}

const opened = (seq: number): string =>
  JSON.stringify({
    seq,
    at: 1,
    mono: 1,
    type: 'session.open',
    session: a.session,
    agent: { namespace: 'agents', serviceAccount: 'bot' },
    resource: { namespace: 'd', name: 'o', protocol: 'p' },
    purpose: '',
    policies: [],
    mode: 'Enforce',
    client: { address: '', tls: false },
  });
const closing = (seq: number): Buffer[] => [
  Buffer.from(
    JSON.stringify({ seq, at: 1, mono: 1, type: 'session.close', code: '', reason: '', actions: 0, denied: 0, maskedValues: 0 }),
  ),
];
