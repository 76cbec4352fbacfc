import { describe, expect, test } from 'vitest';
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { cosignatureTime, cosigner, verifierOf } from './cosignature.ts';
import { flipped, generateSigner, VECTORS } from './log.test-support.ts';
import { verifyMlDsa } from './ml-dsa.ts';
import { mlDsaSigner } from '../signer.ts';
import { formatNote, MAX_NOTE_BYTES, MAX_SIGNATURES, noteSigner, noteVerifier, openNote, parseNote, signNote } from './note.ts';
import { formatVerifierKey, KEY_TYPE, parseVerifierKey, verifierKey } from './vkey.ts';

/** From golang.org/x/mod/sumdb/note, example_test.go. */
const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PETERS_LINE =
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
const PETERS_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
/** The examples of C2SP signed-note and tlog-cosignature. */
const QUASIMODO =
  'Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n' +
  '— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n';

const failing = (code: string) => expect.objectContaining({ code }) as Error;
const log = noteSigner('example.com/log', generateSigner());
const known = [noteVerifier(log.key)];
const signed = (text = 'text\n', signers = [log]): Buffer => Buffer.from(formatNote(signNote({ text, signatures: [] }, signers)));
/** A note with the same signature so many times. */
const many = (count: number): Buffer => {
  const note = parseNote(signed());
  return Buffer.from(formatNote({ ...note, signatures: Array.from({ length: count }, () => note.signatures).flat() }));
};

describe('a key of notes', () => {
  test.each([KEY_TYPE.ed25519, KEY_TYPE.cosignature, KEY_TYPE.mlDsa44])('of type %i is written and read', (type) => {
    const raw = type === KEY_TYPE.mlDsa44 ? mlDsaSigner(Buffer.alloc(32, 1)).publicKey : generateSigner().publicKey;
    const key = verifierKey('witness.example/w1', type, raw);
    expect(parseVerifierKey(formatVerifierKey(key))).toEqual(key);
  });

  test('is the published one', () => {
    expect(formatVerifierKey(parseVerifierKey(PETER))).toBe(PETER);
    expect(formatVerifierKey(parseVerifierKey(VECTORS.mlDsa.key))).toBe(VECTORS.mlDsa.key);
  });

  test.each([
    ['nothing', ''],
    ['a name alone', 'PeterNeumann'],
    ['no name', PETER.replace('PeterNeumann', '')],
    ['another name', PETER.replace('Peter', 'Paul')],
    ['a space in the name', PETER.replace('rN', 'r N')],
    ['a control character in the name', PETER.replace('rN', 'r\u0001N')],
    ['another id', PETER.replace('c74f20a3', 'c74f20a4')],
    ['a short id', PETER.replace('c74f20a3', 'c74f20a')],
    ['a cut key', PETER.slice(0, -4)],
    ['base64 that could be shorter', `${PETER.slice(0, -1)}X`],
    ['a line end', `${PETER}\n`],
    ['another type', `${PETER.slice(0, 22)}Ahpc${PETER.slice(26)}`],
  ])('with %s is refused', (_, text) => {
    expect(() => parseVerifierKey(text)).toThrow(failing('MalformedKey'));
  });

  test.each(['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\u2028b', 'a\u0085b', '\ud800'])('has no name %j', (name) => {
    expect(() => noteSigner(name, generateSigner())).toThrow(failing('MalformedKey'));
  });
});

describe('a signed note', () => {
  test('that others published opens', () => {
    const note = Buffer.from(`${PETERS_TEXT}\n${PETERS_LINE}`);
    const { text, signatures } = openNote(note, [noteVerifier(parseVerifierKey(PETER))]);
    expect(text).toBe(PETERS_TEXT);
    expect(signatures.map(({ name }) => name)).toEqual(['PeterNeumann']);
    const poem = parseNote(Buffer.from(QUASIMODO));
    expect(poem.text.split('\n')).toHaveLength(5);
    expect(formatNote(poem)).toBe(QUASIMODO);
  });

  test.each(['text\n', '\n', 'a\n\nb\n', 'a\n\n\n', '\ufeff € \u{1f600}\n', '— a b\n'])(
    'of %j opens as it was signed',
    (text) => {
      expect(openNote(signed(text), known).text).toBe(text);
    },
  );

  test('of which any byte was changed does not open', () => {
    const note = signed('some text\n');
    for (let at = 0; at < note.length; at++)
      for (const bit of [0, 6]) expect(() => openNote(flipped(note, at, bit), known)).toThrow();
    for (let length = 0; length < note.length; length++) expect(() => openNote(note.subarray(0, length), known)).toThrow();
  });

  test('is read by the signatures of known keys alone, whoever else signed', () => {
    const other = noteSigner('example.com/other', generateSigner());
    const namesake = noteSigner('example.com/log', generateSigner());
    const note = signed('text\n', [other, log, namesake]);
    expect(openNote(note, known).signatures.map(({ id }) => id)).toEqual([log.key.id]);
    expect(() => openNote(signed('text\n', [other, namesake]), known)).toThrow(failing('NoteUnsigned'));
    expect(() => openNote(note, [])).toThrow(failing('NoteUnsigned'));
    expect(() => openNote(note, [...known, ...known])).toThrow(failing('MalformedKey'));
  });

  test('with a bad signature of a known key does not open, also beside a good one', () => {
    const good = parseNote(signed());
    const [line] = good.signatures;
    if (line === undefined) throw new Error('no signature');
    const bad = { ...line, signature: flipped(line.signature, 5) };
    for (const signatures of [[bad], [line, bad], [bad, line]])
      expect(() => openNote(Buffer.from(formatNote({ ...good, signatures })), known)).toThrow(failing('SignatureInvalid'));
    expect(openNote(Buffer.from(formatNote({ ...good, signatures: [line, line] })), known).signatures).toHaveLength(1);
  });

  test('is signed again in the place of the older signature, behind those of others', () => {
    const other = noteSigner('example.com/other', generateSigner());
    const both = signNote(parseNote(signed('text\n', [log, other])), [log]);
    expect(both.signatures.map(({ name }) => name)).toEqual(['example.com/other', 'example.com/log']);
  });

  test.each([
    ['without an empty line', (note: string) => note.replace('\n\n', '\n')],
    ['without signatures', (note: string) => note.slice(0, note.indexOf('—'))],
    ['without its last line end', (note: string) => note.slice(0, -1)],
    ['with a line behind the signatures', (note: string) => `${note}more\n`],
    ['with an empty line behind the signatures', (note: string) => `${note}\n`],
    ['with a hyphen for the dash', (note: string) => note.replace('—', '-')],
    ['with two spaces', (note: string) => note.replace('— ', '—  ')],
    ['with a word more', (note: string) => note.replace(/\n$/, ' x\n')],
    ['with no name', (note: string) => note.replace('example.com/log', '')],
    ['with a plus sign in the name', (note: string) => note.replace('.com', '+com')],
    ['with a signature of four bytes', (note: string) => note.replace(/ \S+\n$/, ' AAAAAA==\n')],
    ['with base64 that nobody writes', (note: string) => note.replace(/=\n$/, '\n')],
    ['with a carriage return', (note: string) => note.replaceAll('\n', '\r\n')],
    ['with NUL', (note: string) => note.replace('t', '\0')],
    ['with an escape', (note: string) => note.replace('t', '\u001b')],
  ])('%s is none', (_, change) => {
    expect(() => openNote(Buffer.from(change(signed().toString())), known)).toThrow(failing('MalformedNote'));
  });

  test('that is not UTF-8, or too large, or has too many signatures is none', () => {
    expect(() => parseNote(Buffer.concat([Buffer.of(0xff), signed()]))).toThrow(failing('MalformedNote'));
    expect(() => parseNote(signed('x'.repeat(MAX_NOTE_BYTES).concat('\n')))).toThrow(failing('LimitExceeded'));
    expect(parseNote(many(MAX_SIGNATURES)).signatures).toHaveLength(MAX_SIGNATURES);
    expect(() => parseNote(many(MAX_SIGNATURES + 1))).toThrow(failing('LimitExceeded'));
  });

  test.each(['no end', 'a\rb\n', '\ud800\n'])('is not made of %j', (text) => {
    expect(() => signed(text)).toThrow(failing('MalformedNote'));
    expect(() => formatNote({ text: 'text\n', signatures: [] })).toThrow(failing('MalformedNote'));
  });
});

describe('a checkpoint', () => {
  /** The example of C2SP tlog-checkpoint. */
  const text = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';

  test.each([text, `${text}more\nand more\n`, text.replace('20852163', String(Number.MAX_SAFE_INTEGER))])(
    'is read and written: %j',
    (each) => {
      expect(formatCheckpoint(parseCheckpoint(each))).toBe(each);
    },
  );

  test.each([
    ['', ''],
    ['no root', text.split('\n').slice(0, 2).join('\n').concat('\n')],
    ['no end', text.slice(0, -1)],
    ['an empty line', `${text}\n`],
    ['an empty line among its extensions', `${text}a\n\nb\n`],
    ['no origin', text.slice(text.indexOf('\n'))],
    ['a size with a zero before it', text.replace('2085', '02085')],
    ['a negative size', text.replace('2085', '-2085')],
    ['a size beyond what can be counted', text.replace('20852163', '9007199254740992')],
    ['a size of another kind', text.replace('20852163', '0x13')],
    ['a shorter root', text.replace('CsUY', '')],
    ['another root of nothing', text.replace('20852163', '0')],
  ])('with %s is none', (_, each) => {
    expect(() => parseCheckpoint(each)).toThrow(failing('MalformedNote'));
  });
});

describe('a cosignature', () => {
  const text = 'example.com/log\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';
  const seed = Buffer.alloc(32, 5);
  const TYPES = [
    { type: KEY_TYPE.cosignature, signer: generateSigner() },
    { type: KEY_TYPE.mlDsa44, signer: mlDsaSigner(seed) },
  ] as const;

  test.each(TYPES)('of type $type says who saw the checkpoint and when, and nothing else', ({ type, signer }) => {
    const witness = cosigner('witness.example/w1', type, signer, 1_679_315_147);
    const note = signed(text, [log, witness]);
    const { signatures } = openNote(note, [verifierOf(witness.key)]);
    expect(signatures.map(cosignatureTime)).toEqual([1_679_315_147]);
    const signature = witness.sign(text);
    const verifier = verifierOf(witness.key);
    expect(verifier.verify(text, signature)).toBe(true);
    for (const at of [0, 3, 7, 8, 40, signature.length - 1]) expect(verifier.verify(text, flipped(signature, at))).toBe(false);
    for (const length of [0, 7, 8, signature.length - 1])
      expect(verifier.verify(text, signature.subarray(0, length))).toBe(false);
    expect(verifier.verify(text, Buffer.concat([signature, Buffer.of(0)]))).toBe(false);
    for (const other of [
      text.replace('/log', '/lag'),
      text.replace('2085', '2086'),
      text.replace('CsUY', 'DsUY'),
      `${text}more\n`,
      'x\n',
    ])
      expect(verifier.verify(other, signature)).toBe(false);
    // A time beyond what can be counted, whether signed or not.
    expect(verifier.verify(text, Buffer.concat([Buffer.alloc(8, 0xff), signature.subarray(8)]))).toBe(false);
  });

  test('is of its own name with ML-DSA-44, and of no other key', () => {
    const witness = cosigner('w1', KEY_TYPE.mlDsa44, mlDsaSigner(seed), 1);
    const renamed = cosigner('w2', KEY_TYPE.mlDsa44, mlDsaSigner(seed), 1);
    expect(verifierOf(renamed.key).verify(text, witness.sign(text))).toBe(false);
    const other = cosigner('w1', KEY_TYPE.mlDsa44, mlDsaSigner(Buffer.alloc(32, 6)), 1);
    expect(verifierOf(other.key).verify(text, witness.sign(text))).toBe(false);
    expect(verifyMlDsa(Buffer.alloc(1312, 0xff), Buffer.from(text), witness.sign(text).subarray(8))).toBe(false);
    expect(verifyMlDsa(Buffer.alloc(31), Buffer.from(text), Buffer.alloc(2420))).toBe(false);
    expect(() => mlDsaSigner(Buffer.alloc(31))).toThrow(failing('MalformedKey'));
  });

  test('without a time says none', () => {
    const witness = cosigner('w1', KEY_TYPE.mlDsa44, mlDsaSigner(seed), 0);
    expect(openNote(signed(text, [witness]), [verifierOf(witness.key)]).signatures.map(cosignatureTime)).toEqual([undefined]);
  });

  test.each(TYPES)('of type $type is of checkpoints alone', ({ type, signer }) => {
    const sign =
      (each: string, time = 1) =>
      () =>
        cosigner('w', type, signer, time).sign(each);
    for (const each of ['text\n', text.slice(0, -1), `${text}\n`]) expect(sign(each)).toThrow(failing('MalformedNote'));
    for (const time of [-1, 0.5, 2 ** 53]) expect(sign(text, time)).toThrow(failing('MalformedNote'));
    // Extension lines are not under a signature with ML-DSA-44, nor are names longer than its length can say.
    const extended = sign(`${text}more\n`);
    if (type === KEY_TYPE.mlDsa44) {
      expect(extended).toThrow(failing('MalformedNote'));
      expect(sign(text.replace('example.com', 'x'.repeat(252)))).toThrow(failing('MalformedNote'));
      expect(sign(text.replace('example.com', 'x'.repeat(251)))).not.toThrow();
    } else expect(extended).not.toThrow();
  });
});
