import { createHmac, pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import {
  type Certified,
  freePort,
  startPostgres,
  testAuthority,
  type TestAuthority,
  type TestPostgres,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import { BACKEND, dataRowCells, encodeQuery, encodeSSLRequest, MessageReader, decideBackend } from '../wire/index.ts';
import { connectUpstream, type Upstream, type UpstreamOptions } from './upstream.ts';

const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });

/** First column of the rows that a query gives. */
async function ask(upstream: Upstream, sql: string): Promise<(string | undefined)[]> {
  const reader = new MessageReader({ decide: decideBackend });
  const rows: (string | undefined)[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  upstream.socket.on('data', (chunk: Buffer) => {
    reader.push(Buffer.from(chunk));
    for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
      if (piece.kind !== 'message') continue;
      if (piece.type === BACKEND.DataRow) rows.push(dataRowCells(piece.bytes)[0]?.toString());
      if (piece.type === BACKEND.ReadyForQuery) resolve();
    }
  });
  upstream.socket.resume();
  upstream.socket.write(encodeQuery(sql));
  await promise;
  upstream.socket.removeAllListeners('data');
  return rows;
}

/**
 * Somebody between us and the server, with a certificate that we trust, who passes everything on; `strip` takes the offer to
 * bind to the channel away.
 */
async function between(certified: Certified, port: number, strip: boolean): Promise<Server> {
  const server = createServer((agent) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [agent, upstream]) socket.on('error', () => undefined);
    agent.once('data', () => {
      agent.pause();
      agent.write('S');
      const near = new TLSSocket(agent, { isServer: true, cert: certified.certificate, key: certified.key });
      upstream.write(encodeSSLRequest());
      upstream.once('data', () => {
        const far = connectTls({ socket: upstream, rejectUnauthorized: false });
        for (const socket of [near, far]) socket.on('error', () => undefined);
        near.pipe(far);
        far.on('data', (chunk: Buffer) => {
          const text = chunk.toString('latin1');
          near.write(strip && text.includes('-PLUS') ? message('R', '\0\0\0\x0aSCRAM-SHA-256\0\0') : chunk);
        });
        far.once('close', () => near.end());
      });
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

describe('a login at a real server', () => {
  let authority: TestAuthority;
  let server: TestPostgres;
  let port: number;
  const good = (mods: Partial<UpstreamOptions> = {}): UpstreamOptions => ({
    host: '127.0.0.1',
    port,
    tls: { mode: 'verify-full', ca: authority.ca, serverName: 'db.example' },
    username: server.superuser.user,
    password: server.superuser.password,
    parameters: { database: 'postgres', application_name: 'chaperone test' },
    guard,
    ...mods,
  });

  beforeAll(async () => {
    authority = await testAuthority();
    server = await startPostgres({
      tls: await authority.issue(['db.example', '127.0.0.1']),
      settings: { log_connections: 'on' },
      hba: [
        'host all md5role 127.0.0.1/32 md5',
        'host all clear 127.0.0.1/32 password',
        'host all trusted 127.0.0.1/32 trust',
        'host all banned 127.0.0.1/32 reject',
        'host all all 127.0.0.1/32 scram-sha-256',
      ],
    });
    port = server.port;
    const admin = await connectUpstream(good());
    await ask(
      admin,
      `create role trusted login; create role banned login; create role clear login password 'clear';
       create role spaced login password 'a\u00a0b\u2168'; create role one login connection limit 0 password 'one';
       set password_encryption = 'md5'; create role md5role login password 'md5'`,
    );
    admin.socket.destroy();
  });
  afterAll(() => server.stop());

  it('verifies the whole certificate, binds SCRAM to the channel and hands over an idle connection', async () => {
    const upstream = await connectUpstream(good());
    expect(upstream.parameters.get('server_version')).toMatch(/^18/);
    expect(upstream.key).toMatchObject({ processId: expect.any(Number), secret: { length: 32 } });
    expect(upstream.rest).toHaveLength(0);
    expect(upstream.socket.isPaused()).toBe(true);
    expect(await ask(upstream, 'select ssl::text from pg_stat_ssl where pid = pg_backend_pid()')).toEqual(['true']);
    expect(await ask(upstream, "select current_setting('application_name')")).toEqual(['chaperone test']);
    upstream.socket.destroy();
  });

  for (const strip of [false, true]) {
    it(`finds out somebody in between whose certificate it trusts${strip ? ' and who hides that the server can bind' : ''}`, async () => {
      const middle = await between(await authority.issue(['db.example']), port, strip);
      const through = (middle.address() as { port: number }).port;
      await expect(connectUpstream(good({ port: through }))).rejects.toMatchObject({
        code: expect.stringMatching(/^(CredentialsRejected|UpstreamLoginRefused)$/),
      });
      // Without SCRAM there is nothing to bind: the same path carries this login.
      const upstream = await connectUpstream(good({ port: through, username: 'trusted', authentication: ['none'] }));
      expect(await ask(upstream, 'select current_user')).toEqual(['trusted']);
      upstream.socket.destroy();
      middle.close();
    });
  }

  it('knows an address of the certificate by IP', async () => {
    const upstream = await connectUpstream(good({ tls: { mode: 'verify-full', ca: authority.ca } }));
    upstream.socket.destroy();
  });

  it('logs in over plain text where the resource says so, by SCRAM without a channel', async () => {
    const upstream = await connectUpstream(good({ tls: { mode: 'disable' } }));
    expect(await ask(upstream, 'select ssl::text from pg_stat_ssl where pid = pg_backend_pid()')).toEqual(['false']);
    upstream.socket.destroy();
  });

  it('prepares the password as the server does', async () => {
    const upstream = await connectUpstream(good({ username: 'spaced', password: 'a bIX' }));
    upstream.socket.destroy();
  });

  it.each([
    ['asks for nothing', 'trusted', 'none'],
    ['wants MD5', 'md5role', 'md5'],
    ['wants the password itself', 'clear', 'cleartext'],
  ] as const)('%s: logs in where the resource accepts that, over verified TLS', async (_, username, way) => {
    const password = { trusted: 'unused', md5role: 'md5', clear: 'clear' }[username];
    const upstream = await connectUpstream(good({ username, password, authentication: ['scram', way] }));
    expect(await ask(upstream, 'select current_user')).toEqual([username]);
    upstream.socket.destroy();
    for (const mode of ['verify-ca', 'disable'] as const) {
      const tls = mode === 'disable' ? { mode } : { mode, ca: authority.ca };
      const attempt = connectUpstream(good({ username, password, authentication: ['scram', way], tls }));
      await expect(attempt).rejects.toMatchObject({ code: 'UpstreamAuthUnsupported' });
    }
  });

  for (const mode of ['disable', 'verify-full'] as const) {
    it(`reads through the caller's own buffer and pauses when told to, mode ${mode}`, async () => {
      const chunks: Buffer[] = [];
      let paused = 0;
      let upstream: Upstream | undefined;
      const shared = Buffer.alloc(4096);
      const { promise, resolve } = Promise.withResolvers<void>();
      upstream = await connectUpstream(
        good({
          tls: mode === 'disable' ? { mode } : good().tls,
          onread: {
            buffer: shared,
            callback: (bytes, buffer) => {
              if (mode === 'disable') expect(buffer.buffer).toBe(shared.buffer);
              chunks.push(Buffer.from(buffer.subarray(0, bytes)));
              if (
                chunks
                  .at(-1)
                  ?.subarray(-6)
                  .equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]))
              )
                resolve();
              if (chunks.length % 3 !== 0) return true;
              paused++;
              setImmediate(() => upstream?.socket.resume());
              return false;
            },
          },
        }),
      );
      expect(chunks).toEqual([]);
      upstream.socket.resume();
      upstream.socket.write(encodeQuery("select repeat('x', 100) from generate_series(1, 1000)"));
      await promise;
      const reader = new MessageReader({ decide: decideBackend });
      for (const chunk of chunks) reader.push(chunk);
      let rows = 0;
      for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
        if (piece.kind === 'message' && piece.type === BACKEND.DataRow) rows++;
      }
      expect(rows).toBe(1000);
      expect(paused).toBeGreaterThan(0);
      upstream.socket.destroy();
    });
  }

  /** What is wrong, the options, the code. */
  const faults: Record<string, [() => Promise<Partial<UpstreamOptions>> | Partial<UpstreamOptions>, string]> = {
    'a certificate of another authority': [
      async () => ({ tls: { mode: 'verify-full', ca: (await testAuthority('other')).ca, serverName: 'db.example' } }),
      'TLSUntrusted',
    ],
    'a certificate of another authority, in mode verify-ca': [
      async () => ({ tls: { mode: 'verify-ca', ca: (await testAuthority('other')).ca } }),
      'TLSUntrusted',
    ],
    'a certificate that no public authority signed': [() => ({ tls: { mode: 'verify-full' } }), 'TLSUntrusted'],
    'a certificate for another name': [
      () => ({ tls: { mode: 'verify-full', ca: authority.ca, serverName: 'other.example' } }),
      'TLSNameMismatch',
    ],
    'a certificate for another address': [
      () => ({ tls: { mode: 'verify-full', ca: authority.ca, serverName: '127.0.0.2' } }),
      'TLSNameMismatch',
    ],
    'a wrong password': [() => ({ password: 'canary-wrong' }), 'CredentialsRejected'],
    'a user that does not exist': [() => ({ username: 'nobody' }), 'CredentialsRejected'],
    'a user whom pg_hba rejects': [() => ({ username: 'banned' }), 'CredentialsRejected'],
    'a database that does not exist': [() => ({ parameters: { database: 'nowhere' } }), 'UpstreamDatabaseMissing'],
    'a user without a free connection': [() => ({ username: 'one', password: 'one' }), 'UpstreamBusy'],
    'a startup parameter that the server refuses': [
      () => ({ parameters: { database: 'postgres', nonsense: '1' } }),
      'UpstreamLoginRefused',
    ],
    'a server that wants MD5': [() => ({ username: 'md5role', password: 'md5' }), 'UpstreamAuthUnsupported'],
    'a server that asks for nothing': [() => ({ username: 'trusted', password: 'unused' }), 'UpstreamAuthUnsupported'],
    'a server that wants SCRAM where the resource names another way': [
      () => ({ authentication: ['md5', 'cleartext', 'none'] }),
      'UpstreamAuthUnsupported',
    ],
    'a wrong password in clear text': [
      () => ({ username: 'clear', password: 'canary-wrong', authentication: ['cleartext'] }),
      'CredentialsRejected',
    ],
    'a server that wants the password itself, even over TLS': [
      () => ({ username: 'clear', password: 'clear' }),
      'UpstreamAuthUnsupported',
    ],
    'a port on which nobody listens': [async () => ({ port: await freePort() }), 'UpstreamRefused'],
    'a name without an address': [() => ({ host: 'db.invalid', resolve: () => Promise.resolve([]) }), 'UpstreamUnreachable'],
    'a name that nobody answers for': [
      () => ({ host: 'db.invalid', resolve: () => new Promise(() => undefined), connectTimeoutMs: 100 }),
      'UpstreamUnreachable',
    ],
    'a name of which the resolver knows nothing': [
      () => ({ host: 'db.invalid', resolve: () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' })) }),
      'UpstreamUnreachable',
    ],
    'an address that the guard refuses': [
      () => ({ guard: createGuard({ allowLoopback: false, forbidden: [], virtual: [] }) }),
      'UpstreamForbidden',
    ],
    'a caller that gave up before': [() => ({ signal: AbortSignal.abort() }), 'UpstreamAborted'],
  };
  for (const [what, [mods, code]] of Object.entries(faults)) {
    it(`refuses ${what}`, async () => {
      const error = await connectUpstream(good(await mods())).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ name: 'UpstreamError', code });
      expect(String(error)).not.toMatch(/canary|superuser-secret|127\.0\.0\.1|db\.example/);
    });
  }

  it('says which names the certificate is for', async () => {
    const options = good({ tls: { mode: 'verify-full', ca: authority.ca, serverName: 'other.example' } });
    await expect(connectUpstream(options)).rejects.toMatchObject({ certificateNames: expect.stringContaining('db.example') });
  });

  it('accepts another name in mode verify-ca', async () => {
    const upstream = await connectUpstream(good({ tls: { mode: 'verify-ca', ca: authority.ca, serverName: 'other.example' } }));
    upstream.socket.destroy();
  });

  it('dials the address that the guard saw and resolves once', async () => {
    let resolved = 0;
    const seen: string[] = [];
    const upstream = await connectUpstream(
      good({
        host: 'db.example',
        resolve: () => Promise.resolve(resolved++ === 0 ? ['127.0.0.1'] : ['192.0.2.1']),
        guard: { refuse: (address) => void seen.push(address) },
      }),
    );
    expect({ resolved, seen, remote: upstream.socket.remoteAddress }).toEqual({
      resolved: 1,
      seen: ['127.0.0.1'],
      remote: '127.0.0.1',
    });
    upstream.socket.destroy();
  });

  it('never showed the server a password that was to stay with us', () => {
    expect(server.log()).toContain('connection received');
    expect(server.log()).not.toContain('canary-wrong');
  });
});

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

/** A message by hand. */
function message(type: string, content: string): Buffer {
  const body = Buffer.from(content, 'latin1');
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type);
  bytes.writeInt32BE(body.length + 4, 1);
  body.copy(bytes, 5);
  return bytes;
}

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
  const negotiate = (minor: number): Buffer => message('v', `\0\x03\0${String.fromCharCode(minor)}\0\0\0\0`);

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

  const key = (length: number): Buffer => message('K', `\0\0\0\x07${'k'.repeat(length)}`);
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
