import { Duplex } from 'node:stream';
import { visible } from '@chaperone/api';
import { WebSocket } from 'ws';
import type { ClusterAccess } from './kubeconfig.ts';

/**
 * Port forwarding over WebSocket: each message starts with a channel, and each channel with the port as two bytes.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (connect GET requests to portforward of Pod)
 *
 *     +---------+-----------------------------+
 *     | channel | first on a channel: port LE |
 *     | 1 byte  | then: data                  |
 *     +---------+-----------------------------+
 */
const PROTOCOL = 'v4.channel.k8s.io';
const DATA = 0;
const ERROR = 1;
const PORT_BYTES = 2;
/** Kubelet and API server copy in pieces of 32 KiB. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Above this much unread the socket is paused. */
const HIGH_WATER_BYTES = 256 * 1024;
const MAX_SAID = 200;

export type TunnelErrorCode = 'Refused' | 'PodGone' | 'Lost' | 'Silent' | 'NotTunnel';

/** The tunnel could not be opened, or broke. `status` is what the API server answered in place of a tunnel. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
  readonly code: TunnelErrorCode;
  readonly status: number | undefined;
  constructor(code: TunnelErrorCode, message: string, options: ErrorOptions & { status?: number } = {}) {
    super(message, options);
    this.code = code;
    this.status = options.status;
  }
}

export interface TunnelTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** Opens a stream to a port inside a pod by the API server's `pods/portforward`. Throws TunnelError and what connectOptions() throws. */
export async function openTunnel(access: ClusterAccess, target: TunnelTarget): Promise<Duplex> {
  const options = await access.connectOptions();
  const { server, timeoutMs } = access;
  const path = `/api/v1/namespaces/${encodeURIComponent(target.namespace)}/pods/${encodeURIComponent(target.pod)}/portforward`;
  const url = `wss://${server.host}${server.pathname.replace(/\/$/, '')}${path}?ports=${target.port}`;
  const socket = new WebSocket(url, [PROTOCOL], {
    ...options,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    ...(timeoutMs === undefined ? {} : { handshakeTimeout: timeoutMs }),
  });
  // Messages may come together with the handshake's answer, so whoever reads them listens before it.
  const tunnel = new Tunnel(socket, target.port);
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('unexpected-response', (request, response) => {
      request.destroy();
      reject(refused(response.statusCode ?? 0, target.pod));
    });
    socket.once('error', (cause) => {
      reject(new TunnelError('Lost', `the tunnel to pod ${target.pod} could not be opened`, { cause }));
    });
  }).catch((error: unknown) => {
    tunnel.on('error', () => undefined);
    tunnel.destroy();
    throw error;
  });
  return tunnel;
}

function refused(status: number, pod: string): TunnelError {
  if (status === 404) return new TunnelError('PodGone', `pod ${pod} is gone`, { status });
  return new TunnelError('Refused', `the API server answers ${status} to a tunnel to pod ${pod}`, { status });
}

class Tunnel extends Duplex {
  readonly #socket: WebSocket;
  readonly #port: number;
  readonly #head = new Map<number, Buffer>();

  constructor(socket: WebSocket, port: number) {
    super({ readableHighWaterMark: HIGH_WATER_BYTES, writableHighWaterMark: HIGH_WATER_BYTES });
    this.#socket = socket;
    this.#port = port;
    socket.on('message', (data, isBinary) => {
      if (isBinary && Buffer.isBuffer(data) && data.length > 0) this.#take(data[0] ?? -1, data.subarray(1));
      else this.destroy(new TunnelError('NotTunnel', 'the API server sends something else than a tunnel'));
    });
    socket.on('close', () => this.#ended());
    socket.on('error', (cause) => this.destroy(new TunnelError('Lost', 'the tunnel broke', { cause })));
  }

  override _read(): void {
    if (this.#socket.readyState !== WebSocket.CONNECTING) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.send(Buffer.concat([Buffer.of(DATA), chunk]), { binary: true }, (error) => done(error));
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.close();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }

  #take(channel: number, data: Buffer): void {
    const rest = this.#afterPort(channel, data);
    if (rest === undefined || rest.length === 0) return;
    if (channel === DATA) {
      if (!this.push(rest)) this.#socket.pause();
    } else if (channel === ERROR) {
      const said = visible(rest.toString('utf8'), MAX_SAID);
      this.destroy(new TunnelError('Lost', 'the port of the pod does not answer', { cause: new Error(said) }));
    } else {
      this.destroy(new TunnelError('NotTunnel', 'the API server sends on a channel that no tunnel has'));
    }
  }

  /** What follows the port on this channel; undefined while it is not complete or where it is not ours. */
  #afterPort(channel: number, data: Buffer): Buffer | undefined {
    const head = this.#head.get(channel) ?? Buffer.alloc(0);
    if (head.length === PORT_BYTES) return data;
    const missing = PORT_BYTES - head.length;
    const known = Buffer.concat([head, data.subarray(0, missing)]);
    this.#head.set(channel, known);
    if (known.length < PORT_BYTES) return undefined;
    if (known.readUInt16LE() !== this.#port) {
      this.destroy(new TunnelError('NotTunnel', 'the tunnel leads to another port'));
      return undefined;
    }
    return data.subarray(missing);
  }

  #ended(): void {
    if (!this.readableEnded && !this.destroyed) this.push(null);
  }
}
