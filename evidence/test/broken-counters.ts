import { createHash } from 'node:crypto';
import { type Counter, encodeNkey, members, parseSegment, signCounter, type Member } from '../src/index.ts';
import {
  a,
  add,
  altered,
  b,
  bytesOf,
  head,
  ofA,
  periodFile,
  proofsOfA,
  range,
  segmentOf,
  sessionFile,
  without,
  written,
} from './files.ts';
import * as world from './world.ts';

type Pod = world.Made['pod'];
const ownerOf = (made: world.Made): Pod => made.pod;

/** What a pod counted, as it stands in a file. */
function counted(
  pod: Pod,
  mods: Partial<Counter> = {},
  { index = 0, epoch = world.anEpoch(pod), registration = pod.registration } = {},
): Member {
  const counter: Counter = {
    origin: world.ORIGIN,
    nkey: encodeNkey(pod.nkey.publicKey),
    number: 1,
    opened: 3,
    newest: null,
    sealed: 9,
    last: null,
    pending: [],
    more: 0,
    clock: { wall: epoch.notBefore, mono: 1 },
    ...mods,
  };
  return members.counter(index, { registration, ...signCounter(counter, epoch) });
}
const LINK = '0'.repeat(64);
const GONE = 's-zzzzzzzzzzzzzzzz';
/** A file with what stands between its log and its sessions. */
const withCounters = (file: readonly Member[], ...counters: readonly Member[]): Member[] => {
  const at = file.findIndex(({ name }) => /^(proof|key|segment)\//.test(name));
  return [...file.slice(0, at), ...counters, ...file.slice(at)];
};
const byKey = (pods: readonly Pod[]): Pod[] =>
  pods.toSorted((one, other) => (encodeNkey(one.nkey.publicKey) < encodeNkey(other.nkey.publicKey) ? -1 : 1));

/** Counters, and what of them is not in the file. */
export function brokenCounters(): void {
  const [pod, other] = [ownerOf(a), ownerOf(b)];
  const SOUND = { exit: 0, a: ['complete'] } as const;
  add(
    'a period whose pod counted all that is there',
    withCounters(periodFile, counted(pod, { pending: [[a.session, 4]] })),
    SOUND,
  );
  add('a session whose pod counted all of it', withCounters(sessionFile, counted(pod, { pending: [[a.session, 4]] })), SOUND);
  add('a session whose pod counted others too', withCounters(sessionFile, counted(pod, { pending: [[GONE, 4]] })), SOUND);
  const first = byKey([pod, other]).map((each, index) => counted(each, {}, { index }));
  add('a period with the counters of two pods', withCounters(periodFile, ...first), SOUND);
  add(
    'a period of which a pod counted a session that is nowhere',
    withCounters(periodFile, counted(pod, { pending: [[GONE, 0]] })),
    { exit: 8 },
  );
  add('a file of a range and a counter alone', [...head, ...range, counted(pod, { pending: [[GONE, 2]] })], { exit: 8 });
  add(
    'a session of which its pod counted one segment more',
    withCounters(sessionFile, counted(pod, { pending: [[a.session, 5]] })),
    ofA('incomplete', 4, 'SegmentMissing'),
  );
  add(
    'a session of which the first segments alone are left',
    withCounters(without(sessionFile, segmentOf(a, 3), proofsOfA[3]?.name ?? ''), counted(pod, { pending: [[a.session, 4]] })),
    ofA('incomplete', 3, 'SegmentMissing'),
  );
  const last = (number: number, link: string): Partial<Counter> => ({ last: { session: a.session, number, link } });
  add(
    'a session of which its pod counted another last segment',
    withCounters(sessionFile, counted(pod, last(3, LINK))),
    ofA('altered', 3, 'ChainBroken'),
  );
  const { headerText, signature } = parseSegment(bytesOf(a, 3));
  const link = createHash('sha256').update(headerText).update(signature).digest('hex');
  add('a session whose pod counted its last segment as it is', withCounters(sessionFile, counted(pod, last(3, link))), SOUND);
  add(
    'a session whose pod counted the same number of another one',
    withCounters(sessionFile, counted(pod, { last: { session: GONE, number: 3, link: LINK } })),
    SOUND,
  );
  add('a session whose pod’s last segment is not here', withCounters(sessionFile, counted(pod, last(9, LINK))), SOUND);
  // Another pod's word of this session takes nothing away and adds nothing, whichever of the two comes last.
  const both = (of: Partial<Counter>, others: Partial<Counter>): Member[] =>
    byKey([pod, other]).map((each, index) => counted(each, each === pod ? of : others, { index }));
  const lie: Partial<Counter> = { pending: [[a.session, 9]], ...last(3, LINK) };
  add('a session of which another pod counted more and otherwise', withCounters(sessionFile, ...both({}, lie)), SOUND);
  add(
    'a session of which another pod counted less than its own',
    withCounters(sessionFile, ...both({ pending: [[a.session, 5]] }, { pending: [[a.session, 0]] })),
    ofA('incomplete', 4, 'SegmentMissing'),
  );
  for (const [what, member, code] of [
    ['that another pod signed', counted(pod, {}, { epoch: world.anEpoch(other) }), 'CertificateInvalid'],
    ['whose certificate nobody signed', counted(pod, {}, { epoch: world.anEpoch(pod, 1, other.nkey) }), 'CertificateInvalid'],
    ['whose pod nobody knows', counted(world.aPod(undefined, world.aSigner())), 'RegistrationUntrusted'],
    ['with the registration of another', counted(pod, {}, { registration: other.registration }), 'CertificateInvalid'],
    ['said when its key had ended', counted(pod, { clock: { wall: world.BOUNDS.notAfter + 1, mono: 1 } }), 'EpochExceeded'],
    ['of another origin', counted(pod, { origin: 'elsewhere' }), 'OriginMismatch'],
    ['that begins with another number', counted(pod, {}, { index: 1 }), 'MalformedBundle'],
    ['that is no JSON', { name: 'counter/0', bytes: Buffer.from('{') }, 'MalformedBundle'],
    ['that is empty', { name: 'counter/0', bytes: Buffer.from('{}') }, 'MalformedBundle'],
    ['that is too large', { name: 'counter/0', bytes: Buffer.alloc(16_385, 0x20) }, 'LimitExceeded'],
    ['with a name that is none', { name: 'counter/s-zzzzzzzzzzzzzzzz/0', bytes: counted(pod).bytes }, 'MalformedBundle'],
    [
      'that was changed',
      { name: 'counter/0', bytes: Buffer.from(counted(pod).bytes.toString().replace('opened\\":3', 'opened\\":2')) },
      'CounterInvalid',
    ],
  ] as const)
    add(`a counter ${what}`, withCounters(sessionFile, member), altered(code));
  const twice = counted(pod);
  add(
    'the counter of a pod twice',
    withCounters(sessionFile, twice, { ...twice, name: 'counter/1' }),
    altered('MalformedBundle'),
  );
  add('a counter behind a session', [...sessionFile, twice], altered('MalformedBundle'));
  add('a counter before the range', [...head, twice, ...range], altered('MalformedBundle'));
  const bytes = written(withCounters(sessionFile, twice));
  add('cut within a counter', bytes.subarray(0, bytes.indexOf('counter/0') + 700), altered('MalformedBundle'));
}
