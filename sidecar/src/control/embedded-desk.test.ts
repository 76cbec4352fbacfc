import { describe, expect, it } from 'vitest';
import { systemClock } from '../platform.ts';
import { EmbeddedDesk } from './embedded-desk.ts';

describe('an answer without a cluster', () => {
  it('is not taken for a signed one, whatever it says', () => {
    const desk = new EmbeddedDesk({ snapshot: () => undefined, clock: systemClock });
    const attestation = {
      assurance: 'passkey',
      idToken: 'a.b.c',
      key: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' },
      opening: 'o',
      challenge: 'c',
      shown: 'a'.repeat(64),
      signature: 's',
      signedAt: '2026-01-01T00:00:00Z',
    };
    const spec = { request: `ar-${'a'.repeat(16)}`, requestUid: 'u', digest: 'a'.repeat(64), decision: 'Approve', by: 'jane' };
    expect(() => desk.decide(spec)).toThrow('no request');
    expect(() => desk.decide({ ...spec, attestation })).toThrow('an answer cannot be signed here');
    desk.stop();
  });
});
