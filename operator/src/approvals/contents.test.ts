import type { AccessRequest, RequestStatus } from '@chaperone/api';
import { REQUEST_STATES } from '@chaperone/api';
import { isOpen } from '@chaperone/api/requests';
import { MAX_LOOKED_BYTES } from '@chaperone/policy';
import { describe, expect, it } from 'vitest';
import { anAccessRequest } from '../notify/request.test-support.ts';
import { Contents } from './contents.ts';

const ROWS = { columns: ['id'], rows: [['811'], [null]] };
const aRequest = (uid: string, status: RequestStatus = {}, text?: string): AccessRequest => {
  const made = anAccessRequest({ status: { state: 'Pending', preview: { count: 2 }, ...status }, spec: text ? { text } : {} });
  return { ...made, metadata: { ...made.metadata, uid } };
};

describe('what is kept beside a request', () => {
  it('is there while it is open', () => {
    const contents = new Contents();
    contents.keep('a', ROWS);
    expect(contents.of(aRequest('a'))).toEqual(ROWS);
    expect(contents.of(aRequest('a', { state: 'Approved' }))).toEqual(ROWS);
  });
  it.each(REQUEST_STATES.filter((state) => !isOpen(state)))('is not there once it is %s', (state) => {
    const contents = new Contents();
    contents.keep('a', ROWS);
    expect(contents.of(aRequest('a', { state }))).toBe('what it meets and its whole text went when the request was over');
  });
  it('is not that of another request of the same name', () => {
    const contents = new Contents();
    contents.keep('a', ROWS);
    expect(contents.of(aRequest('b'))).not.toEqual(ROWS);
  });
  it.each<[string, RequestStatus, string | undefined, boolean]>([
    ['rows were counted', {}, undefined, true],
    ['no row was met', { preview: { count: 0 } }, undefined, false],
    ['nobody could look', { preview: { why: 'x' } }, undefined, false],
    ['nobody has looked', { preview: undefined }, undefined, false],
    ['nobody could look, and the text is cut', { preview: { why: 'x' } }, 'x'.repeat(8192), true],
  ])('is missed by a new leader where there was anything: %s', (_, status, text, isMissed) => {
    const why = 'what it meets and its whole text were in the memory of an operator that leads no more, and nowhere else';
    expect(new Contents().of(aRequest('a', status, text))).toBe(isMissed ? why : undefined);
  });
  it('has bounded room: the oldest gives way, and that is said for the last thousand', () => {
    const contents = new Contents(1000);
    const text = 'x'.repeat(300);
    for (let at = 0; at < 1100; at++) contents.keep(`uid-${at}`, { text });
    expect(contents.bytes).toBeLessThanOrEqual(1000);
    const answers = ['uid-1099', 'uid-1098', 'uid-1097', 'uid-1096', 'uid-97', 'uid-0'].map((uid) => contents.of(aRequest(uid)));
    const [gaveWay, leads] = [
      expect.stringContaining('gave way to those of newer requests'),
      expect.stringContaining('leads no more'),
    ];
    expect(answers).toEqual([{ text }, { text }, { text }, gaveWay, gaveWay, leads]);
  });
  it('of one request fits, as large as a message can be', () => {
    const contents = new Contents();
    contents.keep('a', { text: 'x'.repeat(MAX_LOOKED_BYTES) });
    expect(contents.of(aRequest('a'))).toMatchObject({ text: expect.any(String) as string });
  });
  it('that is told again, or forgotten, leaves no bytes behind', () => {
    const contents = new Contents();
    for (let times = 0; times < 3; times++) contents.keep('a', ROWS);
    expect(contents.bytes).toBe(Buffer.byteLength(JSON.stringify(ROWS)));
    contents.forget('a');
    contents.forget('a');
    contents.forget('b');
    expect(contents.bytes).toBe(0);
  });
});
