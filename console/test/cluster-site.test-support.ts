import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type Certified, eventually, freePort, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { createCollector, createTokenAccess } from '@chaperone/collector';
import { reader, type Session, trust } from './world.test-support.ts';

/** What the API server is asked by a SubjectAccessReview. */
export interface Reviewed {
  readonly user: string;
  readonly groups: readonly string[];
  readonly resourceAttributes: Readonly<Record<string, string>>;
}

/** The program of a cluster's collector, with sessions in its store, and what it trusts and asks. */
export interface ClusterSite extends AsyncDisposable {
  readonly url: string;
  readonly reviewed: Reviewed[];
  /** What it has written so far. */
  readonly output: () => string;
  readonly providerPort: number;
  readonly tls: { readonly ca: string; readonly certified: Certified };
}

export const CLIENT = { id: 'console', secret: 'a-secret-of-the-console-of-this-test' };
export const callbackOf = (url: string): string => `${url}/auth/oidc/callback`;

/** Who is in group support may do all. There are no objects, and none come. */
async function anApiServer({ certificate, key }: Certified, reviewed: Reviewed[]): Promise<{ url: string; close: () => void }> {
  const answer = async (asked: IncomingMessage): Promise<object> => {
    if (asked.url !== '/apis/authorization.k8s.io/v1/subjectaccessreviews')
      return { metadata: { resourceVersion: '1' }, items: [] };
    const { spec } = (await json(asked)) as { spec: Reviewed };
    reviewed.push(spec);
    return { status: { allowed: spec.groups.includes('oidc:support') } };
  };
  const server = createServer({ cert: certificate, key }, (asked, response) => {
    response.setHeader('content-type', 'application/json');
    if (new URL(asked.url ?? '', 'https://localhost').searchParams.has('watch')) return response.flushHeaders();
    answer(asked).then(
      (body) => response.end(JSON.stringify(body)),
      () => response.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `https://localhost:${port}`, close: () => (server.closeAllConnections(), server.close()) };
}

function kubeconfig(server: string, ca: string): string {
  const cluster = { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return JSON.stringify({
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}

/** Where the provider is, what certifies it, and a way to write files that the program reads. */
export interface Place {
  readonly provider: string;
  readonly ca: string;
  readonly file: (name: string, content: string) => string;
}

function byOidc({ provider, ca, file }: Place): Record<string, string> {
  return {
    CHAPERONE_OIDC_ISSUER_URL: provider,
    CHAPERONE_OIDC_CLIENT_ID: CLIENT.id,
    CHAPERONE_OIDC_CLIENT_SECRET_FILE: file('secret', `${CLIENT.secret}\n`),
    CHAPERONE_OIDC_CA_FILE: file('ca.crt', ca),
    CHAPERONE_OIDC_USERNAME_CLAIM: 'email',
    CHAPERONE_OIDC_GROUPS_CLAIM: 'groups',
    CHAPERONE_OIDC_GROUPS_PREFIX: 'oidc:',
  };
}

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

async function store(directory: string, sessions: readonly Session[]): Promise<void> {
  const collector = await createCollector({
    directory,
    trust,
    readers: [reader],
    access: createTokenAccess('token'),
    logger: silent,
  });
  for (const { segments } of sessions) for (const bytes of segments) await collector.ingest(bytes);
  await collector.close();
}

/** Starts it at https://127.0.0.1, another site than the provider's https://localhost, which need not run yet. */
export async function startClusterSite(
  sessions: readonly Session[],
  signInBy: (place: Place) => Record<string, string> = byOidc,
): Promise<ClusterSite> {
  const directory = await temporaryDirectory('chaperone-console-');
  const authority = await testAuthority();
  const certified = await authority.issue(['localhost', '127.0.0.1']);
  const reviewed: Reviewed[] = [];
  const api = await anApiServer(certified, reviewed);
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory.path, name), content);
    return join(directory.path, name);
  };
  const [port, providerPort, brokerPort] = [await freePort(), await freePort(), await freePort()];
  const url = `https://127.0.0.1:${port}`;
  const data = join(directory.path, 'store');
  await store(data, sessions);
  const program = spawn(process.execPath, [fileURLToPath(new URL('../../collector/src/main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      KUBECONFIG: file('kubeconfig', kubeconfig(api.url, authority.ca)),
      CHAPERONE_DATA: data,
      CHAPERONE_ORIGIN: trust.origin,
      CHAPERONE_ENROLMENT_KEYS: file('keys', JSON.stringify(trust.enrolmentKeys)),
      CHAPERONE_READER_KEY_FILE: file('reader', Buffer.alloc(32, 9).toString('base64')),
      CHAPERONE_LISTEN: `127.0.0.1:${port}`,
      CHAPERONE_TLS_CERTIFICATE: file('tls.crt', certified.certificate),
      CHAPERONE_TLS_KEY: file('tls.key', certified.key),
      // Nobody is there: people look at what is stored while the broker is away.
      CHAPERONE_NATS_SERVERS: `nats://127.0.0.1:${brokerPort}`,
      CHAPERONE_CONSOLE_ORIGIN: url,
      ...signInBy({ provider: `https://localhost:${providerPort}`, ca: authority.ca, file }),
    },
  });
  let written = '';
  program.stdout.setEncoding('utf8').on('data', (chunk: string) => (written += chunk));
  const isUp = async (): Promise<true | undefined> =>
    (await statusOf(`${url}/healthz`, authority.ca)) === 200 ? true : undefined;
  await eventually('the collector', isUp, 90_000);
  return {
    url,
    reviewed,
    output: () => written,
    providerPort,
    tls: { ca: authority.ca, certified },
    [Symbol.asyncDispose]: async () => {
      const exited = once(program, 'exit');
      program.kill('SIGKILL');
      await exited;
      api.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function statusOf(url: string, ca: string): Promise<number | undefined> {
  const sent = request(url, { ca }).end();
  const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
  await text(response);
  return response.statusCode;
}
