import { describe, expect, test } from 'vitest';
import { formatCheckpoint } from './checkpoint.ts';
import { cosigner } from './cosignature.ts';
import { aLog, flipped, generateSigner } from './log.test-support.ts';
import { mlDsaSigner } from '../signer.ts';
import { formatNote, type NoteSigner, noteSigner, signNote } from './note.ts';
import { openCheckpoint, parsePolicy } from './policy.ts';
import { leavesReader, proveInclusion } from './proof.ts';
import { formatProofFile, parseProofFile, verifyProofFile } from './proof-file.ts';
import { formatVerifierKey, KEY_TYPE } from './vkey.ts';

const failing = (code: string, message?: string) =>
  expect.objectContaining({
    code,
    ...(message === undefined ? {} : { message: expect.stringContaining(message) as string }),
  }) as Error;
const ORIGIN = 'example.com/log';
const log = noteSigner(ORIGIN, generateSigner());
const other = noteSigner('example.com/other', generateSigner());
const witness = (name: string, time = 1_700_000_000): NoteSigner =>
  cosigner(`witness.example/${name}`, KEY_TYPE.cosignature, generateSigner(), time);
const [x1, x2, x3, y1, y2] = [witness('x1'), witness('x2'), witness('x3'), witness('y1'), witness('y2')];
const v = ({ key }: NoteSigner): string => formatVerifierKey(key);

const { head, leaves, entries } = aLog([300]);
const checkpoint = (signers: readonly NoteSigner[], origin = ORIGIN): Buffer =>
  Buffer.from(formatNote(signNote({ text: formatCheckpoint({ ...head, origin, extensions: [] }), signatures: [] }, signers)));

/** The example of C2SP tlog-policy, with keys. */
const TWO_LEVELS = `
# who runs them
log ${v(log)}
witness X1 ${v(x1)}
\twitness  X2\t${v(x2)} https://x2.example/
witness X3 ${v(x3)}
group X-witnesses 2 X1 X2 X3
witness Y1 ${v(y1)}
witness Y2 ${v(y2)}
group Y-witnesses any Y1 Y2
group X-and-Y all X-witnesses Y-witnesses
  # at last
quorum X-and-Y
`;
const policy = (text: string) => parsePolicy(Buffer.from(text));

describe('a policy', () => {
  test.each([
    { signers: [log, x1, x2, y1], met: true },
    { signers: [log, x1, x2, x3, y1, y2], met: true },
    { signers: [y2, x3, x1, log], met: true },
    { signers: [log, x1, y1], met: false },
    { signers: [log, x1, x2, x3], met: false },
    { signers: [log], met: false },
    { signers: [log, witness('x1'), witness('x2'), y1], met: false },
  ])('of groups within groups is met or not: case %#', ({ signers, met }) => {
    const open = () => openCheckpoint(checkpoint(signers), policy(TWO_LEVELS));
    if (!met) expect(open).toThrow(failing('QuorumMissing'));
    else {
      const { checkpoint: found, witnesses } = open();
      expect(found).toEqual({ ...head, origin: ORIGIN, extensions: [] });
      expect(witnesses.size).toBe(signers.length - 1);
      expect(new Set(witnesses.values())).toEqual(new Set([1_700_000_000]));
    }
  });

  test('believes any of its logs, each under its own origin', () => {
    const two = policy(`log ${v(log)}\nlog ${v(other)} https://other.example/\nquorum none\n`);
    expect(two.logs.map(({ url }) => url)).toEqual([undefined, 'https://other.example/']);
    expect(openCheckpoint(checkpoint([log]), two).checkpoint.size).toBe(300);
    expect(openCheckpoint(checkpoint([other], 'example.com/other'), two).checkpoint.origin).toBe('example.com/other');
    expect(() => openCheckpoint(checkpoint([other]), two)).toThrow(failing('OriginMismatch'));
    expect(() => openCheckpoint(checkpoint([witness('z')]), two)).toThrow(failing('NoteUnsigned'));
    expect(() => openCheckpoint(checkpoint([x1]), policy(`witness X ${v(x1)}\nquorum X\n`))).toThrow(failing('NoteUnsigned'));
    expect(() => openCheckpoint(checkpoint([log]), policy('quorum none\n'))).toThrow(failing('NoteUnsigned'));
  });

  test('takes ML-DSA-44 of logs and witnesses, and says when', () => {
    const pqLog = cosigner(ORIGIN, KEY_TYPE.mlDsa44, mlDsaSigner(Buffer.alloc(32, 1)), 0);
    const pqWitness = cosigner('witness.example/pq', KEY_TYPE.mlDsa44, mlDsaSigner(Buffer.alloc(32, 2)), 7);
    const mixed = policy(`log ${v(pqLog)}\nwitness W ${v(pqWitness)}\nwitness X ${v(x1)}\ngroup g any W X\nquorum g\n`);
    expect([...openCheckpoint(checkpoint([pqLog, pqWitness]), mixed).witnesses]).toEqual([['W', 7]]);
    expect(() => openCheckpoint(checkpoint([pqLog]), mixed)).toThrow(failing('QuorumMissing'));
  });

  test('has names that are bytes, not characters', () => {
    const { witnesses } = policy(`log ${v(log)}\nwitness K ${v(x1)}\nwitness \u212a ${v(x2)} http://ü\nquorum \u212a\n`);
    expect([...witnesses.values()].map(({ url }) => url)).toEqual([undefined, 'http://ü']);
    expect(witnesses.has(Buffer.from('\u212a').toString('latin1'))).toBe(true);
  });

  const raw = generateSigner();
  const asLog = noteSigner(ORIGIN, raw);
  const asWitness = cosigner('w', KEY_TYPE.cosignature, raw, 1);
  const X = `witness X ${v(x1)}`;
  test.each([
    ['no quorum', `log ${v(log)}\n`, 'no quorum'],
    ['nothing', '', 'no quorum'],
    ['an end in a line', `log ${v(log)}\nquorum none`, 'in the middle of a line'],
    ['two quorums', 'quorum none\nquorum none\n', 'line 2'],
    ['a quorum that comes first', `quorum X\n${X}\n`, 'line 1'],
    ['a quorum of nobody', 'quorum\n', 'line 1'],
    ['words behind the quorum', 'quorum none # why\n', 'line 1'],
    ['a word that is not known', 'logs x\nquorum none\n', 'line 1'],
    ['capitals', `LOG ${v(log)}\nquorum none\n`, 'line 1'],
    ['a log without a key', 'log\nquorum none\n', 'line 1'],
    ['a log with a cut key', `log ${v(log).slice(0, -4)}\nquorum none\n`, 'line 1'],
    ['words behind a log', `log ${v(log)} url more\nquorum none\n`, 'line 1'],
    ['a witness’s key for a log', `log ${v(x1)}\nquorum none\n`, 'of a type'],
    ['a log’s key for a witness', `witness X ${v(log)}\nquorum X\n`, 'of a type'],
    ['a log twice', `log ${v(log)}\nlog ${v(log)}\nquorum none\n`, 'line already'],
    ['a witness twice under two names', `${X}\nwitness Y ${v(x1)}\nquorum X\n`, 'line already'],
    ['a log that witnesses itself', `log ${v(asLog)}\nwitness W ${v(asWitness)}\nquorum W\n`, 'line already'],
    ['a name twice', `${X}\nwitness X ${v(x2)}\nquorum X\n`, 'line 2 of the policy: the name is taken'],
    ['a group with the name of a witness', `${X}\ngroup X all X\nquorum X\n`, 'line 2 of the policy: the name is taken'],
    ['a witness called none', `witness none ${v(x1)}\nquorum none\n`, 'the name is taken'],
    ['a group called none', `${X}\ngroup none all X\nquorum none\n`, 'the name is taken'],
    ['a group of none', `${X}\ngroup g all none\nquorum g\n`, 'line 2'],
    ['an empty group', `${X}\ngroup g any\nquorum g\n`, 'line 2'],
    ['a group of what comes later', `group g any X\n${X}\nquorum g\n`, 'line 1'],
    ['a group of itself', 'group g any g\nquorum g\n', 'line 1'],
    ['a member twice in a group', `${X}\ngroup g 2 X X\nquorum g\n`, 'in a group already'],
    ['a member in two groups', `${X}\ngroup g any X\ngroup h any X\nquorum h\n`, 'in a group already'],
    ['a group that asks for none', `${X}\ngroup g 0 X\nquorum g\n`, 'asks for none'],
    ['a group that asks for more than it has', `${X}\ngroup g 2 X\nquorum g\n`, 'asks for none'],
    ['a number with a zero before it', `${X}\ngroup g 01 X\nquorum g\n`, 'asks for none'],
    ['a carriage return', `log ${v(log)}\r\nquorum none\r\n`, 'control character'],
    ['a form feed between words', `log\f${v(log)}\nquorum none\n`, 'control character'],
    ['too many lines', '\n'.repeat(2000), 'too many lines'],
  ])('with %s is refused', (_, text, message) => {
    expect(() => policy(text)).toThrow(failing('MalformedPolicy', message));
  });
});

const leaf = (index: number): Buffer => leaves[index] ?? Buffer.alloc(0);

describe('a proof in a file', () => {
  const trust = policy(TWO_LEVELS);
  const signed = checkpoint([log, x1, x2, y1]);
  const prove = (index: number, extra?: Buffer): Buffer =>
    formatProofFile({
      index,
      path: proveInclusion(index, head.size, leavesReader(leaves)),
      checkpoint: signed,
      ...(extra === undefined ? {} : { extra }),
    });

  test('proves its entry, and no other', () => {
    expect(entries).toHaveLength(300);
    for (const index of [0, 1, 255, 256, 299]) {
      const { index: found, witnesses } = verifyProofFile(prove(index), leaf(index), trust);
      expect([found, witnesses.size]).toEqual([index, 3]);
      expect(() => verifyProofFile(prove(index), leaf((index + 1) % 300), trust)).toThrow(failing('ProofInvalid'));
    }
    const unwitnessed = formatProofFile({ ...parseProofFile(prove(7)), checkpoint: checkpoint([log]) });
    expect(() => verifyProofFile(unwitnessed, leaf(7), trust)).toThrow(failing('QuorumMissing'));
  });

  test('of which any byte was changed proves nothing', () => {
    const proof = prove(42);
    for (let at = 0; at < proof.length; at++)
      expect(() => verifyProofFile(flipped(proof, at, at % 7), leaf(42), trust), `byte ${at}`).toThrow();
  });

  test('carries what a program adds', () => {
    for (const extra of [Buffer.from('more'), Buffer.alloc(0)]) {
      expect(parseProofFile(prove(3, extra)).extra).toEqual(extra);
      expect(formatProofFile(parseProofFile(prove(3, extra)))).toEqual(prove(3, extra));
      expect(verifyProofFile(prove(3, extra), leaf(3), trust).index).toBe(3);
    }
    expect(parseProofFile(prove(3)).extra).toBeUndefined();
  });

  test.each([
    ['another version', (text: string) => text.replace('@v1', '@v2')],
    ['no index', (text: string) => text.replace('index 42\n', '')],
    ['a negative index', (text: string) => text.replace('index 42', 'index -42')],
    ['an index with a zero before it', (text: string) => text.replace('index 42', 'index 042')],
    ['extra behind the index', (text: string) => text.replace('index 42', 'index 42\nextra AAAA')],
    ['extra that is no base64', (text: string) => text.replace('index 42', 'extra A\nindex 42')],
    ['a hash that is shorter', (text: string) => text.replace(/index 42\n..../, 'index 42\n')],
    [
      'more hashes than any tree has',
      (text: string) => text.replace('index 42\n', `index 42\n${`${'A'.repeat(43)}=\n`.repeat(54)}`),
    ],
    ['no checkpoint', (text: string) => text.slice(0, text.indexOf('\n\n'))],
    ['carriage returns', (text: string) => text.replaceAll('\n', '\r\n')],
  ])('with %s is none', (_, change) => {
    expect(() => verifyProofFile(Buffer.from(change(prove(42).toString())), leaf(42), trust)).toThrow(failing('MalformedProof'));
  });
});
