import { AccessRequest } from '@chaperone/api';
import { KINDS } from '@chaperone/kube';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { decisionMessage, readIdToken, viewText } from '@chaperone/policy/attest';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { aBrowser, anIssuer, TERMS } from '@chaperone/policy/attest/test-support';
import { anAccessRequest, REQUEST } from '../notify/request.test-support.ts';
import { DecideDesk } from './desk.ts';
import { Session } from './sessions.ts';

const AT = { namespace: 'agents', name: REQUEST };
let api: FakeApiServer;

beforeEach(async () => {
  api = await startFakeApiServer();
  api.intercept = ({ method, url, body }, response) => {
    if (method !== 'POST' || !url.pathname.endsWith('reviews')) return false;
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ ...body, status: { allowed: true } }));
    return true;
  };
  api.put(KINDS.accessRequests, anAccessRequest());
});
afterEach(() => api.close());

/** What somebody who signed in answers on the page, once and again. @returns The decision's name. */
async function somebody(): Promise<(reason: string) => Promise<string>> {
  const [issuer, browser] = [await anIssuer(), await aBrowser()];
  const seconds = Math.floor(Date.now() / 1000);
  const idToken = await issuer.sign(browser.nonce, { email: 'alice@corp', groups: ['dba'], iat: seconds, exp: seconds + 3000 });
  const session = new Session(idToken, await readIdToken(idToken, TERMS, issuer.keys));
  const desk = new DecideDesk({
    kube: api.kube,
    terms: TERMS,
    keys: issuer.keys,
    passkeys: { of: () => Promise.resolve([]) } as never,
    contentOf: () => undefined,
    now: Date.now,
    onPasskey: () => undefined,
  });
  return async (reason) => {
    const { challenge } = await desk.sheet(session, AT);
    const { metadata, spec } = AccessRequest.parse(api.get(KINDS.accessRequests, AT));
    const { shown } = viewText(AccessRequest.parse(api.get(KINDS.accessRequests, AT)));
    const uid = metadata.uid ?? '';
    const said = { uid, digest: spec.digest, decision: 'Deny' as const, reason, challenge, shown };
    const signature = await browser.signBytes(decisionMessage({ ...AT, ...said }));
    return await desk.decide(session, AT, { ...said, key: browser.key, opening: browser.opening, signature });
  };
}
function count(name: string, counted: boolean): void {
  const decision = api.get(KINDS.approvalDecisions, { ...AT, name });
  api.put(KINDS.approvalDecisions, { ...decision, status: { counted } });
}

test('an answer that did not count may be given again, and one that counts or may still count is given once', async () => {
  const deny = await somebody();
  const first = await deny('too early');
  await expect(deny('again')).rejects.toMatchObject({ code: 'AnswerGiven' });
  count(first, false);
  const second = await deny('now');
  expect(second).toBe(`${first}-2`);
  count(second, true);
  await expect(deny('once more')).rejects.toMatchObject({ code: 'AnswerGiven' });
});

test('answers that do not count end too', async () => {
  const deny = await somebody();
  for (let times = 0; times < 4; times += 1) count(await deny(`try ${times}`), false);
  await expect(deny('once more')).rejects.toMatchObject({ code: 'AnswerGiven' });
});
