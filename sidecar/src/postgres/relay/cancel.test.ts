import { once } from 'node:events';
import { createServer } from 'node:net';
import { eventually, startPostgres, testAuthority, type TestPostgres } from '@chaperone/testing';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import { BACKEND, decideBackend, decodeErrorResponse, encodeQuery, MessageReader } from '../wire/index.ts';
import { CancelRegistry, sendCancel } from './cancel.ts';
import { connectUpstream, type Upstream } from './upstream.ts';
import type { UpstreamTls } from './upstream-transport.ts';

const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });
const nowhere = { host: '127.0.0.1', port: 1, tls: { mode: 'disable' } } as const;
const realKey = { processId: 42, secret: Buffer.from([1, 2, 3, 4]) };

/** The SQLSTATE with which the statement that runs on `upstream` ends; '' without an error. */
async function ending(upstream: Upstream): Promise<string> {
  const reader = new MessageReader({ decide: decideBackend });
  let code = '';
  for (;;) {
    const [chunk] = (await once(upstream.socket, 'data')) as [Buffer];
    reader.push(chunk);
    for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
      if (piece.kind !== 'message') continue;
      if (piece.type === BACKEND.ErrorResponse) code = decodeErrorResponse(piece.bytes).C ?? '';
      if (piece.type === BACKEND.ReadyForQuery) return code;
    }
  }
}

describe('CancelRegistry', () => {
  let server: TestPostgres;
  let tls: UpstreamTls;
  let watcher: Client;
  beforeAll(async () => {
    const authority = await testAuthority();
    tls = { mode: 'verify-full', ca: authority.ca };
    server = await startPostgres({ tls: await authority.issue(['127.0.0.1']) });
    watcher = new Client({ host: server.host, port: server.port, ...server.superuser, database: 'postgres' });
    await watcher.connect();
  });
  afterAll(async () => {
    await watcher.end();
    await server.stop();
  });

  for (const [mode, minor] of [
    ['verify-full', 0],
    ['disable', 2],
  ] as const) {
    it(`really cancels what a session of protocol 3.${minor} runs, mode ${mode}`, async () => {
      const address = { host: server.host, port: server.port, tls: mode === 'disable' ? { mode } : tls };
      const { user: username, password } = server.superuser;
      const upstream = await connectUpstream({ ...address, guard, username, password, parameters: { database: 'postgres' } });
      const registry = new CancelRegistry();
      const key = registry.register({ upstream: address, key: upstream.key }, minor);
      expect(key.processId).not.toBe(upstream.key?.processId);
      const end = ending(upstream);
      upstream.socket.resume();
      upstream.socket.write(encodeQuery('select pg_sleep(30)'));
      await eventually('the statement to run', async () => {
        const { rows } = await watcher.query("select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'", [
          upstream.key?.processId,
        ]);
        return rows[0];
      });
      const forged = { processId: key.processId, secret: Buffer.from(key.secret.map((byte) => byte ^ 1)) };
      expect(await registry.cancel(forged, guard)).toBe('unknown');
      expect(await registry.cancel(key, guard)).toBe('sent');
      expect(await end).toBe('57014');
      registry.forget(key.processId);
      expect(await registry.cancel(key, guard)).toBe('unknown');
      expect(registry.size).toBe(0);
      upstream.socket.destroy();
    });
  }

  it('says that the server is not there, without rejecting', async () => {
    const registry = new CancelRegistry({ timeoutMs: 200 });
    const key = registry.register({ upstream: nowhere, key: realKey });
    expect(await registry.cancel(key, guard)).toBe('failed');
    await expect(sendCancel({ ...nowhere, guard }, realKey)).rejects.toMatchObject({ code: 'UpstreamRefused' });
  });

  it('asks the guard at every cancel', async () => {
    const registry = new CancelRegistry();
    const key = registry.register({ upstream: { ...nowhere, port: server.port }, key: realKey });
    const strict = createGuard({ allowLoopback: false, forbidden: [], virtual: [] });
    expect(await registry.cancel(key, strict)).toBe('failed');
  });

  it('cannot cancel at a server that gave no key', async () => {
    const registry = new CancelRegistry();
    const key = registry.register({ upstream: nowhere, key: undefined });
    expect(await registry.cancel(key, guard)).toBe('failed');
  });

  it('dials once at a time per session, and does not wait for ever', async () => {
    let dials = 0;
    const silent = createServer((socket) => {
      dials++;
      socket.on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const registry = new CancelRegistry({ timeoutMs: 200 });
    const { port } = silent.address() as { port: number };
    const key = registry.register({ upstream: { ...nowhere, port }, key: realKey });
    const first = registry.cancel(key, guard);
    expect(await Promise.all([registry.cancel(key, guard), registry.cancel(key, guard)])).toEqual(['busy', 'busy']);
    expect(await first).toBe('failed');
    expect(dials).toBe(1);
    silent.close();
  });

  it('gives every session a key of its own that tells nothing of the real one', () => {
    const registry = new CancelRegistry();
    const keys = Array.from({ length: 1000 }, () => registry.register({ upstream: nowhere, key: realKey }));
    expect(new Set(keys.map(({ processId }) => processId)).size).toBe(1000);
    expect(new Set(keys.map(({ secret }) => secret.toString('hex'))).size).toBeGreaterThan(990);
    expect(keys.every(({ processId, secret }) => processId > 0 && processId < 2 ** 31 && secret.length === 4)).toBe(true);
  });

  it.each([0, 2] as const)('does not know a key of another length, protocol 3.%i', async (minor) => {
    const registry = new CancelRegistry();
    const key = registry.register({ upstream: nowhere, key: realKey }, minor);
    expect(key.secret).toHaveLength(minor === 0 ? 4 : 32);
    for (const secret of [key.secret.subarray(0, 3), Buffer.concat([key.secret, Buffer.alloc(256 - key.secret.length)])]) {
      expect(await registry.cancel({ processId: key.processId, secret }, guard)).toBe('unknown');
    }
  });

  it('changes nothing when the copy that was handed out is changed', async () => {
    const registry = new CancelRegistry();
    const key = registry.register({ upstream: nowhere, key: undefined });
    const sent = { processId: key.processId, secret: Buffer.from(key.secret) };
    key.secret.fill(0);
    expect(await registry.cancel(sent, guard)).toBe('failed');
  });
});
