import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
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
import { message } from './upstream-message.test-support.ts';

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
