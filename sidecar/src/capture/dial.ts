import { lookup } from 'node:dns/promises';
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import type { DialGuard } from './guard.ts';
import { errorCode } from './missing-family.ts';

/** How an upstream could not be reached. Messages name no address and no host: they may be shown to an agent. */
export class DialError extends Error {
  override readonly name = 'DialError';
  readonly code: 'UpstreamNotFound' | 'UpstreamForbidden' | 'UpstreamRefused' | 'UpstreamTimeout' | 'UpstreamUnreachable';
  constructor(code: DialError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  readonly guard: DialGuard;
  /** For name resolution and all attempts together. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Resolves a name to addresses; the system's resolver by default. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** What it is read into, as net.connect takes it; absent: each read brings a buffer of its own. */
  readonly onread?: OnReadOpts;
}

/** Enough for a service with a few addresses, few enough to end. */
const MAX_ADDRESSES = 8;

/**
 * The addresses of a host that the guard lets us dial, in the resolver's order.
 * @throws DialError UpstreamNotFound where there is none, UpstreamForbidden where the guard refuses all of them.
 */
export async function permittedAddresses({ host, guard, resolve = resolveByLookup }: DialOptions): Promise<string[]> {
  const all = isIP(host) === 0 ? await resolve(guard.absolute?.(host) ?? host).catch(() => []) : [host];
  if (all.length === 0) throw new DialError('UpstreamNotFound', 'the name of the upstream does not resolve');
  const judged = all.slice(0, MAX_ADDRESSES).map((address) => ({ address, refusal: guard.refuse(address) }));
  const permitted = judged.filter(({ refusal }) => refusal === undefined).map(({ address }) => address);
  if (permitted.length > 0) return permitted;
  throw new DialError('UpstreamForbidden', judged[0]?.refusal?.reason ?? 'the upstream may not be dialled');
}

/**
 * Resolves, judges and connects, trying each permitted address in turn. The address that was judged is the address that is
 * dialled: the name is not resolved a second time.
 * @throws DialError
 */
export async function dialUpstream(options: DialOptions): Promise<Socket> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 10_000);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const addresses = await withSignal(permittedAddresses(options), signal);
  let last: unknown;
  for (const address of addresses) {
    try {
      return await connectTo(address, options.port, signal, options.onread);
    } catch (error) {
      last = error;
      if (signal.aborted) break;
    }
  }
  if (timeout.aborted) throw new DialError('UpstreamTimeout', 'the upstream did not answer in time', { cause: last });
  const refused = errorCode(last) === 'ECONNREFUSED';
  throw new DialError(
    refused ? 'UpstreamRefused' : 'UpstreamUnreachable',
    refused ? 'the upstream refuses connections' : 'the upstream cannot be reached',
    { cause: last },
  );
}

/** Connects to one address that was judged already. The socket has an error handler; closing it is the caller's. */
export function connectTo(address: string, port: number, signal: AbortSignal, onread?: OnReadOpts): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new DialError('UpstreamTimeout', 'the upstream did not answer in time'));
    const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 };
    const socket = connect({ ...options, host: address, port, ...(onread !== undefined && { onread }) });
    const abort = (): void => {
      socket.destroy();
      reject(new DialError('UpstreamTimeout', 'the upstream did not answer in time'));
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', abort);
      reject(error);
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', abort);
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
  });
}

/** All addresses of a name, as the system resolves it. @throws where there is none */
export async function resolveByLookup(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
}

function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new DialError('UpstreamTimeout', 'the upstream did not answer in time'));
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
