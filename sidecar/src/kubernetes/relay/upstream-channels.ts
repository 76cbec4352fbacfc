import type { Shown } from '../../session/shown.ts';
import type { ResourceRequest } from '../actions/index.ts';
import { readJson, isObject } from '../actions/json.ts';
import type { ChannelProtocol } from '../wire/index.ts';
import { type Carrier, type CarrierEvents, TunnelCarrier } from './carrier.ts';
import { RefusedRequest } from './exchange.ts';
import { ChannelSide, type Side, type SideEvents } from './side.ts';
import type { Upstream } from './upstream.ts';

/** v5 alone can say that stdin has ended; API servers before 1.30 have it not. */
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const satisfies readonly ChannelProtocol[];

/**
 * Opens the streams of a process at the API server.
 * @throws RefusedRequest where it answers otherwise, UpstreamError
 */
export async function openChannels(
  upstream: Upstream,
  { target, headers }: ResourceRequest,
  signal: AbortSignal,
  events: SideEvents,
  shown: Shown,
): Promise<Side> {
  const answer = await upstream.upgrade({ target, headers, protocols: PROTOCOLS }, signal);
  if (answer.kind === 'refused') throw refusedBy(answer, shown);
  const protocol = PROTOCOLS.find((known) => known === answer.protocol) ?? PROTOCOLS[0];
  return new ChannelSide(answer, 'client', protocol, events);
}

/** The sub-protocol by which SPDY goes through a WebSocket, and what SPDY itself calls a port-forward. */
export const TUNNEL = 'SPDY/3.1+portforward.k8s.io';
export const PORT_FORWARD = 'portforward.k8s.io';

/**
 * Opens a port-forward at the API server (from Kubernetes 1.31 on).
 * @throws RefusedRequest where it answers otherwise, UpstreamError
 */
export async function openTunnel(
  upstream: Upstream,
  { target, headers }: ResourceRequest,
  signal: AbortSignal,
  shown: Shown,
): Promise<(events: CarrierEvents) => Carrier> {
  const answer = await upstream.upgrade({ target, headers, protocols: [TUNNEL] }, signal);
  if (answer.kind === 'refused') throw refusedBy(answer, shown);
  return (events) => new TunnelCarrier(answer.socket, answer.head, 'client', events);
}

/** What the API server answers in place of a connection. */
export interface NotOpened {
  readonly status: number;
  readonly body: Buffer;
}

/** Its own words where it is a Status, masked: there is no such pod, its own rules do not allow it. */
export function refusedBy({ status, body }: NotOpened, shown: Shown): RefusedRequest {
  if (status === 401)
    return new RefusedRequest({
      code: 'ResourceNotReady',
      detail: 'CredentialsRejected',
      reason: 'the API server does not take the credential of the resource',
      status: 503,
    });
  const said = shown
    .text(messageOf(body))
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .slice(0, 512);
  const reason = `the API server answers ${status}${said === '' ? '' : `: ${said}`}`;
  return new RefusedRequest({ code: 'ResourceNotReady', detail: 'UpstreamRefused', reason, status: status < 400 ? 502 : status });
}

function messageOf(body: Buffer): string {
  try {
    const value = readJson(body);
    const message = isObject(value) ? value['message'] : undefined;
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}
