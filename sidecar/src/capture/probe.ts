import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { VERIFY_ANSWER, VERIFY_REQUEST } from './deny.ts';
import { errorCode, isMissingFamily } from './missing-family.ts';
import { RESERVED_PORT } from './rules.ts';

/** Addresses that belong to nobody (RFC 5737, RFC 3849): on any network, only a pod's own sidecar answers there. */
export const LITERALS = { ipv4: '192.0.2.1', ipv6: '2001:db8::1' } as const;
const LITERAL_PORT = 80;
const QUIC_PORT = 443;

export interface ProbeResult {
  readonly what: string;
  /** captured: the sidecar answered · closed: there is no way out at all · escaped: neither was seen · untried: it could not be tried. */
  readonly outcome: 'captured' | 'closed' | 'escaped' | 'untried';
  /** System error or what came instead. */
  readonly detail: string;
}

export interface ProbeOptions {
  readonly nonce: string;
  /** The virtual address on which the sidecar answers {@link RESERVED_PORT}. */
  readonly reserved: string;
  readonly attemptMs?: number;
  /** Where to try to get to. Default: {@link LITERALS}, port 80 by TCP and 443 by UDP */
  readonly literals?: { readonly ipv4: string; readonly ipv6: string; readonly tcpPort: number; readonly udpPort: number };
  /** Port to try from, but to the virtual address, whose way no rule changes. Default: any */
  readonly from?: number;
}

/** One look at every way out, as a process of no privilege sees it. */
export async function probeCapture({ nonce, reserved, attemptMs = 2_000, ...more }: ProbeOptions): Promise<ProbeResult[]> {
  const { ipv4, ipv6, tcpPort, udpPort } = more.literals ?? { ...LITERALS, tcpPort: LITERAL_PORT, udpPort: QUIC_PORT };
  const by = { nonce, attemptMs, from: more.from };
  return Promise.all([
    probeTcp(`the virtual address ${reserved}`, { host: reserved, port: RESERVED_PORT }, { ...by, from: undefined }),
    probeTcp(ipv4, { host: ipv4, port: tcpPort }, by),
    probeTcp(ipv6, { host: ipv6, port: tcpPort }, by),
    probeUdp({ host: ipv4, port: udpPort }, by),
    probeUdp({ host: ipv6, port: udpPort }, by),
  ]);
}

interface Place {
  readonly host: string;
  readonly port: number;
}
interface By {
  readonly nonce: string;
  readonly attemptMs: number;
  readonly from: number | undefined;
}

/** What an error of a probe means. A port that somebody else has says nothing about capture. */
function outcomeOf(error: unknown, closed: boolean): ProbeResult['outcome'] {
  if (closed || isMissingFamily(error)) return 'closed';
  return errorCode(error) === 'EADDRINUSE' ? 'untried' : 'escaped';
}

/**
 * What is not proven, as a sentence; undefined where capture holds: the virtual address and at least one literal reached this
 * pod's sidecar (it knew the nonce), and every other way out was refused by the pod itself.
 */
export function judgeCapture(results: readonly ProbeResult[]): string | undefined {
  const escaped = results.find(({ outcome }) => outcome === 'escaped');
  if (escaped !== undefined) return `a connection to ${escaped.what} was not stopped by the sidecar (${escaped.detail})`;
  const untried = results.find(({ outcome }) => outcome === 'untried');
  if (untried !== undefined) return `a connection to ${untried.what} could not be tried (${untried.detail})`;
  const [virtual, ...others] = results;
  if (virtual?.outcome !== 'captured') return `${virtual?.what ?? 'the virtual address'} did not reach the sidecar`;
  if (!others.some(({ outcome }) => outcome === 'captured')) return 'no connection to elsewhere reached the sidecar';
  return undefined;
}

function probeTcp(what: string, to: Place, { nonce, attemptMs, from }: By): Promise<ProbeResult> {
  const answer = `${VERIFY_ANSWER}${nonce}\n`;
  return new Promise((resolve) => {
    const socket = connect({ ...to, ...(from === undefined ? {} : { localPort: from }) });
    let received = '';
    const end = (outcome: ProbeResult['outcome'], detail: string): void => {
      // Without a reset the port would wait for the rest of a connection that is over; one that is not there yet cannot be reset.
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
      resolve({ what, outcome, detail });
    };
    socket.setTimeout(attemptMs, () => end('escaped', 'no answer'));
    socket.on('connect', () => socket.write(`${VERIFY_REQUEST}${nonce}\n`));
    socket.on('data', (chunk: Buffer) => {
      received = (received + chunk.toString('latin1')).slice(0, answer.length);
      if (received === answer) end('captured', 'nonce');
      else if (received.length >= answer.length) end('escaped', 'somebody else answered');
    });
    socket.on('end', () => end('escaped', 'closed without the nonce'));
    socket.on('error', (error) => end(outcomeOf(error, false), errorCode(error)));
  });
}

function probeUdp({ host, port }: Place, { attemptMs, from }: By): Promise<ProbeResult> {
  const what = `${host} by UDP`;
  return new Promise((resolve) => {
    const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', ipv6Only: host.includes(':') });
    const end = (outcome: ProbeResult['outcome'], detail: string): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.close();
      resolve({ what, outcome, detail });
    };
    const timer = setTimeout(() => end('escaped', 'no answer'), attemptMs);
    const failed = (error: Error | null): void => {
      if (error === null) end('escaped', 'the packet was sent');
      else end(outcomeOf(error, errorCode(error) === 'EPERM'), errorCode(error));
    };
    socket.on('error', failed);
    const send = (): void => socket.send('chaperone-verify', port, host, failed);
    if (from === undefined) send();
    else socket.bind(from, send);
  });
}
