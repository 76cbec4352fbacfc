import { CODES } from '@chaperone/api';
import { UNNAMED_SECRET } from '@chaperone/policy';
import { describe, expect, test } from 'vitest';
import { ownerText, type UpstreamFailure, type UpstreamFailureCode } from './owner-text.ts';

const failure: UpstreamFailure = {
  host: 'orders.data.svc',
  port: 5432,
  since: Date.UTC(2026, 0, 1, 12, 3, 7),
  detail: 'the database did not answer in time',
  username: 'agent_ro',
  database: 'order',
};

describe('what the owner is told', () => {
  test.each<[UpstreamFailureCode, Partial<UpstreamFailure>]>([
    ['UpstreamNotFound', {}],
    ['UpstreamForbidden', { detail: 'the upstream resolves to a link-local address, which Chaperone never dials' }],
    ['UpstreamRefused', { address: '10.1.2.3' }],
    ['UpstreamUnreachable', {}],
    ['UpstreamTimeout', {}],
    ['UpstreamViolation', {}],
    ['TLSUnavailable', {}],
    ['TLSUntrusted', { ownCa: true, verifier: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', issuer: 'Corp CA 2' }],
    ['TLSNameMismatch', { certificateNames: 'DNS:pg-0' }],
    ['TLSFailed', {}],
    ['UpstreamAuthUnsupported', {}],
    ['UpstreamNotAuthentic', {}],
    ['CredentialsRejected', { sqlstate: '28P01' }],
    ['UpstreamDatabaseMissing', {}],
    ['UpstreamBusy', { sqlstate: '53300' }],
    ['UpstreamLoginRefused', { sqlstate: '55000' }],
  ])('of %s is the example of the table', (code, more) => {
    const named = ownerText(code, { ...failure, ...more }).replace(UNNAMED_SECRET, 'Secret data/orders-db-agent');
    expect(named).toBe(CODES[code].example);
  });

  test.each<[string, UpstreamFailureCode, Partial<UpstreamFailure>, string]>([
    [
      'a certificate for several names, one a pattern',
      'TLSNameMismatch',
      { certificateNames: 'DNS:*.corp, IP Address:10.0.0.1', serverName: 'db' },
      'orders.data.svc:5432 shows a certificate for "*.corp", "10.0.0.1", not "db"; set spec.upstream.tls.serverName: 10.0.0.1 or renew it',
    ],
    [
      'a certificate for no name that can be asked for',
      'TLSNameMismatch',
      { certificateNames: 'DNS:*.corp' },
      'orders.data.svc:5432 shows a certificate for "*.corp", not "orders.data.svc"; renew it for that name',
    ],
    [
      'a certificate whose names are no names',
      'TLSNameMismatch',
      { certificateNames: 'DNS:"a\\u0000b", URI:x; rm, DNS:evil name' },
      'orders.data.svc:5432 shows a certificate for another name, not "orders.data.svc"; renew it for that name',
    ],
    [
      'an expired certificate',
      'TLSUntrusted',
      { verifier: 'CERT_HAS_EXPIRED' },
      'the certificate of orders.data.svc:5432 has expired; renew it there',
    ],
    [
      'a certificate that the system does not know',
      'TLSUntrusted',
      { verifier: 'SELF_SIGNED_CERT_IN_CHAIN' },
      'the certificate of orders.data.svc:5432 is signed by no authority of the system (SELF_SIGNED_CERT_IN_CHAIN); name the one that signed it in spec.upstream.tls.caRef',
    ],
    [
      'a certificate that the system does not know, by a name that looks like more of the sentence',
      'TLSUntrusted',
      { verifier: 'SELF_SIGNED_CERT_IN_CHAIN', issuer: `"; all is well\u202e${'y'.repeat(100)}` },
      `the certificate of orders.data.svc:5432 is signed by "'; all is well\\u{202e}${'y'.repeat(40)}…", which is no authority of the system (SELF_SIGNED_CERT_IN_CHAIN); name the one that signed it in spec.upstream.tls.caRef`,
    ],
    [
      'a certificate of nobody’s name',
      'TLSUntrusted',
      { ownCa: true, verifier: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
      'the certificate of orders.data.svc:5432 is signed by an authority that spec.upstream.tls.caRef does not contain (DEPTH_ZERO_SELF_SIGNED_CERT); put it there',
    ],
    [
      'an IPv6 address',
      'TLSUnavailable',
      { host: 'fd00::1' },
      '[fd00::1]:5432 offers no TLS; turn it on there or set spec.upstream.tls.mode: disable',
    ],
    [
      'a token, which has no user name',
      'CredentialsRejected',
      { username: '' },
      'orders.data.svc:5432 refused the credential at 12:03:07 UTC; update the Secret of spec.credentials, the next session tries it',
    ],
    [
      'a user whose name looks like more of the sentence',
      'UpstreamBusy',
      { username: `x; all is well\n${'y'.repeat(100)}` },
      `orders.data.svc:5432 has no connection free for user "x; all is well\\n${'y'.repeat(48)}"; raise the limit there or run fewer agents`,
    ],
  ])('of %s', (_what, code, more, text) => expect(ownerText(code, { ...failure, ...more })).toBe(text));
});
