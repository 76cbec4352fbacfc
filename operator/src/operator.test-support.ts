import { generateKeyPairSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { encodeNkey, type Signer } from '@chaperone/evidence';
import { KINDS } from '@chaperone/kube';
import { enrolmentProof, StreamLine } from '@chaperone/policy';
import { expect } from 'vitest';
import type { FakeApiServer } from '@chaperone/kube/fake-api-server';

export const ENVIRONMENT = {
  POD_NAME: 'operator-0',
  POD_UID: 'op-uid',
  POD_IP: '127.0.0.1',
  POD_NAMESPACE: 'chaperone-system',
  CHAPERONE_CLUSTER_NAME: 'test',
  CHAPERONE_IMAGE: 'registry.example/chaperone@sha256:0000',
  CHAPERONE_NATS_URL: 'nats://nats.chaperone-system.svc:4222',
  CHAPERONE_SIDECAR_PORT: '0',
  CHAPERONE_WEBHOOK_PORT: '0',
  CHAPERONE_HEALTH_PORT: '0',
};
export const AGENTS = 'agents';

/** A token of these tests reads POD.UID.SERVICEACCOUNT.AUDIENCE; the fake API server reviews it. */
export const tokenOf = (pod: string, uid = `${pod}-uid`, audience = 'chaperone-sidecar'): string =>
  `${pod}.${uid}.support.${audience}`;

/** Answers reviews of tokens of {@link tokenOf}. */
export const reviewsTokens: NonNullable<FakeApiServer['intercept']> = (asked, response) => {
  if (!asked.url.pathname.endsWith('/tokenreviews')) return false;
  const { token = '', audiences = [] } = (asked.body?.spec ?? {}) as { token?: string; audiences?: string[] };
  const [pod, uid, account, audience] = token.split('.');
  const extra = { 'authentication.kubernetes.io/pod-name': [pod], 'authentication.kubernetes.io/pod-uid': [uid] };
  const user = { username: `system:serviceaccount:${AGENTS}:${account ?? ''}`, extra };
  const good = audience !== undefined && audiences.length === 1 && audiences[0] === audience;
  response.writeHead(201, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ status: good ? { authenticated: true, audiences, user } : { error: 'bad token' } }));
  return true;
};

/** A governed namespace, one of a data owner, and what the chart installs. */
export function putCluster(api: FakeApiServer): void {
  api.put(KINDS.namespaces, { metadata: { name: 'kube-system', uid: 'cluster-uid' } });
  api.put(KINDS.namespaces, { metadata: { name: 'data' } });
  api.put(KINDS.namespaces, { metadata: { name: AGENTS, labels: { 'chaperone.dev/inject': 'enabled' } } });
  api.put(KINDS.mutatingWebhooks, {
    metadata: { name: 'chaperone' },
    webhooks: [{ name: 'pods.chaperone.dev', clientConfig: {} }],
  });
}

/** A pod of an agent, as injection leaves it. */
export function putAgentPod(
  api: FakeApiServer,
  name: string,
  mods: { uid?: string; created?: string; injected?: boolean } = {},
): void {
  const profile = api.get(KINDS.injectionProfiles, { name: 'default' });
  const { containers, volumes } = (profile?.spec ?? {}) as { containers?: unknown[]; volumes?: unknown[] };
  api.put(KINDS.pods, {
    metadata: {
      namespace: AGENTS,
      name,
      uid: mods.uid ?? `${name}-uid`,
      labels: { app: 'support' },
      creationTimestamp: mods.created ?? new Date().toISOString(),
    },
    spec: {
      serviceAccountName: 'support',
      containers: [{ name: 'agent' }],
      ...(mods.injected === false ? {} : { initContainers: containers, volumes }),
    },
    status: { phase: 'Running' },
  });
}

export interface Answer {
  status: number;
  body: unknown;
}
export interface Call {
  readonly server: Server;
  readonly ca: string;
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly body?: unknown;
}
export function send({ server, ca, method, path, token, body }: Call): Promise<IncomingMessage> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const headers = { ...authorization, 'content-type': 'application/json' };
    const options = { host: '127.0.0.1', servername: 'chaperone-operator.chaperone-system.svc', port, path, method, ca, headers };
    const sent = request(options, resolve).on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
export async function answerTo(what: Call): Promise<Answer> {
  const response = await send(what);
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return { status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) };
}

const tlsPublicKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' });
export function enrolment(token: string, nkey: Signer, mods: object = {}): object {
  const nkeyProof = nkey.sign(enrolmentProof(token, tlsPublicKey)).toString('base64');
  return { protocol: 1, version: '0.1.0', tlsPublicKey, nkey: encodeNkey(nkey.publicKey), nkeyProof, ...mods };
}

export interface OpenStream {
  readonly lines: StreamLine[];
  readonly ended: () => boolean;
}
export async function streamOf(what: Omit<Call, 'method' | 'path'>): Promise<OpenStream> {
  const response = await send({ ...what, method: 'GET', path: '/v1/stream' });
  expect(response.statusCode).toBe(200);
  const lines: StreamLine[] = [];
  let ended = false;
  createInterface({ input: response }).on('line', (line) => lines.push(StreamLine.parse(JSON.parse(line))));
  response.on('end', () => {
    ended = true;
  });
  response.on('error', () => undefined);
  return { lines, ended: () => ended };
}
