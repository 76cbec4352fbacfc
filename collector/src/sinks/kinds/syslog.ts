import { once } from 'node:events';
import { hostname } from 'node:os';
import { connect, type TLSSocket } from 'node:tls';
import { SinkError } from '../errors.ts';
import { asciiJson, type Batch, type Outgoing, type Sink } from '../sink.ts';
import { readOptional } from './files.ts';

export interface SyslogSettings {
  readonly host: string;
  readonly port: number;
  /** What the certificate has to name. Default: the host. */
  readonly serverName?: string | undefined;
  readonly caFile?: string | undefined;
  /** Who sends, where the receiver wants to know. */
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Private enterprise number behind the names of structured data. */
  readonly enterpriseId: number;
}

const LIMITS = { events: 500, bytes: 1_000_000 };
/** For connection, TLS, sending, and until the receiver has read it all. */
const TIMEOUT_MS = 30_000;
/** "log audit" (RFC 5424 §6.2.1). */
const FACILITY = 13;
/** Severities of syslog for OCSF's 1 to 5. */
const SEVERITIES = { 1: 6, 2: 5, 3: 4, 4: 3, 5: 2 } as const;
/** RFC 5424 §6. */
const MAX_HOSTNAME = 255;

/**
 * RFC 5424 over TLS, framed by octet counting (RFC 5425). Syslog confirms nothing, so a batch is a connection: it counts as delivered when the
 * receiver has read to the end of it and has closed, without an error before.
 */
export function openSyslog(settings: SyslogSettings, limits = LIMITS): Sink {
  const { host, port, serverName, caFile, certificateFile, keyFile, enterpriseId } = settings;
  const words = { host: printable(hostname(), MAX_HOSTNAME), enterpriseId };
  return {
    limits,
    async deliver(batch, stop) {
      const [ca, cert, key] = await Promise.all([readOptional(caFile), readOptional(certificateFile), readOptional(keyFile)]);
      const signal = AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]);
      const socket = connect({
        host,
        port,
        servername: serverName ?? host,
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      });
      try {
        await once(socket, 'secureConnect', { signal });
        await sent(socket, framed(batch, words), signal);
      } finally {
        socket.destroy();
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Writes all, ends, and waits until the other side has ended too. */
async function sent(socket: TLSSocket, bytes: Buffer, signal: AbortSignal): Promise<void> {
  let isWritten = false;
  let early = false;
  socket.once('end', () => {
    early = !isWritten;
  });
  // Whatever a receiver says has no meaning here, but its end is behind it.
  socket.resume();
  const closed = once(socket, 'close', { signal });
  socket.end(bytes, () => {
    isWritten = true;
  });
  const [failed] = await closed.catch((cause: unknown) => {
    throw signal.aborted ? new SinkError('SinkUnconfirmed', 'the receiver has not read to the end in time', { cause }) : cause;
  });
  if (early || failed === true) throw new SinkError('SinkUnconfirmed', 'the receiver closed before it had read to the end');
}

interface Words {
  readonly host: string;
  readonly enterpriseId: number;
}

/** The checkpoint, then the events, each `LENGTH SP MESSAGE`. */
export function framed({ events, checkpoint }: Batch, words: Words): Buffer {
  const messages = [checkpointMessage(checkpoint, words), ...events.map((each) => eventMessage(each, words))];
  return Buffer.concat(
    messages.flatMap((message) => {
      const bytes = Buffer.from(message);
      return [Buffer.from(`${bytes.length} `), bytes];
    }),
  );
}

function checkpointMessage({ note, size }: Batch['checkpoint'], { host, enterpriseId }: Words): string {
  const data = element(`checkpoint@${enterpriseId}`, { size: String(size) });
  return `<${FACILITY * 8 + 6}>1 - ${host} chaperone - CHECKPOINT ${data} ${asciiJson({ size, note })}`;
}

function eventMessage({ id, leaf, event, text }: Outgoing, { host, enterpriseId }: Words): string {
  const data = element(`chaperone@${enterpriseId}`, {
    id,
    leaf: String(leaf),
    class: String(event.class_uid),
    code: event.metadata.event_code,
    session: event.metadata.correlation_uid,
  });
  const priority = FACILITY * 8 + SEVERITIES[event.severity_id];
  return `<${priority}>1 ${new Date(event.time).toISOString()} ${host} chaperone - ${event.class_uid} ${data} ${text}`;
}

function element(id: string, params: Readonly<Record<string, string>>): string {
  return `[${id}${Object.entries(params)
    .map(([name, value]) => ` ${name}="${paramValue(value)}"`)
    .join('')}]`;
}

/** RFC 5424 §6.3.3: three characters are escaped. Control characters have no escape there, and become U+FFFD. */
export function paramValue(value: string): string {
  return value
    .toWellFormed()
    .replaceAll(/[\p{Cc}\u2028\u2029]/gu, '\ufffd')
    .replaceAll(/["\\\]]/g, String.raw`\$&`);
}

function printable(text: string, most: number): string {
  return text.replaceAll(/[^!-~]/g, '').slice(0, most) || '-';
}
