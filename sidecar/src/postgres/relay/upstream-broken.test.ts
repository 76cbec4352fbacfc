import { createHmac, pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import { connectUpstream, type UpstreamOptions } from './upstream.ts';
import { message } from './upstream-message.test-support.ts';

const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });

function scriptedOptions(port: number, mode: 'disable' | 'verify-full'): UpstreamOptions {
  return {
    host: '127.0.0.1',
    port,
    tls: { mode },
    username: 'u',
    password: 'canary-password',
    parameters: {},
    guard,
    connectTimeoutMs: 500,
  };
}

interface ScramServer {
  /** What it knows the credential as. */
  readonly password?: string;
  readonly iterations?: number;
  /** Of the nonce that the client gave. */
  readonly nonce?: (client: string) => string;
  readonly first?: (honest: string) => string;
  readonly final?: (honest: string) => string;
  /** What it says first. */
  readonly startup?: Buffer;
  /** What it says once it is logged in. */
  readonly last?: Buffer;
}

/** The server's side of RFC 5802, written apart from the client's. Takes what the client said, gives what to answer. */
function* scramSteps(
  server: ScramServer & { salt: Buffer; iterations: number; password: string },
): Generator<Buffer | undefined, undefined, Buffer> {
  yield undefined;
  const said = yield server.startup ?? message('R', '\0\0\0\x0aSCRAM-SHA-256\0\0');
  const clientFirst = said.toString('latin1').slice(said.indexOf('n,,') + 3);
  const client = clientFirst.slice(clientFirst.indexOf('r=') + 2);
  const nonce = server.nonce?.(client) ?? `${client}server`;
  const honest = `r=${nonce},s=${server.salt.toString('base64')},i=${server.iterations}`;
  const first = server.first?.(honest) ?? honest;
  const final = (yield message('R', `\0\0\0\x0b${first}`)).subarray(5).toString('latin1');
  const bare = final.slice(0, final.indexOf(',p='));
  const salted = pbkdf2Sync(server.password, server.salt, server.iterations, 32, 'sha256');
  const key = createHmac('sha256', salted).update('Server Key').digest();
  const signature = createHmac('sha256', key).update(`${clientFirst},${first},${bare}`).digest('base64');
  const answer = `v=${signature}`;
  yield Buffer.concat([message('R', `\0\0\0\x0c${server.final?.(answer) ?? answer}`), server.last ?? Buffer.alloc(0)]);
  return undefined;
}

const negotiate = (minor: number): Buffer => message('v', `\0\x03\0${String.fromCharCode(minor)}\0\0\0\0`);
const key = (length: number): Buffer => message('K', `\0\0\0\x07${'k'.repeat(length)}`);

describe('a hostile or broken server', () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  /** A server that answers each chunk it gets with the next of `answers`, then does nothing. */
  async function scripted(answers: readonly (Buffer | 'close')[]): Promise<{ port: number; heard: Buffer[] }> {
    const heard: Buffer[] = [];
    const server = createServer((socket: Socket) => {
      let turn = 0;
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        heard.push(chunk);
        const answer = answers[turn++];
        if (answer === 'close') socket.destroy();
        else if (answer !== undefined) socket.write(answer);
      });
    }).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    return { port: (server.address() as { port: number }).port, heard };
  }
  const ok = message('R', '\0\0\0\0');
  const sasl = message('R', '\0\0\0\x0aSCRAM-SHA-256\0\0');
  const known = { password: 'canary-password', salt: Buffer.from('0123456789abcdef'), iterations: 4096 };

  /** A server that speaks SCRAM as it should, but for what `mods` say; `last` is what it says behind its signature. */
  async function scramServer(mods: ScramServer): Promise<{ port: number; heard: Buffer[] }> {
    const heard: Buffer[] = [];
    const server = createServer((socket: Socket) => {
      const steps = scramSteps({ ...known, ...mods });
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        heard.push(chunk);
        const answer = steps.next(chunk).value;
        if (answer !== undefined) socket.write(answer);
      });
      steps.next(Buffer.alloc(0));
    }).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    return { port: (server.address() as { port: number }).port, heard };
  }
  const ready = message('Z', 'I');

  const overTls: Record<string, [(Buffer | 'close')[], string]> = {
    'has no TLS': [[Buffer.from('N')], 'TLSUnavailable'],
    'answers the TLS request with an error': [[message('E', 'SFATAL\0\0')], 'UpstreamViolation'],
    'sends plain text together with its yes to TLS': [[Buffer.concat([Buffer.from('S'), ok, ready])], 'UpstreamViolation'],
    'says yes to TLS and then speaks plain text': [[Buffer.from('S'), Buffer.concat([ok, ready])], 'TLSFailed'],
    'says yes to TLS and then nothing': [[Buffer.from('S')], 'UpstreamUnreachable'],
    'says nothing at all': [[], 'UpstreamUnreachable'],
    'closes at the TLS request': [['close'], 'UpstreamUnreachable'],
  };
  for (const [what, [answers, code]] of Object.entries(overTls)) {
    it(`is given up when it ${what}`, async () => {
      const { port, heard } = await scripted(answers);
      await expect(connectUpstream(scriptedOptions(port, 'verify-full'))).rejects.toMatchObject({ name: 'UpstreamError', code });
      expect(Buffer.concat(heard).toString('latin1')).not.toContain('user\0');
    });
  }

  const plain: Record<string, [(Buffer | 'close')[], string]> = {
    'asks for the password in clear text': [[message('R', '\0\0\0\x03')], 'UpstreamAuthUnsupported'],
    'asks for MD5': [[message('R', '\0\0\0\x05salt')], 'UpstreamAuthUnsupported'],
    'asks for Kerberos': [[message('R', '\0\0\0\x07')], 'UpstreamAuthUnsupported'],
    'offers SCRAM and then says that all is well': [[sasl, ok], 'UpstreamNotAuthentic'],
    'offers SCRAM and then asks for clear text': [[sasl, message('R', '\0\0\0\x03')], 'UpstreamViolation'],
    'offers SCRAM twice': [[sasl, sasl], 'UpstreamViolation'],
    'finishes an exchange that did not begin': [[message('R', '\0\0\0\x0cv=x')], 'UpstreamAuthUnsupported'],
    'asks for nothing': [[Buffer.concat([ok, ready])], 'UpstreamAuthUnsupported'],
    'is ready before the login': [[ready], 'UpstreamViolation'],
    'announces a huge message': [[Buffer.from('R\x7f\xff\xff\xff', 'latin1')], 'UpstreamViolation'],
    'announces a negative length': [[Buffer.from('R\x80\x00\x00\x00', 'latin1')], 'UpstreamViolation'],
    'sends rows in the login': [[message('D', '\0\0')], 'UpstreamViolation'],
    'gives an error without SQLSTATE': [[message('E', 'Mcanary-text\0\0')], 'UpstreamLoginRefused'],
    'gives a SQLSTATE that is none': [[message('E', 'Ccanary\0\0')], 'UpstreamLoginRefused'],
    'closes in the login': [[sasl, 'close'], 'UpstreamUnreachable'],
    'stops in the login': [[sasl], 'UpstreamUnreachable'],
    'negotiates a newer protocol': [[negotiate(3)], 'UpstreamViolation'],
    'negotiates what it was asked for': [[negotiate(2)], 'UpstreamViolation'],
    'negotiates a version that was never made': [[negotiate(1)], 'UpstreamViolation'],
    'does not know an option that nobody named': [[message('v', '\0\x03\0\0\0\0\0\x01_pq_.x\0')], 'UpstreamViolation'],
    'negotiates twice': [[Buffer.concat([negotiate(0), negotiate(0)])], 'UpstreamViolation'],
    'negotiates within the exchange': [[sasl, negotiate(0)], 'UpstreamViolation'],
  };
  for (const [what, [answers, code]] of Object.entries(plain)) {
    it(`is given up when it ${what}`, async () => {
      const { port, heard } = await scripted(answers);
      const error = await connectUpstream(scriptedOptions(port, 'disable')).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ name: 'UpstreamError', code });
      expect(String(error)).not.toContain('canary');
      expect(Buffer.concat(heard).toString('latin1')).not.toContain('canary');
    });
  }

  const exchanges: Record<string, [ScramServer, string]> = {
    'does not know the credential': [{ password: 'other' }, 'UpstreamNotAuthentic'],
    'signs wrong': [{ final: () => `v=${Buffer.alloc(32).toString('base64')}` }, 'UpstreamNotAuthentic'],
    'does not sign': [{ final: () => 'v=' }, 'UpstreamViolation'],
    'refuses in place of a signature': [{ final: () => 'e=canary-error' }, 'CredentialsRejected'],
    'does not extend the nonce': [{ nonce: (client) => client }, 'UpstreamViolation'],
    'takes another nonce': [{ nonce: () => 'another' }, 'UpstreamViolation'],
    'asks for work of hours': [{ first: (honest) => honest.replace('i=4096', 'i=2000000000') }, 'UpstreamAuthUnsupported'],
    'asks for a single round': [{ first: (honest) => honest.replace('i=4096', 'i=1') }, 'UpstreamAuthUnsupported'],
    'begins anew after its signature': [{ last: sasl }, 'UpstreamViolation'],
    'goes on after its signature': [{ last: message('R', '\0\0\0\x0br=x') }, 'UpstreamViolation'],
    'signs twice': [{ last: message('R', '\0\0\0\x0cv=x') }, 'UpstreamViolation'],
    'asks for clear text after its signature': [{ last: message('R', '\0\0\0\x03') }, 'UpstreamViolation'],
    'is ready within a transaction': [{ last: Buffer.concat([ok, message('Z', 'T')]) }, 'UpstreamViolation'],
    'asks again after the login': [{ last: Buffer.concat([ok, ok]) }, 'UpstreamViolation'],
    'negotiates after the login': [{ last: Buffer.concat([ok, negotiate(0)]) }, 'UpstreamViolation'],
    'gives a cancel key that is too long': [{ last: Buffer.concat([ok, key(257)]) }, 'UpstreamViolation'],
    'gives parameters without end': [
      { last: Buffer.concat([ok, ...Array.from({ length: 300 }, () => message('S', 'a\0b\0'))]) },
      'UpstreamViolation',
    ],
    'gives notices without end': [
      { last: Buffer.concat([ok, ...Array.from({ length: 40 }, () => message('N', `M${'x'.repeat(60_000)}\0\0`))]) },
      'UpstreamViolation',
    ],
  };
  for (const [what, [mods, code]] of Object.entries(exchanges)) {
    it(`is given up when it ${what}`, async () => {
      const { port, heard } = await scramServer(mods);
      const error = await connectUpstream(scriptedOptions(port, 'disable')).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ name: 'UpstreamError', code });
      expect(String(error)).not.toContain('canary');
      expect(Buffer.concat(heard).toString('latin1')).not.toContain('canary');
    });
  }

  it('may say more after ReadyForQuery: it is handed over', async () => {
    const notice = message('N', 'Mhello\0\0');
    const { port } = await scramServer({ last: Buffer.concat([ok, ready, notice, notice.subarray(0, 3)]) });
    const upstream = await connectUpstream(scriptedOptions(port, 'disable'));
    expect(upstream.rest).toEqual(Buffer.concat([notice, notice.subarray(0, 3)]));
    expect(upstream.key).toBeUndefined();
    upstream.socket.destroy();
  });

  it('may give a long cancel key in protocol 3.2, and not in 3.0', async () => {
    const { port } = await scramServer({ last: Buffer.concat([ok, key(256), ready]) });
    const upstream = await connectUpstream(scriptedOptions(port, 'disable'));
    expect(upstream.key?.secret).toHaveLength(256);
    upstream.socket.destroy();
    const older = await scramServer({ startup: Buffer.concat([negotiate(0), sasl]), last: Buffer.concat([ok, key(32), ready]) });
    await expect(connectUpstream(scriptedOptions(older.port, 'disable'))).rejects.toMatchObject({ code: 'UpstreamViolation' });
  });

  it.each([
    ['negotiates', { startup: Buffer.concat([negotiate(0), sasl]) }, [2]],
    ['says that it does not support it', { startup: message('E', 'SFATAL\0C0A000\0Mno\0\0') }, [2, 0]],
    ['calls it a violation', { startup: message('E', 'SFATAL\0C08P01\0Mno\0\0') }, [2, 0]],
  ])('is spoken to in protocol 3.0 where it knows no 3.2 and %s', async (_, mods, minors) => {
    const last = Buffer.concat([ok, key(4), ready]);
    const { port, heard } = await scramServer({ ...mods, last });
    const attempt = connectUpstream(scriptedOptions(port, 'disable'));
    if (minors.length === 1) (await attempt).socket.destroy();
    else await expect(attempt).rejects.toMatchObject({ code: 'UpstreamLoginRefused' });
    const asked = heard.filter((chunk) => chunk.includes('user\0')).map((chunk) => chunk.readInt32BE(4) & 0xffff);
    expect(asked).toEqual(minors);
  });

  it('is spoken to in protocol 3.0 where it hangs up on 3.2', async () => {
    const server = createServer((socket: Socket) => {
      socket.on('error', () => undefined);
      const steps = scramSteps({ ...known, last: Buffer.concat([ok, key(4), ready]) });
      steps.next(Buffer.alloc(0));
      socket.on('data', (chunk: Buffer) => {
        if (chunk.includes('user\0') && chunk.readInt32BE(4) !== 3 << 16) return socket.destroy();
        const answer = steps.next(chunk).value;
        return answer === undefined ? undefined : socket.write(answer);
      });
    }).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const upstream = await connectUpstream(scriptedOptions(port, 'disable'));
    expect(upstream.key?.secret).toHaveLength(4);
    upstream.socket.destroy();
  });

  it('is not even dialled with what a startup packet cannot carry', async () => {
    const { port, heard } = await scripted([]);
    for (const mods of [{ username: 'u\0database\0other' }, { parameters: { options: 'a\0b' } }, { parameters: { '': 'a' } }]) {
      const attempt = connectUpstream({ ...scriptedOptions(port, 'disable'), ...mods });
      await expect(attempt).rejects.toMatchObject({ code: 'UpstreamLoginRefused' });
    }
    expect(heard).toEqual([]);
  });

  it('hears the user of the credential, whatever the parameters say', async () => {
    const { port, heard } = await scramServer({ last: Buffer.concat([ok, ready]) });
    const upstream = await connectUpstream({ ...scriptedOptions(port, 'disable'), parameters: { user: 'admin' } });
    expect(heard[0]?.toString('latin1')).toContain('user\0u\0');
    expect(heard[0]?.toString('latin1')).not.toContain('admin');
    upstream.socket.destroy();
  });

  it('can be given up at any moment', async () => {
    const { port } = await scripted([sasl]);
    const abort = new AbortController();
    const attempt = connectUpstream({ ...scriptedOptions(port, 'disable'), connectTimeoutMs: 10_000, signal: abort.signal });
    setTimeout(() => abort.abort(), 50);
    await expect(attempt).rejects.toMatchObject({ code: 'UpstreamAborted' });
  });
});
