import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Certified, testAuthority } from '@chaperone/testing';
import { VaultConfig } from './config.ts';
import type { VaultClock } from './source.ts';

/** A clock that stands still until it is told. */
export class TestClock implements VaultClock {
  #now = 1_000_000;
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#now;
  }
  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  /** How many wait for something. */
  get sleeping(): number {
    return this.#timers.size;
  }
  /** When the next thing is due, in ms from now. */
  get dueIn(): number {
    return Math.min(...[...this.#timers].map(({ at }) => at - this.#now));
  }
  advance(ms: number): void {
    this.#now += ms;
    for (const timer of this.#timers) {
      if (timer.at > this.#now) continue;
      this.#timers.delete(timer);
      timer.run();
    }
  }
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
}
/** Answers in place of the stand-in; true: it did. */
export type Fault = (asked: Asked, response: ServerResponse) => boolean;

/**
 * Stands in for Vault, as far as its documentation of auth/kubernetes/login, auth/token/renew-self, sys/leases/renew, sys/leases/revoke,
 * secrets of KV version 2 and database/creds goes. Times are the test's.
 */
export interface FakeVault extends AsyncDisposable {
  readonly config: VaultConfig;
  readonly url: string;
  readonly ca: string;
  readonly asked: Asked[];
  /** Tokens that it knows, with when each ends. */
  readonly tokens: Map<string, number>;
  /** Leases that are in force, with when each ends. */
  readonly leases: Map<string, { endsAt: number; readonly maxAt: number; readonly token: string; readonly user: string }>;
  /** Secrets of KV version 2, by path without data/. */
  readonly kv: Map<string, { data: Record<string, unknown>; version: number }>;
  /** Seconds; and how long a token and a lease last at most, however often they are renewed. */
  terms: { tokenS: number; tokenMaxS: number; leaseS: number; leaseMaxS: number; renewable: boolean; renewableToken: boolean };
  fault: Fault | undefined;
  count(method: string, path: string): number;
}

export const JWT = 'CANARY-jwt.of.the-operator';

/** A certificate for it, and who signed that. */
export async function certifyVault(): Promise<Certified & { readonly ca: string }> {
  const authority = await testAuthority();
  return { ca: authority.ca, ...(await authority.issue(['localhost', '127.0.0.1'])) };
}

export async function startFakeVault(clock: Pick<VaultClock, 'now'>, certified = certifyVault()): Promise<FakeVault> {
  const { ca, certificate, key } = await certified;
  const folder = mkdtempSync(join(tmpdir(), 'vault-'));
  const [caFile, tokenFile] = [join(folder, 'ca.crt'), join(folder, 'token')];
  writeFileSync(caFile, ca);
  writeFileSync(tokenFile, `${JWT}\n`);
  const vault: Omit<FakeVault, 'config' | 'url'> = {
    ca,
    asked: [],
    tokens: new Map(),
    leases: new Map(),
    kv: new Map(),
    terms: { tokenS: 3600, tokenMaxS: 1e6, leaseS: 600, leaseMaxS: 1e6, renewable: true, renewableToken: true },
    fault: undefined,
    count: (method, path) => vault.asked.filter((each) => each.method === method && each.path === path).length,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    },
  };
  const server = createServer({ cert: certificate, key }, (request, response) => {
    void answer(vault, clock, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const config = VaultConfig.parse({ address: url, caFile, tokenFile, auth: { role: 'chaperone' } });
  return Object.assign(vault, { config, url });
}

export function reply(response: ServerResponse, status: number, body?: unknown): true {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === undefined ? '' : JSON.stringify(body));
  return true;
}

type State = Omit<FakeVault, 'config' | 'url'>;
async function answer(
  vault: State,
  clock: Pick<VaultClock, 'now'>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  const text = Buffer.concat(parts).toString();
  const { method = '', url = '', headers } = request;
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
  const asked: Asked = { method, path: url.replace(/^\/v1\//, ''), body, headers };
  vault.asked.push(asked);
  if (vault.fault?.(asked, response) === true) return true;
  const now = clock.now();
  if (asked.path === 'auth/kubernetes/login') return signIn(vault, asked, now, response);
  const token = String(headers['x-vault-token']);
  if (!(now < (vault.tokens.get(token) ?? 0))) return denied(response);
  if (asked.path.startsWith('sys/leases/')) return lend(vault, asked, now, response);
  return asked.path === 'auth/token/renew-self'
    ? renewSelf(vault, token, now, response)
    : readPath(vault, asked, { token, now }, response);
}

const denied = (response: ServerResponse): true => reply(response, 403, { errors: ['permission denied'] });

function signIn({ tokens, terms }: State, { method, body }: Asked, now: number, response: ServerResponse): true {
  if (method !== 'POST' || body.jwt !== JWT || body.role !== 'chaperone') return denied(response);
  const token = `hvs.CANARY-${randomUUID()}`;
  tokens.set(token, now + terms.tokenS * 1000);
  const auth = { client_token: token, accessor: 'a', policies: ['default'], lease_duration: terms.tokenS };
  return reply(response, 200, { auth: { ...auth, renewable: terms.renewableToken } });
}

function renewSelf({ tokens, terms }: State, token: string, now: number, response: ServerResponse): true {
  const seconds = Math.min(terms.tokenS, terms.tokenMaxS);
  tokens.set(token, now + seconds * 1000);
  return reply(response, 200, { auth: { client_token: token, lease_duration: seconds, renewable: true } });
}

function lend({ leases, terms }: State, { method, path, body }: Asked, now: number, response: ServerResponse): true {
  const id = String(body.lease_id);
  if (method === 'PUT' && path === 'sys/leases/revoke') {
    leases.delete(id);
    return reply(response, 204);
  }
  const lent = leases.get(id);
  if (lent === undefined || method !== 'PUT') return reply(response, 400, { errors: ['lease not found'] });
  const wanted = typeof body.increment === 'number' ? body.increment : terms.leaseS;
  const seconds = Math.floor(Math.min(wanted * 1000, lent.maxAt - now) / 1000);
  lent.endsAt = now + seconds * 1000;
  return reply(response, 200, { lease_id: id, lease_duration: seconds, renewable: terms.renewable });
}

function readPath(
  vault: State,
  { method, path }: Asked,
  { token, now }: { token: string; now: number },
  response: ServerResponse,
): true {
  if (method !== 'GET') return reply(response, 405, { errors: [] });
  const [mount = '', room = '', ...rest] = path.split('/');
  if (mount === 'database' && room === 'creds') {
    const id = `${path}/${randomUUID()}`;
    const { leaseS, leaseMaxS, renewable } = vault.terms;
    const user = `v-kubernetes-${rest.join('-')}-${vault.leases.size + 1}-${randomUUID().slice(0, 4)}`;
    vault.leases.set(id, { endsAt: now + leaseS * 1000, maxAt: now + leaseMaxS * 1000, token, user });
    const lease = { request_id: randomUUID(), lease_id: id, lease_duration: leaseS, renewable };
    return reply(response, 200, { ...lease, data: { username: user, password: `CANARY-${user}` }, auth: null });
  }
  const kept = room === 'data' ? vault.kv.get(`${mount}/${rest.join('/')}`) : undefined;
  if (kept === undefined) return reply(response, 404, { errors: [] });
  const data = { data: kept.data, metadata: { version: kept.version, destroyed: false } };
  return reply(response, 200, { lease_id: '', lease_duration: 0, renewable: false, data });
}
