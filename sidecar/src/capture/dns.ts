import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressIndex } from './addresses.ts';
import { CLASS_IN, decodeQuery, encodeFormatError, encodeReply, MAX_QUERY_BYTES, RCODE, TYPE } from './dns-wire.ts';
import { isMissingFamily } from './missing-family.ts';

/** Seconds for which a resolver may keep an answer: short, as a right that is withdrawn should look withdrawn. */
export const ANSWER_TTL_S = 5;
/** A stub resolver holds a TCP connection for one or two queries. */
const TCP_IDLE_MS = 5_000;
const MAX_TCP_CONNECTIONS = 64;
const MAX_QUERIES_PER_CONNECTION = 100;
const NOT_GRANTED = 'chaperone: no policy grants this name to this pod (NotGranted)';

export interface DnsZone {
  readonly index: Pick<AddressIndex, 'resolve'>;
  /** Search domains of the pod's resolver: `NAME.SEARCH` is another spelling of a granted `NAME`. */
  readonly search: readonly string[];
}

/**
 * The answer to one DNS message; undefined where it is no query and gets none.
 *
 * A and AAAA of granted names: the virtual addresses, TTL {@link ANSWER_TTL_S}. Other types of a granted name: no data.
 * Every other name is NXDOMAIN, not REFUSED, because of what resolvers do with them: glibc ends its whole search at REFUSED
 * ("temporary failure in name resolution"), so a granted name would not be found behind its search suffixes; musl ignores
 * REFUSED and waits out its timeouts, 10 s per name. NXDOMAIN carries no SOA, so no resolver keeps it (RFC 2308 §5) and a name
 * that is granted later works at once. Under EDNS the answer also says Prohibited (RFC 8914), which dig prints.
 * REFUSED is for what no stub resolver asks: other classes, transfers, ANY and the like. Nothing is ever forwarded, so no name
 * can carry data out.
 */
export function answerQuery(message: Buffer, { index, search }: DnsZone): Buffer | undefined {
  const decoded = decodeQuery(message);
  if (decoded.kind === 'ignore') return undefined;
  if (decoded.kind === 'malformed') return encodeFormatError(decoded.id);
  const { query } = decoded;
  if (query.opcode !== 0) return encodeReply(query, { rcode: RCODE.notImplemented });
  // RFC 6895 §3.1: 128 to 255 are questions about the zone (transfers, ANY), not about a name's data.
  if (query.class !== CLASS_IN || (query.type >= 128 && query.type <= 255)) return encodeReply(query, { rcode: RCODE.refused });
  const found = spellings(query.name, search)
    .map((name) => index.resolve(name))
    .find((addresses) => addresses !== undefined);
  if (found === undefined) return encodeReply(query, { rcode: RCODE.nameError, note: NOT_GRANTED });
  const addresses = query.type === TYPE.A ? found.ipv4 : query.type === TYPE.AAAA ? found.ipv6 : [];
  return encodeReply(query, { rcode: RCODE.noError, addresses, ttlS: ANSWER_TTL_S });
}

function spellings(name: string, search: readonly string[]): string[] {
  const bare = search
    .map((suffix) => `.${suffix.toLowerCase()}`)
    .filter((suffix) => name.endsWith(suffix))
    .map((suffix) => name.slice(0, -suffix.length));
  return [name, ...bare];
}

/** The search list of a resolv.conf: the last `search` line counts (resolv.conf(5)). */
export function searchDomains(resolvConf: string): string[] {
  const line = resolvConf
    .split('\n')
    .filter((text) => /^search\s/.test(text))
    .at(-1);
  return (line?.trim().split(/\s+/).slice(1) ?? []).map((domain) => domain.replace(/\.$/, '').toLowerCase()).filter(Boolean);
}

export interface DnsServerOptions {
  readonly port: number;
  readonly search: readonly string[];
  /** The addresses in force now. */
  readonly index: () => Pick<AddressIndex, 'resolve'>;
  /**
   * 127.0.0.1 and ::1 by default. They are bound one by one: a wildcard UDP socket would answer from the pod's own address,
   * which conntrack does not translate back, so every query would time out.
   */
  readonly hosts?: readonly string[];
}

/** Serves DNS over UDP and TCP. Rejects where a port is taken; a missing address family is left out. */
export async function startDns(options: DnsServerOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const hosts = options.hosts ?? ['127.0.0.1', '::1'];
  const answer = (message: Buffer): Buffer | undefined =>
    answerQuery(message, { index: options.index(), search: options.search });
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((close) => close()));
  };
  const listen = async (host: string, at: number): Promise<number> => {
    try {
      const server = await listenTcp(host, at, answer);
      stops.push(server.stop);
      stops.push(await listenUdp(host, server.port, answer));
      return server.port;
    } catch (error) {
      if (host === hosts[0] || !isMissingFamily(error)) throw error;
      return at;
    }
  };
  let port = options.port;
  try {
    for (const host of hosts) port = await listen(host, port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop };
}

async function listenUdp(
  host: string,
  port: number,
  answer: (message: Buffer) => Buffer | undefined,
): Promise<() => Promise<void>> {
  const socket: DatagramSocket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, from) => {
    const reply = answer(message);
    // An answer that cannot be delivered is the asker's loss; it asks again.
    if (reply !== undefined) socket.send(reply, from.port, from.address, () => undefined);
  });
  socket.bind(port, host);
  await once(socket, 'listening');
  socket.on('error', () => undefined);
  return () => new Promise((resolve) => socket.close(() => resolve()));
}

async function listenTcp(
  host: string,
  port: number,
  answer: (message: Buffer) => Buffer | undefined,
): Promise<{ port: number; stop: () => Promise<void> }> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    serveConnection(socket, answer);
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  server.listen({ port, host, ipv6Only: true });
  await once(server, 'listening');
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : port,
    stop: () => {
      for (const socket of open) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** DNS over TCP: each message behind its length in two bytes (RFC 1035 §4.2.2). */
function serveConnection(socket: Socket, answer: (message: Buffer) => Buffer | undefined): void {
  let pending = Buffer.alloc(0);
  let queries = 0;
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const length = pending.length < 2 ? undefined : pending.readUInt16BE(0);
      if (length === undefined || (length <= MAX_QUERY_BYTES && pending.length < 2 + length)) break;
      const reply = length > MAX_QUERY_BYTES ? undefined : answer(pending.subarray(2, 2 + length));
      pending = pending.subarray(2 + length);
      queries += 1;
      if (reply === undefined || queries > MAX_QUERIES_PER_CONNECTION) {
        socket.destroy();
        break;
      }
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([prefix, reply]));
    }
  });
}
