import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { createServer as createTls, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { type Certified, eventually, freePort, startS3 } from '@chaperone/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { parquetReadObjects } from 'hyparquet';
import { Webhook } from 'standardwebhooks';
import { end } from './nats.ts';

/** A receiver as its own documents describe one, which is down until `up`. */
export interface TestReceiver {
  /** What a file of sinks says of it. */
  readonly settings: Readonly<Record<string, unknown>>;
  up(): Promise<void>;
  /** Events in the order in which they came, each an id and what was received of it. */
  received(): Promise<{ readonly id: string; readonly event: unknown }[]> | { readonly id: string; readonly event: unknown }[];
  /** Every checkpoint that came. */
  checkpoints(): Promise<string[]> | string[];
  down(): Promise<void>;
}

export interface Setting {
  readonly directory: string;
  readonly tls: Certified;
  /** PEM of who certified that. */
  readonly ca: string;
  /** What the sink believes. */
  readonly caFile: string;
}

type Json = Record<string, unknown>;
const idIn = (event: unknown): string => ((event as Json)['metadata'] as { uid: string }).uid;

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

type Handle = (path: string, body: string, headers: Record<string, string>) => readonly [number, unknown];

/** An HTTPS server that answers as `handle` says. */
async function https({ tls }: Setting, handle: Handle): Promise<{ url: string; up(): Promise<void>; down(): Promise<void> }> {
  const port = await freePort();
  const server = createHttps({ cert: tls.certificate, key: tls.key }, (request, response) => {
    const answer = async (): Promise<void> => {
      const body = await bodyOf(request);
      const [status, said] = handle(request.url ?? '', body, request.headers as Record<string, string>);
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(typeof said === 'string' ? said : JSON.stringify(said));
    };
    void answer();
  });
  return {
    url: `https://127.0.0.1:${port}`,
    async up() {
      await once(server.listen(port, '127.0.0.1'), 'listening');
    },
    async down() {
      server.closeAllConnections();
      server.close();
      await Promise.resolve();
    },
  };
}

/** One that answers everything by the same. */
export async function answering(setting: Setting, status: number, body: string): Promise<{ url: string; down(): Promise<void> }> {
  const server = await https(setting, () => [status, body]);
  await server.up();
  return server;
}

/** RFC 5424 §6 as a pattern; one element of structured data, whose values are unescaped behind it. */
const MESSAGE =
  /^<(\d{1,3})>1 (\S+) (\S{1,255}) chaperone - (\S{1,32}) \[(\w+)@32473((?: \w+="(?:[^"\\\]]|\\["\\\]])*")*)\] ([\x20-\x7e]*)$/;

export async function syslog(setting: Setting): Promise<TestReceiver> {
  const port = await freePort();
  const frames: string[] = [];
  const server = createTls({ cert: setting.tls.certificate, key: setting.tls.key }, (socket: TLSSocket) => {
    let held = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      for (;;) {
        const [, length] = /^(\d+) /.exec(held.toString('latin1', 0, 12)) ?? [];
        const head = (length?.length ?? 0) + 1;
        if (length === undefined || held.length < head + Number(length)) return;
        frames.push(held.toString('utf8', head, head + Number(length)));
        held = held.subarray(head + Number(length));
      }
    });
  });
  const parsed = () =>
    frames.map((frame) => {
      const [, priority, time, , msgId, , params = '', text = ''] = MESSAGE.exec(frame) ?? [];
      if (priority === undefined) throw new Error(`not RFC 5424: ${JSON.stringify(frame.slice(0, 300))}`);
      const said = Object.fromEntries(
        [...params.matchAll(/ (\w+)="((?:[^"\\\]]|\\.)*)"/g)].map(([, key = '', value = '']) => [
          key,
          value.replaceAll(/\\(.)/g, '$1'),
        ]),
      );
      return { msgId, time, said, value: JSON.parse(text) as Json };
    });
  return {
    settings: { syslog: { address: `127.0.0.1:${port}`, serverName: 'localhost', caFile: setting.caFile } },
    async up() {
      await once(server.listen(port, '127.0.0.1'), 'listening');
    },
    received: () =>
      parsed()
        .filter(({ msgId }) => msgId !== 'CHECKPOINT')
        .map(({ said, value }) => ({ id: said['id'] ?? '', event: value })),
    checkpoints: () => parsed().flatMap(({ msgId, value }) => (msgId === 'CHECKPOINT' ? [String(value['note'])] : [])),
    async down() {
      server.close();
      await Promise.resolve();
    },
  };
}

/** Takes events, and says that they are indexed when it is asked for the second time. */
export async function splunk(setting: Setting): Promise<TestReceiver> {
  const tokenFile = join(setting.directory, 'hec-token');
  writeFileSync(tokenFile, 'hec-secret\n');
  const taken: { lines: Json[]; asked: number }[] = [];
  const server = await https(setting, (path, body, headers) => {
    if (headers['authorization'] !== 'Splunk hec-secret') return [403, { text: 'Invalid token', code: 4 }];
    if (!/^[0-9a-f-]{36}$/.test(headers['x-splunk-request-channel'] ?? ''))
      return [400, { text: 'Data channel is missing', code: 10 }];
    if (path === '/services/collector/event') {
      taken.push({ lines: body.split('\n').map((line) => JSON.parse(line) as Json), asked: 0 });
      return [200, { text: 'Success', code: 0, ackId: taken.length - 1 }];
    }
    const { acks } = JSON.parse(body) as { acks: number[] };
    return [200, { acks: Object.fromEntries(acks.map((id) => [id, (taken[id] ?? { asked: 0 }).asked++ > 0])) }];
  });
  const lines = (isEvent: boolean): Json[] =>
    taken
      .filter(({ asked }) => asked > 1)
      .flatMap(({ lines: each }) => each.filter((line) => (line['sourcetype'] === 'chaperone:ocsf') === isEvent));
  return {
    ...server,
    settings: { splunk: { url: server.url, tokenFile: 'hec-token', caFile: setting.caFile, index: 'audit' } },
    received: () => lines(true).map((line) => ({ id: String((line['fields'] as Json)['event_id']), event: line['event'] })),
    checkpoints: () => lines(false).map((line) => (line['event'] as { note: string }).note),
  };
}

/** AnyValue of OTLP as the value that it is of. */
function valueOf(any: Json): unknown {
  const [[kind, value] = ['', null]] = Object.entries(any);
  if (kind === 'intValue') return Number(value);
  if (kind === 'arrayValue') return (value as { values: Json[] }).values.map(valueOf);
  if (kind === 'kvlistValue') return Object.fromEntries(pairs((value as { values: Json[] }).values));
  return value;
}
const pairs = (list: readonly Json[]): [string, unknown][] => list.map(({ key, value }) => [String(key), valueOf(value as Json)]);

export async function otlp(setting: Setting): Promise<TestReceiver> {
  writeFileSync(join(setting.directory, 'otlp-headers'), 'Authorization: Bearer otlp-secret\n');
  const events: { id: string; event: unknown }[] = [];
  const notes: string[] = [];
  const server = await https(setting, (path, body, headers) => {
    if (path !== '/v1/logs' || headers['authorization'] !== 'Bearer otlp-secret') return [401, {}];
    const { resourceLogs } = JSON.parse(body) as {
      resourceLogs: { resource: { attributes: Json[] }; scopeLogs: { logRecords: Json[] }[] }[];
    };
    for (const { resource, scopeLogs } of resourceLogs) {
      notes.push(String(Object.fromEntries(pairs(resource.attributes))['chaperone.log.checkpoint']));
      for (const record of scopeLogs.flatMap(({ logRecords }) => logRecords)) {
        const { 'log.record.uid': id } = Object.fromEntries(pairs(record['attributes'] as Json[]));
        const event = valueOf(record['body'] as Json) as Json;
        if (BigInt(String(record['timeUnixNano'])) !== BigInt(event['time'] as number) * 1_000_000n) return [400, {}];
        events.push({ id: String(id), event });
      }
    }
    return [200, { partialSuccess: {} }];
  });
  const settings = { otlp: { url: `${server.url}/v1/logs`, headersFile: 'otlp-headers', caFile: setting.caFile } };
  return { ...server, settings, received: () => events, checkpoints: () => notes };
}

export async function webhook(setting: Setting): Promise<TestReceiver> {
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  writeFileSync(join(setting.directory, 'webhook-secret'), `${secret}\n`);
  const verifier = new Webhook(secret);
  const events: { id: string; event: unknown }[] = [];
  const notes: string[] = [];
  const server = await https(setting, (_, body, headers) => {
    const { data } = verifier.verify(body, headers) as { data: { events: unknown[]; checkpoint: string } };
    events.push(...data.events.map((event) => ({ id: idIn(event), event })));
    notes.push(data.checkpoint);
    return [204, ''];
  });
  const settings = { webhook: { url: `${server.url}/hook`, secretFile: 'webhook-secret', caFile: setting.caFile } };
  return { ...server, settings, received: () => events, checkpoints: () => notes };
}

export async function nats(setting: Setting): Promise<TestReceiver> {
  const { tls, ca, caFile } = setting;
  const port = await freePort();
  const directory = join(setting.directory, `nats-${port}`);
  mkdirSync(directory);
  const [cert, key, config] = ['nats.crt', 'nats.key', 'nats.conf'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(cert, tls.certificate);
  writeFileSync(key, tls.key);
  writeFileSync(
    config,
    `listen: 127.0.0.1:${port}\njetstream { store_dir: "${join(directory, 'jetstream')}" }\ntls { cert_file: "${cert}", key_file: "${key}" }\n`,
  );
  const url = `tls://127.0.0.1:${port}`;
  const binary = execFileSync(fileURLToPath(new URL('../../scripts/nats-server', import.meta.url)), { encoding: 'utf8' }).trim();
  let child: ReturnType<typeof spawn> | undefined;
  const client = () => connect({ servers: url, tls: { ca } });
  const messages = async (): Promise<{ text: string; id: string; checkpoint: string }[]> => {
    const connection = await client();
    try {
      const consumer = await jetstream(connection).consumers.get('SIEM', { filter_subjects: ['siem.chaperone'] });
      const { num_pending: pending } = await consumer.info();
      const found: { text: string; id: string; checkpoint: string }[] = [];
      while (found.length < pending) {
        const message = await consumer.next({ expires: 1_000 });
        if (message === null) break;
        const said = (name: string): string => message.headers?.get(name) ?? '';
        found.push({ text: message.string(), id: said('Nats-Msg-Id'), checkpoint: said('Chaperone-Checkpoint') });
      }
      return found;
    } finally {
      await connection.close();
    }
  };
  return {
    settings: { nats: { servers: [url], subject: 'siem.chaperone', caFile } },
    async up() {
      child = spawn(binary, ['-c', config], { stdio: 'ignore' });
      const connection = await eventually('nats-server', client);
      const manager = await eventually('JetStream', () => jetstreamManager(connection));
      await manager.streams.add({ name: 'SIEM', subjects: ['siem.>'] });
      await connection.close();
    },
    received: async () => (await messages()).map(({ text, id }) => ({ id, event: JSON.parse(text) as unknown })),
    checkpoints: async () =>
      (await messages()).flatMap(({ checkpoint }) => (checkpoint === '' ? [] : [Buffer.from(checkpoint, 'base64').toString()])),
    down: () => end(child, 'SIGKILL'),
  };
}

/** A bucket behind TLS of our own: the server of S3 has none here. */
export async function bucket(
  setting: Setting,
  format: 'ndjson' | 'parquet' = 'ndjson',
): Promise<TestReceiver & { overwrite(suffix: string, text: string): Promise<void> }> {
  const server = await startS3();
  const { accessKeyId, secretAccessKey, endpoint } = server;
  writeFileSync(
    join(setting.directory, 's3-credentials'),
    `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
  );
  const s3 = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  await s3.send(new CreateBucketCommand({ Bucket: 'siem' }));
  const port = await freePort();
  const front = createTls({ cert: setting.tls.certificate, key: setting.tls.key }, (socket) => {
    const behind = connectTcp(Number(new URL(endpoint).port), '127.0.0.1');
    for (const each of [socket, behind]) each.on('error', () => undefined);
    socket.pipe(behind).pipe(socket);
  });
  const read = async (wanted: RegExp): Promise<Uint8Array[]> => {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: 'siem' }));
    const keys = Contents.flatMap(({ Key }) => (Key !== undefined && wanted.test(Key) ? [Key] : []));
    return Promise.all(
      keys.map(
        async (Key) =>
          (await (await s3.send(new GetObjectCommand({ Bucket: 'siem', Key }))).Body?.transformToByteArray()) ?? new Uint8Array(),
      ),
    );
  };
  const texts = async (wanted: RegExp): Promise<string[]> => (await read(wanted)).map((bytes) => Buffer.from(bytes).toString());
  return {
    settings: {
      s3: {
        bucket: 'siem',
        prefix: 'chaperone/',
        region: 'us-east-1',
        endpoint: `https://127.0.0.1:${port}`,
        pathStyle: true,
        format,
        credentialsFile: 's3-credentials',
        caFile: setting.caFile,
      },
    },
    async up() {
      await once(front.listen(port, '127.0.0.1'), 'listening');
    },
    received: async () => {
      const objects = await read(new RegExp(`^chaperone/\\d{4}/\\d\\d/\\d\\d/[\\d.]+-[\\d.]+\\.[0-9a-f]{32}\\.${format}$`));
      const events = await Promise.all(
        objects.map((bytes) => Promise.resolve(format === 'parquet' ? eventsOfParquet(bytes) : eventsOfLines(bytes))),
      );
      return events.flat().map((text) => {
        const event = JSON.parse(text) as unknown;
        return { id: idIn(event), event };
      });
    },
    async overwrite(suffix, text) {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: 'siem' }));
      for (const { Key = '' } of Contents)
        if (Key.endsWith(suffix)) await s3.send(new PutObjectCommand({ Bucket: 'siem', Key, Body: text }));
    },
    checkpoints: () => texts(/^chaperone\/checkpoints\/\d{12}\.[0-9a-f]{32}$/),
    async down() {
      front.close();
      s3.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}

export const parquet = (setting: Setting) => bucket(setting, 'parquet');

const eventsOfLines = (bytes: Uint8Array): string[] => Buffer.from(bytes).toString().trimEnd().split('\n');

export type ParquetRow = Readonly<Record<string, unknown>> & { readonly event: string };

export async function rowsOf(bytes: Uint8Array): Promise<ParquetRow[]> {
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  return (await parquetReadObjects({ file })) as ParquetRow[];
}

const eventsOfParquet = async (bytes: Uint8Array): Promise<string[]> => (await rowsOf(bytes)).map(({ event }) => event);
