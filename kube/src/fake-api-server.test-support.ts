import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { testAuthority } from '@chaperone/testing';
import { vi } from 'vitest';
import { KINDS, type KubeObject, type ResourceKind } from './objects.ts';
import { createTransport, type Kube } from './transport.ts';

interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly body: Record<string, unknown> | undefined;
}
type Intercept = (asked: Asked, response: ServerResponse, request: IncomingMessage) => boolean;
interface Watcher {
  readonly prefix: string;
  readonly response: ServerResponse;
  readonly matches: (object: KubeObject) => boolean;
}

/** Enough of an API server for tests: lists in pages, watches, optimistic locking, merges. Faults are injected by `intercept`. */
export interface FakeApiServer {
  readonly kube: Kube;
  readonly config: KubeConfig;
  readonly asked: Asked[];
  /** TLS connections accepted so far. */
  connections(): number;
  watchers(): number;
  intercept: Intercept | undefined;
  put(kind: ResourceKind, object: object): KubeObject;
  remove(kind: ResourceKind, key: { namespace?: string; name: string }): void;
  get(kind: ResourceKind, key: { namespace?: string; name: string }): KubeObject | undefined;
  /** Events with this reason, as they were sent. */
  events(reason: string): unknown[];
  sendToWatchers(line: string): void;
  /** Forgets an object without telling the watchers, as a lost event does. */
  forget(kind: ResourceKind, key: { namespace?: string; name: string }): void;
  resetWatchers(): void;
  endWatchers(): void;
  close(): Promise<void>;
}

export async function startFakeApiServer(): Promise<FakeApiServer> {
  const authority = await testAuthority();
  const tls = await authority.issue(['127.0.0.1']);
  const objects = new Map<string, KubeObject>();
  const watchers = new Set<Watcher>();
  const asked: Asked[] = [];
  let version = 100;
  let connections = 0;

  const tell = (type: string, path: string, object: KubeObject): void => {
    for (const watcher of watchers) {
      if (inCollection(path, watcher.prefix) && watcher.matches(object))
        watcher.response.write(`${JSON.stringify({ type, object })}\n`);
    }
  };
  const store = (path: string, object: KubeObject): KubeObject => {
    version += 1;
    const before = objects.get(path);
    const uid = before?.metadata.uid ?? object.metadata.uid ?? `uid-${version}`;
    const changedSpec = JSON.stringify(before?.spec) !== JSON.stringify(object.spec);
    const generation = (before?.metadata.generation ?? 0) + (changedSpec ? 1 : 0);
    const creationTimestamp = before?.metadata.creationTimestamp ?? object.metadata.creationTimestamp ?? new Date().toISOString();
    const metadata = { ...object.metadata, uid, generation, creationTimestamp, resourceVersion: String(version) };
    const stored = { ...object, metadata };
    objects.set(path, stored);
    tell(before === undefined ? 'ADDED' : 'MODIFIED', path, stored);
    return stored;
  };
  const drop = (path: string): void => {
    const object = objects.get(path);
    if (object === undefined) return;
    version += 1;
    objects.delete(path);
    tell('DELETED', path, { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
  };

  function collection(url: URL, response: ServerResponse): void {
    const [, field, value] = /^(metadata\.name|spec\.request)=(.+)$/.exec(url.searchParams.get('fieldSelector') ?? '') ?? [];
    const matches = (object: KubeObject): boolean =>
      field === undefined ||
      (field === 'metadata.name' ? object.metadata.name : (object['spec'] as { request?: string } | undefined)?.request) ===
        value;
    if (url.searchParams.get('watch') === 'true') {
      const watcher = { prefix: url.pathname, response, matches };
      watchers.add(watcher);
      response.on('close', () => watchers.delete(watcher));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      const from = Number(url.searchParams.get('resourceVersion'));
      for (const [path, object] of objects) {
        if (Number(object.metadata.resourceVersion) > from && inCollection(path, url.pathname) && matches(object)) {
          response.write(`${JSON.stringify({ type: 'MODIFIED', object })}\n`);
        }
      }
      return;
    }
    const found = [...objects]
      .filter(([path, object]) => inCollection(path, url.pathname) && matches(object))
      .map(([, object]) => object);
    const start = Number(url.searchParams.get('continue') ?? 0);
    const limit = Number(url.searchParams.get('limit') ?? 500);
    const more = start + limit < found.length ? String(start + limit) : undefined;
    send(response, 200, {
      kind: 'List',
      metadata: { resourceVersion: String(version), continue: more },
      items: found.slice(start, start + limit),
    });
  }

  function write(method: string, url: URL, body: KubeObject, request: IncomingMessage, response: ServerResponse): void {
    if (method === 'POST') {
      const path = `${url.pathname}/${body.metadata?.name ?? ''}`;
      if (objects.has(path)) return refuse(response, 409, 'AlreadyExists');
      return send(response, 201, store(path, body));
    }
    const path = url.pathname.replace(/\/status$/, '');
    const before = objects.get(path);
    const applied = String(request.headers['content-type']).includes('apply-patch');
    if (before === undefined && !(applied && path === url.pathname)) return refuse(response, 404, 'NotFound');
    const expected = body.metadata?.resourceVersion;
    if (expected !== undefined && expected !== before?.metadata.resourceVersion) return refuse(response, 409, 'Conflict');
    send(response, 200, store(path, method === 'PUT' ? body : (merge(before ?? {}, body) as KubeObject)));
  }

  const server: Server = createServer({ cert: tls.certificate, key: tls.key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'https://fake');
      const text = Buffer.concat(chunks).toString();
      const entry: Asked = {
        method: request.method ?? '',
        url,
        body: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>),
      };
      asked.push(entry);
      if (fake.intercept?.(entry, response, request)) return;
      if (entry.method === 'GET') {
        const object = objects.get(url.pathname);
        if (object !== undefined) return send(response, 200, object);
        const last = url.pathname.split('/').at(-1) ?? '';
        if (PLURALS.has(last)) return collection(url, response);
        return refuse(response, 404, 'NotFound');
      }
      if (entry.method === 'DELETE') {
        drop(url.pathname);
        return send(response, 200, { kind: 'Status', status: 'Success' });
      }
      return write(entry.method, url, entry.body as unknown as KubeObject, request, response);
    });
  });
  server.on('secureConnection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'fake', server: address, caData: Buffer.from(authority.ca).toString('base64'), skipTLSVerify: false },
    { name: 'test', token: 'test-token' },
  );
  const kube = createTransport({ config, userAgent: 'a test' });

  const fake: FakeApiServer = {
    kube,
    config,
    asked,
    intercept: undefined,
    connections: () => connections,
    watchers: () => watchers.size,
    put: (kind, object) => {
      const given = { apiVersion: kind.apiVersion, kind: kind.kind, ...object } as unknown as KubeObject;
      return store(pathFor(kind, nameOf(given)), given);
    },
    remove: (kind, key) => drop(pathFor(kind, key)),
    forget: (kind, key) => void objects.delete(pathFor(kind, key)),
    get: (kind, key) => objects.get(pathFor(kind, key)),
    events: (reason) =>
      asked
        .filter(({ method, url }) => method === 'POST' && url.pathname.startsWith('/apis/events.k8s.io/'))
        .map(({ body }) => body)
        .filter((body) => body?.['reason'] === reason),
    sendToWatchers: (line) => {
      for (const watcher of watchers) watcher.response.write(line);
    },
    resetWatchers: () => {
      for (const watcher of watchers) watcher.response.destroy();
    },
    endWatchers: () => {
      for (const watcher of watchers) watcher.response.end();
    },
    close: async () => {
      kube.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

const pathFor = (kind: ResourceKind, key: { namespace?: string; name: string }): string =>
  `${kind.apiVersion.includes('/') ? '/apis' : '/api'}/${kind.apiVersion}${key.namespace ? `/namespaces/${key.namespace}` : ''}/${kind.plural}/${key.name}`;
const send = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

const refuse = (response: ServerResponse, code: number, reason: string): void =>
  send(response, code, { kind: 'Status', status: 'Failure', code, reason, message: `refused: ${reason}` });

const PLURALS = new Set<string>(Object.values(KINDS).map((kind) => kind.plural));

const nameOf = (object: KubeObject): { name: string; namespace?: string } => ({
  name: object.metadata.name,
  ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }),
});

/** /api/v1/pods holds /api/v1/namespaces/a/pods/x, and so does /api/v1/namespaces/a/pods. */
function inCollection(path: string, collection: string): boolean {
  const holder = path.slice(0, path.lastIndexOf('/'));
  return holder === collection || holder.replace(/\/namespaces\/[^/]+(?=\/[^/]+$)/, '') === collection;
}

function merge(into: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof into === 'object' && into !== null && !Array.isArray(into) ? { ...(into as Record<string, unknown>) } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete base[key];
    else base[key] = merge(base[key], value);
  }
  return base;
}

/** Waits until the assertions in `probe` hold. */
export const eventually = (probe: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(probe, { timeout: 30_000, interval: 10 });
