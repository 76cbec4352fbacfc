import { isIP } from 'node:net';
import type { Whereabouts } from '@chaperone/policy';
import { isObject, type Json, type JsonObject, readJson } from '../actions/json.ts';
import type { Upstream } from './upstream.ts';

export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** For all that is asked. */
const TIMEOUT_MS = 5_000;
/** Of a pod, or of a Service. */
const MAX_BYTES = 2 * 1024 * 1024;

/**
 * Whether a pod runs what agents reach by a proxy of ours: its address is an upstream's, or a Service selects it that one names. The API
 * server is asked, by the credential of the request. What it does not tell counts as such; where no upstream lies in the pod's
 * namespace, it is asked nothing.
 */
export async function isProtectedPod(
  upstream: Pick<Upstream, 'call'>,
  places: readonly Pick<Whereabouts, 'upstream'>[],
  { namespace, name }: PodName,
  until: AbortSignal,
): Promise<boolean> {
  const hosts = places.map((place) => place.upstream.host);
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  const services = [...new Set(hosts.flatMap((host) => serviceOf(host, namespace)))];
  if (addresses.length + services.length === 0) return false;
  const signal = AbortSignal.any([until, AbortSignal.timeout(TIMEOUT_MS)]);
  const get = (what: string): Promise<JsonObject | undefined> =>
    objectAt(upstream, `/api/v1/namespaces/${namespace}/${what}`, signal);
  try {
    const pod = await get(`pods/${name}`);
    if (pod === undefined || ipsOf(pod).some((ip) => typeof ip === 'string' && addresses.includes(ip))) return true;
    const labels = membersOf(membersOf(pod['metadata'])['labels']);
    for (const each of services) {
      const selector = Object.entries(membersOf(membersOf((await get(`services/${each}`))?.['spec'])['selector']));
      if (selector.length > 0 && selector.every(([key, value]) => labels[key] === value)) return true;
    }
    return false;
  } catch {
    return true;
  }
}

/** The Service of `X.NS.svc…`, or of a pod behind one, `P.X.NS.svc…`, in this namespace. */
function serviceOf(host: string, namespace: string): string[] {
  const labels = host.toLowerCase().split('.');
  const at = labels.lastIndexOf('svc');
  const service = labels[at - 2];
  return at >= 2 && labels[at - 1] === namespace && service !== undefined ? [service] : [];
}

function ipsOf(pod: JsonObject): Json[] {
  const { podIP = '', podIPs } = membersOf(pod['status']);
  return [podIP, ...(Array.isArray(podIPs) ? (podIPs as readonly Json[]).map((each) => membersOf(each)['ip'] ?? '') : [])];
}

function membersOf(value: Json | undefined): Readonly<Record<string, Json>> {
  return isObject(value) ? value : {};
}

/** Undefined: there is none. @throws where that is not told */
async function objectAt(upstream: Pick<Upstream, 'call'>, target: string, signal: AbortSignal): Promise<JsonObject | undefined> {
  const answer = await upstream.call({ method: 'GET', target, headers: { accept: 'application/json' }, body: undefined }, signal);
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES) {
      answer.destroy();
      throw new Error('too long');
    }
    parts.push(chunk);
  }
  if (answer.statusCode === 404) return undefined;
  const read = readJson(Buffer.concat(parts));
  if (answer.statusCode !== 200 || !answer.complete || !isObject(read)) throw new Error('not told');
  return read;
}
