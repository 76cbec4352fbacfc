import { type AccessRequest, type ApprovalDecision, ATTESTED_BY, type RequestStatus } from '@chaperone/api';
import { createLocalJWKSet } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { revoked } from '../approval/grant.ts';
import { askedOf, givenOf } from '../approval/objects.ts';
import { counted } from '../approval/request.ts';
import { audit, type AuditedRequest, isSound } from './audit.ts';
import { readBundle } from './bundle.ts';
import {
  ANSWER,
  aBrowser,
  aCopiedRequest,
  anIssuer,
  aPasskey,
  aPlainDecision,
  aSignedDecision,
  countedBy,
  TERMS,
  type TestIssuer,
} from './bundle.test-support.ts';
import { viewOf, viewText } from './view.ts';

/** A copy that a test may change anywhere, as whoever holds it may. */
type Copy = Record<'request' | 'jane' | 'bob', unknown>;
/** Puts something at a path of it: `jane.spec.reason`. */
function set(path: string, value: unknown): (copy: Copy) => void {
  const members = path.split('.');
  const last = members.pop() ?? '';
  return (copy) => {
    const parent = members.reduce<object>((at, member) => Reflect.get(at, member) as object, copy);
    Reflect.set(parent, last, typeof value === 'function' ? (value as (copy: Copy) => unknown)(copy) : value);
  };
}
/** What stands at another path. */
const from =
  (path: string) =>
  (copy: Copy): unknown =>
    path.split('.').reduce<unknown>((at, member) => Reflect.get(at as object, member), copy);

let issuer: TestIssuer;
let request: AccessRequest;
let jane: ApprovalDecision;
let bob: ApprovalDecision;
beforeAll(async () => {
  issuer = await anIssuer();
  const asked = aCopiedRequest();
  jane = await aSignedDecision(asked, { issuer });
  bob = await aSignedDecision(asked, { issuer, mods: { by: 'bob@corp' }, passkey: aPasskey(), after: 1_000 });
  request = countedBy(asked, [jane, bob], { state: 'Ran', result: 'UPDATE 1' });
});

const proofs = (mods = {}) => ({ terms: { ...TERMS, ...mods }, keys: issuer.keys });
async function auditOf(objects: readonly unknown[], mods = {}): Promise<AuditedRequest[]> {
  return await audit(readBundle(JSON.parse(JSON.stringify(objects)) as unknown[]), proofs(mods));
}
/** The verdict on the request, then those on its decisions: each with its code. */
function verdicts(found: readonly AuditedRequest[]): string[] {
  return found.flatMap(({ verdict, code, decisions }) => [
    [verdict, code].filter(Boolean).join(' '),
    ...decisions.map((each) => [each.verdict, each.code].filter(Boolean).join(' ')),
  ]);
}
const changed = async (change: (copy: Copy) => void): Promise<AuditedRequest[]> => {
  const copy = structuredClone({ request, jane, bob });
  change(copy);
  const found = await auditOf(Object.values(copy));
  expect(found.every(isSound)).toBe(false);
  return found;
};

/** The rows of a view as text: `Label: value`. */
const drawnOf = (spec: Partial<AccessRequest['spec']>, rule = {}): string[] =>
  viewOf(aCopiedRequest(spec, { grant: 3600, ...rule })).rows.map(
    ([label, value]) => `${label}: ${value.map(([, text]) => text).join('')}`,
  );

/** The request as it was at another time. */
const copyWith = (mods: RequestStatus, resourceVersion?: string): AccessRequest => ({
  ...request,
  metadata: { ...request.metadata, ...(resourceVersion !== undefined && { resourceVersion }) },
  status: { ...request.status, ...mods },
});

const unapproved = (resourceVersion?: string): AccessRequest =>
  copyWith({ decidedAt: '2026-01-01T11:59:30.000Z' }, resourceVersion);

describe('a bundle as an honest operator left it', () => {
  it('says of each decision whose it is and how sure, and that the state follows', async () => {
    const [found, ...more] = await auditOf([{ kind: 'List', apiVersion: 'v1', items: [request, jane, bob] }]);
    expect(more).toEqual([]);
    expect(found).toMatchObject({ verdict: 'follows', state: 'Ran', outcome: 'Approved', votes: '2/2' });
    expect(found?.decisions).toMatchObject([
      { by: 'jane@corp', groups: ['dba'], assurance: 'signed', verdict: 'valid', counted: true },
      { by: 'bob@corp', groups: ['dba'], assurance: 'passkey', verdict: 'valid', counted: true },
    ]);
    expect(found !== undefined && isSound(found)).toBe(true);
  });

  it('holds for a time that was signed, and for a page that was drawn before what it meets was known', async () => {
    const asked = aCopiedRequest({ template: 'c'.repeat(64) }, { minimum: 1, grant: 3600 });
    const granted = await aSignedDecision(asked, { issuer, mods: { grantFor: 600 } });
    const { preview: _, ...early } = asked.status ?? {};
    const first = await aSignedDecision({ ...asked, status: early }, { issuer });
    const later = { ...asked, status: { ...early, preview: { estimate: 4, count: 3 } } };
    for (const decision of [granted, first])
      expect(verdicts(await auditOf([countedBy(later, [decision]), decision]))).toEqual(['follows', 'valid']);
  });

  it('says of what the API server alone vouches for that nothing can be verified', async () => {
    const asked = aCopiedRequest({}, { minimum: 1, assurance: 'kubernetes' });
    const own = aPlainDecision(asked);
    expect(verdicts(await auditOf([countedBy(asked, [own]), own]))).toEqual(['follows', 'unverifiable']);
  });

  it('needs neither terms nor keys where nothing is signed, and does not pass where something is', async () => {
    expect(await audit(readBundle([aCopiedRequest()]), undefined)).toMatchObject([{ verdict: 'follows', decisions: [] }]);
    await expect(audit(readBundle([request, jane]), undefined)).rejects.toThrow('need terms and keys');
  });

  it('may have been drawn before anybody had looked at the rows', async () => {
    const looked = { ...request, status: { ...request.status, preview: { count: 3 } } };
    expect(verdicts(await auditOf([looked, jane, bob]))).toEqual(['follows', 'valid', 'valid']);
  });

  it('takes the same object twice, as it was at two times', async () => {
    expect(verdicts(await auditOf([aCopiedRequest(), request, jane, bob, jane]))).toEqual(['follows', 'valid', 'valid']);
  });

  it('passes over other kinds, and says how many', () => {
    expect(
      readBundle([{ kind: 'Pod' }, null, 7, [], { kind: { toString: 1 } }, { kind: 'List', items: [{ kind: 'ConfigMap' }] }]),
    ).toMatchObject({
      others: 6,
    });
  });

  it('draws a request as it did before: other words make decisions of before uncheckable', () => {
    expect(viewText(aCopiedRequest()).shown).toMatchInlineSnapshot(
      `"713ccd6385f670b567caf229ae0dac0206e9ce40ed9b8af0476e9c941989e513"`,
    );
    const escalation = { at: '2026-01-01T12:02:00Z', groups: ['sre'], users: [] };
    const template = { template: 'c'.repeat(64), templateText: 'update tickets set status = ?' };
    expect(viewText(aCopiedRequest(template, { grant: 3600, escalation })).shown).toMatchInlineSnapshot(
      `"55e808cca6dd861c950dca75644eba57a687f15731451b5871cc9e8b227b025b"`,
    );
  });
});

describe('a view, which is what people sign,', () => {
  const template = `9c1f44ab${'c'.repeat(56)}`;

  it('says on which day others may decide too', () => {
    const escalation = { at: '2026-01-01T12:02:00Z', groups: ['sre'], users: [] };
    expect(drawnOf({}, { escalation }).join('\n')).toContain(', from 2026-01-01 12:02:00Z also of group sre');
  });

  it('says which pod and which template a grant is for, and none where there is nothing to grant', () => {
    const rows = drawnOf({ template, templateText: 'update tickets set status = ?' });
    expect(rows.filter((row) => row.startsWith('Again')).slice(2)).toEqual([
      'Again: pod with the UID pod-1',
      'Again: sealed without its values as 9c1f-44ab-cccc-cccc, the first 64 bits of its template',
      'Again, any ?: update tickets set status = ?',
    ]);
    expect(drawnOf({}).filter((row) => row.startsWith('Again'))).toEqual([]);
  });

  it('offers nothing for some time whose text without values is not told', () => {
    expect(drawnOf({ template }).filter((row) => row.startsWith('Again'))).toEqual([]);
    expect(viewOf(aCopiedRequest({ template }, { grant: 3600 })).grants).toEqual([]);
  });
});

describe('copies of one request', () => {
  it.each<[string, () => object[], string]>([
    ['one of which ran unapproved, as the last', () => [aCopiedRequest(), unapproved()], 'contradicted StateContradicted'],
    ['one of which ran unapproved, as the first', () => [unapproved(), aCopiedRequest()], 'contradicted StateContradicted'],
    ['an older one of which ran unapproved', () => [copyWith({}, '12'), unapproved('9')], 'contradicted StateContradicted'],
    ['that came to two ends', () => [request, copyWith({ state: 'Failed' })], 'unreadable CopiesDiffer'],
    [
      'one of which expired after it ran',
      () => [copyWith({}, '9'), copyWith({ state: 'Expired' }, '12')],
      'unreadable CopiesDiffer',
    ],
    [
      'of which there are too many',
      () => Array.from({ length: 65 }, (_, at) => copyWith({ asked: at + 1 })),
      'unreadable CopiesDiffer',
    ],
  ])('%s are found out', async (_, copies, expected) => {
    const found = await auditOf([...copies(), jane, bob]);
    expect(verdicts(found)[0]).toBe(expected);
    expect(found.every(isSound)).toBe(false);
  });

  it('are told as the newest is, by its version or else by how far it came', async () => {
    const released = copyWith({ state: 'Released' }, '10');
    const ran = copyWith({}, '9');
    expect(await auditOf([released, ran, jane, bob])).toMatchObject([{ state: 'Released', verdict: 'follows' }]);
    expect(await auditOf([request, copyWith({ state: 'Released' }), aCopiedRequest(), jane, bob])).toMatchObject([
      { state: 'Ran', verdict: 'follows' },
    ]);
  });
});

describe('a decision is found out that', () => {
  it.each<[string, (copy: Copy) => void, string[]]>([
    [
      'says the other answer',
      set('jane.spec.decision', 'Deny'),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'has another reason',
      set('jane.spec.reason', 'x'),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'has another digest',
      set('jane.spec.digest', '0'.repeat(64)),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'has the UID of another request',
      set('jane.spec.requestUid', 'uid-of-another'),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'says another person',
      set('jane.spec.by', 'eve@corp'),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'says another group',
      set('jane.spec.groups', ['security']),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'grants what nobody signed',
      set('jane.spec.grantFor', 3600),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'has the proof of somebody else',
      set('jane.spec.attestation', from('bob.spec.attestation')),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'has a key that is not in the nonce',
      set('jane.spec.attestation.key', from('bob.spec.attestation.key')),
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    [
      'says to be of another time',
      set('jane.spec.attestation.signedAt', '2026-01-01T13:00:00Z'),
      ['contradicted StateContradicted', 'invalid DecisionSignedLate', 'valid'],
    ],
    [
      'was written long after',
      set('bob.metadata.creationTimestamp', '2026-01-01T12:03:00Z'),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionSignedLate'],
    ],
    [
      'says passkey and has none',
      set('jane.spec.attestation.assurance', 'passkey'),
      ['contradicted StateContradicted', 'invalid DecisionPasskeyInvalid', 'valid'],
    ],
    [
      'has another passkey’s signature',
      set('bob.spec.attestation.assertion.signature', from('jane.spec.attestation.signature')),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionPasskeyInvalid'],
    ],
    [
      'has an assurance that nobody knows',
      set('jane.spec.attestation.assurance', 'quantum'),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionUnreadable'],
    ],
    [
      'has a field that nobody knows',
      set('jane.spec.onlyOnMondays', true),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionUnreadable'],
    ],
    [
      'has a proof with a field that nobody knows',
      set('jane.spec.attestation.quorum', 1),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionUnreadable'],
    ],
    [
      'is of no time',
      set('jane.metadata.creationTimestamp', 'soon'),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionUnreadable'],
    ],
    [
      'has a token of 8 KiB and one more',
      set('jane.spec.attestation.idToken', `a.b.${'c'.repeat(8189)}`),
      ['contradicted StateContradicted', 'valid', 'invalid DecisionUnreadable'],
    ],
    [
      'has lost its proof, and was written by the operator',
      (copy) => {
        set('jane.spec.attestation', undefined)(copy);
        set('jane.metadata.annotations', { [ATTESTED_BY]: 'page' })(copy);
      },
      ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid', 'valid'],
    ],
    ['has lost its proof', set('jane.spec.attestation', undefined), ['contradicted StateContradicted', 'unverifiable', 'valid']],
  ])('%s', async (_, change, expected) => expect(verdicts(await changed(change))).toEqual(expected));

  it('is an approval that the operator wrote without a proof; a denial that it heard in chat is none the worse', async () => {
    const asked = aCopiedRequest({}, { minimum: 1, assurance: 'kubernetes' });
    const heard = (decision: 'Approve' | 'Deny'): ApprovalDecision => {
      const plain = aPlainDecision(asked, { decision });
      return { ...plain, metadata: { ...plain.metadata, annotations: { [ATTESTED_BY]: 'slack' } } };
    };
    const [yes, no] = [heard('Approve'), heard('Deny')];
    const found = ['contradicted StateContradicted', 'invalid DecisionSignatureInvalid'];
    expect(verdicts(await auditOf([countedBy(asked, [yes], { state: 'Ran' }), yes]))).toEqual(found);
    expect(verdicts(await auditOf([countedBy(asked, [no]), no]))).toEqual(['follows', 'unverifiable']);
  });

  it('is on a request that is not here', async () => {
    expect(verdicts(await auditOf([jane]))).toEqual(['missing RequestMissing', 'valid']);
    expect(verdicts(await changed(set('jane.metadata.namespace', 'other')))).toEqual([
      'contradicted StateContradicted',
      'valid',
      'missing RequestMissing',
      'invalid DecisionSignatureInvalid',
    ]);
  });

  it('is there twice, and differs', async () => {
    const other = { ...jane, spec: { ...jane.spec, reason: 'x' } };
    expect(verdicts(await auditOf([request, jane, bob, other, jane]))).toEqual([
      'contradicted StateContradicted',
      'valid',
      'invalid CopiesDiffer',
    ]);
  });

  it('was signed for another client, or by another issuer', async () => {
    for (const claims of [{ aud: 'kubernetes' }, { iss: 'https://evil.example' }, { email_verified: false }]) {
      const foreign = await aSignedDecision(request, { issuer, claims });
      expect(verdicts(await auditOf([request, foreign, bob]))).toContain('invalid DecisionTokenInvalid');
    }
    const keys = createLocalJWKSet({ keys: [(await anIssuer()).jwk] });
    const found = await audit(readBundle([request, jane, bob]), { terms: TERMS, keys });
    expect(verdicts(found).slice(1)).toEqual(['invalid DecisionTokenInvalid', 'invalid DecisionTokenInvalid']);
  });

  it('was signed by a passkey on another page', async () => {
    for (const site of [
      { origin: 'https://evil.example', rpId: 'decide.corp' },
      { origin: 'https://decide.corp', rpId: 'evil.example' },
    ]) {
      const lured = await aSignedDecision(request, { issuer, passkey: aPasskey(), site });
      expect(verdicts(await auditOf([request, lured, bob]))).toContain('invalid DecisionPasskeyInvalid');
    }
    const site = { origin: 'https://elsewhere.corp', rpId: 'elsewhere.corp' };
    expect(verdicts(await auditOf([request, jane, bob], { site }))).toContain('invalid DecisionPasskeyInvalid');
  });

  it.each<[string, () => Promise<[object, object]>]>([
    ['account at the issuer', async () => [{ claims: { sub: 'u1' } }, { claims: { sub: 'u1' } }]],
    ['browser’s key', async () => await aBrowser().then((browser) => [{ browser }, { browser }])],
    ['passkey', async () => await Promise.resolve(aPasskey()).then((passkey) => [{ passkey }, { passkey }])],
  ])('is by a person who decided already under another name, with the same %s', async (_, pair) => {
    const [one, other] = await pair();
    const asked = aCopiedRequest();
    const first = await aSignedDecision(asked, { issuer, ...one });
    const second = await aSignedDecision(asked, { issuer, mods: { by: 'jane2@corp' }, after: 1_000, ...other });
    const found = await auditOf([countedBy(asked, [first, second]), first, second]);
    expect(verdicts(found)).toEqual(['contradicted StateContradicted', 'valid', 'invalid DecisionRepeated']);
  });
});

describe('a request is found out whose', () => {
  it.each<[string, (copy: Copy) => void, string[]]>([
    ['digest is another', set('request.spec.digest', '0'.repeat(64)), ['contradicted StateContradicted', 'valid', 'valid']],
    [
      'text is another',
      set('request.spec.text', 'select 1'),
      ['contradicted StateContradicted', 'invalid DecisionShownOther', 'invalid DecisionShownOther'],
    ],
    [
      'expiry is another',
      set('request.spec.expiresAt', '2026-01-02T00:00:00Z'),
      ['contradicted StateContradicted', 'invalid DecisionShownOther', 'invalid DecisionShownOther'],
    ],
    [
      'rules ask other groups',
      set('request.spec.rules.0.groups', ['dev']),
      ['contradicted StateContradicted', 'invalid DecisionShownOther', 'invalid DecisionShownOther'],
    ],
    [
      'rules want fewer people',
      set('request.spec.rules.0.minimum', 1),
      ['contradicted StateContradicted', 'invalid DecisionShownOther', 'invalid DecisionShownOther'],
    ],
    ['expiry is no time', set('request.spec.expiresAt', 'never'), ['unreadable RequestUnreadable', 'valid', 'valid']],
    [
      'rules have a field that nobody knows',
      set('request.spec.rules.0.unless', 'x'),
      ['unreadable RequestUnreadable', 'valid', 'valid'],
    ],
    ['UID is gone', set('request.metadata.uid', undefined), ['unreadable RequestUnreadable', 'valid', 'valid']],
    ['UID is another', set('request.metadata.uid', 'uid-of-another'), ['contradicted StateContradicted', 'valid', 'valid']],
    [
      'state says denied, and nobody did',
      set('request.status.state', 'Denied'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    [
      'approvals came after it ran',
      set('request.status.decidedAt', '2026-01-01T11:59:30.000Z'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    ['state says no time', set('request.status.decidedAt', undefined), ['contradicted StateContradicted', 'valid', 'valid']],
    [
      'approval is of a time long after it expired',
      set('request.status.decidedAt', '2026-01-01T12:05:01Z'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    [
      'approval is of a time long before it was asked for',
      set('request.metadata.creationTimestamp', '2026-01-01T12:01:02Z'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    [
      'grant was ended by nobody',
      set('request.status.revokedBy', 'bob@corp'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    [
      'state says a grant that nobody gave',
      set('request.status.grantedUntil', '2026-01-01T20:00:00Z'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    [
      'status says more of a decision than it is',
      set('request.status.decisions.0.assurance', 'passkey'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
    [
      'status says another person of a decision',
      set('request.status.decisions.0.by', 'eve@corp'),
      ['contradicted StateContradicted', 'valid', 'valid'],
    ],
  ])('%s', async (_, change, expected) => expect(verdicts(await changed(change))).toEqual(expected));

  it('decision is gone, and it says to have counted it', async () => {
    const [found] = await auditOf([request, jane]);
    expect(found).toMatchObject({ verdict: 'missing', code: 'DecisionMissing', outcome: 'Pending', votes: '1/2' });
    expect(found?.message).toBe(`it counts ${bob.metadata.name}, which is not here`);
  });

  it('two approvals are one person’s', async () => {
    const asked = aCopiedRequest();
    const one = await aSignedDecision(asked, { issuer });
    const again = await aSignedDecision(asked, { issuer });
    const found = await auditOf([{ ...countedBy(asked, [one, again]), status: { state: 'Ran' } }, one, again]);
    expect(verdicts(found)).toEqual(['contradicted StateContradicted', 'valid', 'valid']);
    expect(found[0]?.message).toBe('it says Ran, and its decisions come to Pending with 1/2 approvals');
  });

  it('approvals lack one of a group that has to', async () => {
    const asked = aCopiedRequest({}, { all: ['security'] });
    const pair = [await aSignedDecision(asked, { issuer }), await aSignedDecision(asked, { issuer, mods: { by: 'bob@corp' } })];
    expect(verdicts(await auditOf([{ ...asked, status: { state: 'Approved' } }, ...pair]))[0]).toBe(
      'contradicted StateContradicted',
    );
  });

  it('approval is the agent’s own person’s', async () => {
    const asked = aCopiedRequest({}, { minimum: 1, users: ['mira@corp'] });
    const own = await aSignedDecision(asked, { issuer, mods: { by: 'mira@corp' } });
    const [found] = await auditOf([{ ...asked, status: { state: 'Ran' } }, own]);
    expect(found).toMatchObject({ verdict: 'contradicted', decisions: [{ verdict: 'valid', counted: false }] });
    expect(found?.decisions[0]?.why).toBe('nobody decides on a request of their own');
  });

  it('approval is less than its rule wants', async () => {
    const asked = aCopiedRequest({}, { minimum: 1, assurance: 'passkey' });
    const signed = await aSignedDecision(asked, { issuer });
    expect(verdicts(await auditOf([{ ...asked, status: { state: 'Ran' } }, signed]))[0]).toBe('contradicted StateContradicted');
  });

  it('denial came before it was decided, and it ran; one that came later is no fault', async () => {
    const asked = aCopiedRequest({}, { minimum: 1, assurance: 'kubernetes' });
    const yes = aPlainDecision(asked, {}, -10_000);
    const no = (after: number): ApprovalDecision => aPlainDecision(asked, { by: 'eve@corp', decision: 'Deny' }, after);
    const ran = { ...countedBy(asked, [yes], { state: 'Ran' }) };
    expect(verdicts(await auditOf([ran, yes, no(-20_000)]))[0]).toBe('contradicted StateContradicted');
    expect(verdicts(await auditOf([ran, yes, no(10_000)]))[0]).toBe('follows');
  });
});

describe('what people granted', () => {
  const template = 'c'.repeat(64);
  const rule = { minimum: 1, assurance: 'kubernetes', grant: 3600 } as const;
  const templateText = 'update tickets set status = ?';
  const first = aCopiedRequest({ template, templateText }, rule);
  const yes = aPlainDecision(first, { grantFor: 600 });
  const granting = countedBy(first, [yes], { state: 'Ran' });
  const until = granting.status?.grantedUntil ?? '';
  const again = (decidedAt: string, spec = {}): AccessRequest => {
    const expiresAt = new Date(Date.parse(decidedAt) + 300_000).toISOString();
    const asked = aCopiedRequest({ template, grantedBy: ANSWER.name, expiresAt, ...spec }, rule, `ar-${'b'.repeat(16)}`);
    const metadata = { ...asked.metadata, creationTimestamp: decidedAt.replace('.000', '') };
    return { ...asked, metadata, status: { state: 'Ran', decidedAt, decisions: granting.status?.decisions ?? [] } };
  };
  const soon = '2026-01-01T12:05:00.000Z';
  const made = (creationTimestamp: string): AccessRequest => {
    const { metadata, ...rest } = again(soon);
    return { ...rest, metadata: { ...metadata, creationTimestamp } };
  };
  const granted = (mods: RequestStatus): AccessRequest => ({ ...granting, status: { ...granting.status, ...mods } });
  const [effect] = first.spec.effects;
  const no = (after: number): ApprovalDecision => aPlainDecision(first, { by: 'eve@corp', decision: 'Deny' }, after);

  it('covers what ran by it, as long as it lasts', async () => {
    expect(until).toBe('2026-01-01T12:10:01.500Z');
    for (const each of [again(soon), again(soon, { templateText }), again('2026-01-01T12:00:01.000Z')])
      expect(verdicts(await auditOf([granting, yes, each]))).toEqual(['follows', 'unverifiable', 'follows']);
  });

  it('that reached nothing any more covers what ran before, of a request that was never used too', async () => {
    const grantEnded = { at: '2026-01-01T12:05:30.000Z', why: 'its policy changed' };
    for (const mods of [{ grantEnded }, { grantEnded, state: 'Voided' as const }]) {
      const over = granted(mods);
      expect(verdicts(await auditOf([over, yes, again(soon)]))).toEqual(['follows', 'unverifiable', 'follows']);
      const later = await auditOf([over, yes, again('2026-01-01T12:06:00.000Z')]);
      expect(verdicts(later)[2]).toBe('contradicted StateContradicted');
    }
  });

  it('is nothing where the operator heard of it too late, which is no fault', async () => {
    const late = { ...first, status: counted(askedOf(first), {}, [givenOf(yes)], Date.parse('2026-01-01T12:09:00Z')) };
    expect(late.status).toMatchObject({ state: 'Expired', grantedUntil: '2026-01-01T12:19:00.000Z' });
    expect(verdicts(await auditOf([late, yes]))).toEqual(['follows', 'unverifiable']);
    expect(verdicts(await auditOf([late, yes, again('2026-01-01T12:10:00.000Z')]))[2]).toBe('contradicted StateContradicted');
  });

  it('may be ended by a Deny when it is too late to deny the request itself, and covers what ran before', async () => {
    const late = no(420_000);
    const ended = revoked(
      askedOf(first),
      granting.status ?? {},
      [givenOf(late)],
      Date.parse(late.metadata.creationTimestamp ?? ''),
    );
    expect(ended?.revokedBy).toBe('eve@corp');
    const objects = [{ ...granting, status: ended }, yes, late, again(soon)];
    expect(verdicts(await auditOf(objects))).toEqual(['follows', 'unverifiable', 'unverifiable', 'follows']);
  });

  it.each<[string, readonly object[], string]>([
    ['after it', [granting, yes, again('2026-01-01T12:10:02.000Z')], 'contradicted StateContradicted'],
    ['for something else', [granting, yes, again(soon, { template: 'd'.repeat(64) })], 'contradicted StateContradicted'],
    [
      'for another agent',
      [granting, yes, again(soon, { agent: { serviceAccount: 'other', purpose: '' } })],
      'contradicted StateContradicted',
    ],
    ['without what granted it', [again(soon)], 'missing DecisionMissing'],
    [
      'with nothing that says what was counted',
      [{ ...again(soon), status: { state: 'Ran', decidedAt: soon } }],
      'contradicted RequestMissing',
    ],
    ['where nobody approved that', [granting, again(soon)], 'missing DecisionMissing'],
    ['after somebody ended it', [granting, yes, no(60_000), again(soon)], 'contradicted StateContradicted'],
    ['before it was given', [granting, yes, again('2026-01-01T11:59:50.000Z')], 'contradicted StateContradicted'],
    [
      'though it was asked for before it was given',
      [granting, yes, made('2026-01-01T11:59:50Z')],
      'contradicted StateContradicted',
    ],
    ['before it was asked for', [granting, yes, made('2026-01-01T12:05:06Z')], 'contradicted StateContradicted'],
    ['before it was asked for, after the end', [granting, yes, made('2026-01-01T13:00:00Z')], 'contradicted StateContradicted'],
    [
      'by the same template, with another text of it',
      [granting, yes, again(soon, { templateText: 'drop table customers' })],
      'contradicted StateContradicted',
    ],
    [
      'by the same template, with another effect',
      [granting, yes, again(soon, { effects: [{ ...effect, verb: 'drop' }] })],
      'contradicted StateContradicted',
    ],
    [
      'by the same template, with one more effect',
      [granting, yes, again(soon, { effects: [effect, { ...effect, object: 'public.customers' }] })],
      'contradicted StateContradicted',
    ],
    [
      'where it says no time of its approval',
      [granted({ decidedAt: undefined, grantedUntil: '2099-01-01T00:00:00Z' }), yes, again('2098-01-01T00:00:00.000Z')],
      'contradicted StateContradicted',
    ],
    [
      'where it was approved a day after it expired',
      [
        granted({ decidedAt: '2026-01-02T12:00:00Z', grantedUntil: '2026-01-02T12:10:00Z' }),
        yes,
        again('2026-01-02T12:05:00.000Z'),
      ],
      'contradicted StateContradicted',
    ],
    ['where it grants nothing', [granted({ grantedUntil: undefined }), yes, again(soon)], 'contradicted StateContradicted'],
    [
      'where nobody ended it who is said to have',
      [granted({ revokedBy: 'eve@corp' }), yes, again(soon)],
      'contradicted StateContradicted',
    ],
    ...(['Withdrawn', 'Voided', 'Expired'] as const).map((state): [string, readonly object[], string] => [
      `where it is ${state}`,
      [granted({ state }), yes, again(soon)],
      'contradicted StateContradicted',
    ]),
  ])('does not cover what ran %s', async (_, objects, expected) => {
    expect(verdicts(await auditOf(objects)).at(-1)).toBe(expected);
  });

  it('is signed for the time that was chosen, and for no other', async () => {
    const asked = aCopiedRequest({ template }, { ...rule, assurance: 'signed' });
    const signed = await aSignedDecision(asked, { issuer, mods: { grantFor: 600 } });
    const after = countedBy(asked, [signed], { state: 'Ran' });
    expect(verdicts(await auditOf([after, signed]))).toEqual(['follows', 'valid']);
    for (const grantFor of [601, undefined]) {
      const other = { ...signed, spec: { ...signed.spec, grantFor } };
      expect(verdicts(await auditOf([after, other]))).toEqual([
        'contradicted StateContradicted',
        'invalid DecisionSignatureInvalid',
      ]);
    }
  });

  it('is not longer than what was wished', async () => {
    const longer = { ...granting, status: { ...granting.status, grantedUntil: '2026-01-01T12:30:00.000Z' } };
    expect(verdicts(await auditOf([longer, yes]))[0]).toBe('contradicted StateContradicted');
  });
});
