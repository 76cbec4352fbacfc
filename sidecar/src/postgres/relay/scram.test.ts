import { assert, asyncProperty, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prepare, ScramClient, type ScramOptions } from './scram.ts';

const PLAIN = ['SCRAM-SHA-256'];
const BOTH = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];

/** The exchange of RFC 7677 §3. */
const rfc = {
  options: { password: 'pencil', username: 'user', nonce: 'rOprNGfwEbeRWgbNEkqO', mechanisms: PLAIN, endPoint: undefined },
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};

function client(mods: Partial<ScramOptions> = {}): ScramClient {
  return new ScramClient({ ...rfc.options, ...mods });
}

describe('ScramClient', () => {
  it('speaks the exchange of RFC 7677', async () => {
    const scram = client();
    expect(scram.mechanism).toBe('SCRAM-SHA-256');
    expect(scram.first.toString()).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
    expect((await scram.respond(Buffer.from(rfc.serverFirst))).toString()).toBe(rfc.clientFinal);
    expect(() => scram.verify(Buffer.from(rfc.serverFinal))).not.toThrow();
  });

  it('binds to the channel exactly where both sides can, and says so where only the server cannot', () => {
    const endPoint = Buffer.alloc(32, 7);
    expect(client({ mechanisms: BOTH, endPoint })).toMatchObject({ mechanism: 'SCRAM-SHA-256-PLUS' });
    expect(client({ mechanisms: BOTH, endPoint }).first.toString()).toMatch(/^p=tls-server-end-point,,/);
    expect(client({ mechanisms: PLAIN, endPoint }).first.toString()).toMatch(/^y,,/);
    expect(client({ mechanisms: BOTH }).first.toString()).toMatch(/^n,,/);
  });

  it('refuses a server that offers nothing it can use', () => {
    for (const mechanisms of [[], ['SCRAM-SHA-1'], ['OAUTHBEARER'], ['SCRAM-SHA-256-PLUS']]) {
      expect(() => client({ mechanisms })).toThrow(expect.objectContaining({ code: 'UpstreamAuthUnsupported' }));
    }
  });

  it('takes a new nonce every time', () => {
    const nonces = new Set(
      Array.from({ length: 50 }, () =>
        new ScramClient({ password: 'x', mechanisms: PLAIN, endPoint: undefined }).first.toString(),
      ),
    );
    expect(nonces.size).toBe(50);
  });

  const nonce = 'rOprNGfwEbeRWgbNEkqO';
  const salt = 'W22ZaJ0SNY7soEsUEjb6gQ==';
  const refused: Record<string, [string, string]> = {
    'a nonce that does not begin with ours': [`r=other,s=${salt},i=4096`, 'UpstreamViolation'],
    'a nonce that adds nothing to ours': [`r=${nonce},s=${salt},i=4096`, 'UpstreamViolation'],
    'a nonce without end': [`r=${nonce}${'x'.repeat(1024)},s=${salt},i=4096`, 'UpstreamViolation'],
    'no salt': [`r=${nonce}x,s=,i=4096`, 'UpstreamViolation'],
    'a salt that is not base64': [`r=${nonce}x,s=*,i=4096`, 'UpstreamViolation'],
    'a salt with stray bits': [`r=${nonce}x,s=W22ZaJ0SNY7soEsUEjb6gR==,i=4096`, 'UpstreamViolation'],
    'a short salt': [`r=${nonce}x,s=${Buffer.alloc(7).toString('base64')},i=4096`, 'UpstreamViolation'],
    'a long salt': [`r=${nonce}x,s=${Buffer.alloc(1025).toString('base64')},i=4096`, 'UpstreamViolation'],
    'a message without end': [`r=${nonce}x,s=${salt},i=4096,x=${'y'.repeat(4096)}`, 'UpstreamViolation'],
    'a mandatory extension': [`m=new,r=${nonce}x,s=${salt},i=4096`, 'UpstreamViolation'],
    'no iterations': [`r=${nonce}x,s=${salt},i=0`, 'UpstreamViolation'],
    'a negative count': [`r=${nonce}x,s=${salt},i=-4096`, 'UpstreamViolation'],
    'too few iterations': [`r=${nonce}x,s=${salt},i=4095`, 'UpstreamAuthUnsupported'],
    'too many iterations': [`r=${nonce}x,s=${salt},i=1000001`, 'UpstreamAuthUnsupported'],
    'an iteration bomb': [`r=${nonce}x,s=${salt},i=4294967295`, 'UpstreamAuthUnsupported'],
    nothing: ['', 'UpstreamViolation'],
  };
  for (const [what, [message, code]] of Object.entries(refused)) {
    it(`refuses ${what} in the server's first message`, async () => {
      await expect(client().respond(Buffer.from(message))).rejects.toMatchObject({ name: 'UpstreamError', code });
    });
  }

  it('does not believe a server that cannot sign', async () => {
    const scram = client();
    await scram.respond(Buffer.from(rfc.serverFirst));
    const forged = `v=${Buffer.alloc(32).toString('base64')}`;
    expect(() => scram.verify(Buffer.from(forged))).toThrow(expect.objectContaining({ code: 'UpstreamNotAuthentic' }));
    for (const message of ['', 'v=', 'v=AAAA', rfc.serverFinal.slice(0, -2), `x${rfc.serverFinal}`]) {
      expect(() => scram.verify(Buffer.from(message))).toThrow(expect.objectContaining({ code: 'UpstreamViolation' }));
    }
    expect(() => scram.verify(Buffer.from('e=invalid-proof'))).toThrow(expect.objectContaining({ code: 'CredentialsRejected' }));
  });

  it('does not take a signature before the exchange', () => {
    expect(() => client().verify(Buffer.from(rfc.serverFinal))).toThrow(expect.objectContaining({ code: 'UpstreamViolation' }));
  });

  it('throws nothing but UpstreamError for any first message, and never names the password', async () => {
    await assert(
      asyncProperty(uint8Array({ maxLength: 200 }), async (bytes) => {
        const error = await client({ password: 'canary-password' })
          .respond(Buffer.from(bytes))
          .catch((reason: unknown) => reason);
        expect(error).toMatchObject({ name: 'UpstreamError' });
        expect(String(error)).not.toContain('canary');
      }),
    );
  });
});

describe('SASLprep', () => {
  /** Password, what is hashed. Examples of RFC 4013 §3 and others. */
  const table: Record<string, [string, string]> = {
    'leaves ASCII alone': ['pencil !"$', 'pencil !"$'],
    'drops a soft hyphen': ['I\u00adX', 'IX'],
    'keeps case': ['USER', 'USER'],
    'composes ª to a': ['\u00aa', 'a'],
    'composes Ⅸ to IX': ['\u2168', 'IX'],
    'makes a no-break space a space': ['a\u00a0b', 'a b'],
    'uses a password with a control character as it is': ['\u00aa\u0007', '\u00aa\u0007'],
    'uses a password of private characters as it is': ['\u00aa\ue000', '\u00aa\ue000'],
    'uses a password with a direction mark as it is': ['\u00aa\u200e', '\u00aa\u200e'],
    'uses a password that would vanish as it is': ['\u00ad', '\u00ad'],
    'keeps what lies beyond the first plane': ['p\u{1f511}', 'p\u{1f511}'],
  };
  for (const [what, [password, prepared]] of Object.entries(table)) {
    it(what, () => {
      expect(prepare(password)).toBe(prepared);
    });
  }
});
