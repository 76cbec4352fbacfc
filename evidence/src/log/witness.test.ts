import { describe, expect, test } from 'vitest';
import { formatCheckpoint, type TreeHead } from './checkpoint.ts';
import { cosignatureTime, cosigner, verifierOf } from './cosignature.ts';
import { aLog, generateSigner, VECTORS } from './log.test-support.ts';
import { mlDsaSigner } from '../signer.ts';
import { formatNote, type NoteSigner, noteSigner, openNote, signNote } from './note.ts';
import { leavesReader, proveConsistency } from './proof.ts';
import { KEY_TYPE, parseVerifierKey, verifierKey } from './vkey.ts';
import {
  answerAddCheckpoint,
  formatAddCheckpoint,
  parseAddCheckpoint,
  type WitnessAnswer,
  type WitnessedLog,
} from './witness.ts';

const ORIGIN = 'example.com/log';
const log = noteSigner(ORIGIN, generateSigner());
const ed25519 = cosigner('witness.example/w1', KEY_TYPE.cosignature, generateSigner(), 1_700_000_000);
const mlDsa = cosigner('witness.example/w1', KEY_TYPE.mlDsa44, mlDsaSigner(Buffer.alloc(32, 3)), 1_700_000_000);

const { leaves } = aLog([300]);
const headOf = (size: number): TreeHead => aLog([size]).head;
const note = (head: TreeHead, { by = [log], origin = ORIGIN, extensions = [] as string[] } = {}): Buffer =>
  Buffer.from(formatNote(signNote({ text: formatCheckpoint({ ...head, origin, extensions }), signatures: [] }, by)));
const prove = (older: number, size: number): Buffer[] => proveConsistency(older, size, leavesReader(leaves.slice(0, size)));
const request = (
  older: number,
  size: number,
  checkpoint = note(headOf(size)),
  path = prove(Math.min(older, size), size),
): Buffer => formatAddCheckpoint({ older, path, checkpoint });

/** A witness that has cosigned this head last. */
function ask(body: Buffer, latest?: TreeHead, signers: readonly NoteSigner[] = [ed25519, mlDsa]): WitnessAnswer {
  const watched: WitnessedLog = { keys: [verifierOf(log.key)], ...(latest === undefined ? {} : { latest }) };
  return answerAddCheckpoint(body, (origin) => (origin === ORIGIN ? watched : undefined), signers);
}

describe('a witness', () => {
  test.each([
    { older: 0, size: 0 },
    { older: 0, size: 300 },
    { older: 1, size: 2 },
    { older: 100, size: 300 },
    { older: 256, size: 300 },
    { older: 300, size: 300 },
  ])('cosigns $size leaves after $older, with each of its keys', ({ older, size }) => {
    const answer = ask(request(older, size), older === 0 ? undefined : headOf(older));
    if (answer.status !== 200) throw new Error(`answered ${answer.status}`);
    expect(answer).toMatchObject({ origin: ORIGIN, latest: headOf(size) });
    expect(answer.body.split('\n')).toHaveLength(3);
    // As C2SP tlog-witness says, the answer goes behind the checkpoint.
    const cosigned = Buffer.concat([note(headOf(size)), Buffer.from(answer.body)]);
    const { signatures } = openNote(
      cosigned,
      [ed25519, mlDsa].map(({ key }) => verifierOf(key)),
    );
    expect(signatures.map(cosignatureTime)).toEqual([1_700_000_000, 1_700_000_000]);
  });

  const stranger = noteSigner(ORIGIN, generateSigner());
  const other = aLog([300], 5).head;
  test.each<{ title: string; body: Buffer; latest?: TreeHead; answer: WitnessAnswer }>([
    {
      title: 'what it has cosigned more of',
      body: request(100, 200),
      latest: headOf(150),
      answer: { status: 409, body: '150\n' },
    },
    { title: 'a size that it is asked for', body: request(0, 300), latest: headOf(150), answer: { status: 409, body: '150\n' } },
    { title: 'an older tree that it never saw', body: request(100, 200), answer: { status: 409, body: '0\n' } },
    {
      title: 'another tree of the same size',
      body: request(300, 300, note(other)),
      latest: headOf(300),
      answer: { status: 409, body: '300\n' },
    },
    { title: 'a tree that grew out of another', body: request(100, 300), latest: aLog([100], 5).head, answer: { status: 422 } },
    { title: 'another tree', body: request(100, 300, note(other)), latest: headOf(100), answer: { status: 422 } },
    { title: 'no proof', body: request(100, 300, note(headOf(300)), []), latest: headOf(100), answer: { status: 422 } },
    {
      title: 'a proof too many',
      body: request(300, 300, note(headOf(300)), [Buffer.alloc(32)]),
      latest: headOf(300),
      answer: { status: 422 },
    },
    { title: 'a proof of nothing', body: request(0, 300, note(headOf(300)), [Buffer.alloc(32)]), answer: { status: 422 } },
    {
      title: 'a log that it does not watch',
      body: request(0, 300, note(headOf(300), { origin: 'example.com/x' })),
      answer: { status: 404 },
    },
    {
      title: 'a key that is not the log’s',
      body: request(0, 300, note(headOf(300), { by: [stranger] })),
      answer: { status: 403 },
    },
    { title: 'an older size that is larger', body: request(301, 300), latest: headOf(300), answer: { status: 400 } },
    { title: 'extension lines', body: request(0, 300, note(headOf(300), { extensions: ['x'] })), answer: { status: 400 } },
    {
      title: 'a note that is no checkpoint',
      body: request(0, 300, Buffer.from(formatNote(signNote({ text: `${ORIGIN}\n`, signatures: [] }, [log])))),
      answer: { status: 400 },
    },
    { title: 'no checkpoint', body: request(0, 300, Buffer.alloc(0)), answer: { status: 400 } },
    {
      title: 'too many hashes',
      body: request(
        100,
        300,
        note(headOf(300)),
        Array.from({ length: 64 }, () => Buffer.alloc(32)),
      ),
      answer: { status: 400 },
    },
    { title: 'nothing', body: Buffer.alloc(0), answer: { status: 400 } },
    {
      title: 'an older size with a zero before it',
      body: Buffer.concat([Buffer.from('old 00\n\n'), note(headOf(300))]),
      answer: { status: 400 },
    },
    {
      title: 'a hash that is none',
      body: Buffer.concat([Buffer.from('old 0\nAAAA\n\n'), note(headOf(300))]),
      answer: { status: 400 },
    },
  ])('answers $answer.status to $title', ({ body, latest, answer }) => {
    expect(ask(body, latest)).toEqual(answer);
  });

  test('with Ed25519 alone cosigns extension lines, which are under its signature', () => {
    const checkpoint = note(headOf(300), { extensions: ['x'] });
    expect(ask(request(0, 300, checkpoint), undefined, [ed25519])).toMatchObject({ status: 200 });
  });

  test('does not cosign two views of one log', () => {
    // The log signs both; the witness has one memory of it.
    const first = ask(request(0, 100), undefined);
    if (first.status !== 200) throw new Error('not cosigned');
    const view = aLog([100], 5);
    const rewritten = aLog([100, 200], 5);
    const path = proveConsistency(100, 300, leavesReader(rewritten.leaves));
    expect(ask(request(100, 300, note(rewritten.head), path), first.latest).status).toBe(422);
    expect(ask(request(100, 300, note(rewritten.head), path), view.head).status).toBe(200);
  });

  test('is asked in the words of C2SP', () => {
    const body = request(100, 300);
    expect(formatAddCheckpoint(parseAddCheckpoint(body))).toEqual(body);
    expect(body.toString().startsWith('old 100\n')).toBe(true);
  });
});

/** A witness with a memory. */
const serve = (keys: WitnessedLog['keys'], origin: string) => {
  let latest: TreeHead | undefined;
  return (body: string): number => {
    const watched = { keys, ...(latest === undefined ? {} : { latest }) };
    const answer = answerAddCheckpoint(Buffer.from(body), (each) => (each === origin ? watched : undefined), [ed25519]);
    if (answer.status === 200) latest = answer.latest;
    return answer.status;
  };
};

/** What torchwood's own witness answers to the same requests (testdata/witness.json). */
describe('a witness answers as torchwood does', () => {
  test('to a log with ML-DSA-44', () => {
    const key = parseVerifierKey(VECTORS.mlDsa.key);
    const answer = serve([verifierOf(key)], key.name);
    for (const [body, status] of VECTORS.mlDsa.requests) expect(answer(body)).toBe(status);
  });

  test('to a log with Ed25519, request by request', () => {
    const origin = 'sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562';
    const key = verifierKey(origin, KEY_TYPE.ed25519, Buffer.from(VECTORS.ed25519.rawKey, 'hex'));
    const answer = serve([verifierOf(key)], origin);
    // The signature of the second is in base64 that nobody writes: no signature here, a wrong one there.
    const expected = VECTORS.ed25519.requests.map(([, status]) => status).with(1, 400);
    expect(VECTORS.ed25519.requests.map(([body]) => answer(body))).toEqual(expected);
  });
});
