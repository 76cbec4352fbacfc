import type { KubernetesCall } from '@chaperone/evidence';
import { type Body, nameIn, type RawRequest, type ResourceRequest } from '../actions/index.ts';

const USER_AGENT = /^[\x20-\x7e]{1,256}$/;
/** kubectl says so of itself (KEP-859): which of its commands it runs, and a UUID for the one run. */
const COMMAND = /^kubectl( [a-z][a-z-]{0,31}){0,3}$/;
const RUN = /^[0-9a-fA-F-]{8,36}$/;

/** Longer ones are no names of Kubernetes (a subdomain of RFC 1123). */
const MAX_NAME = 253;

/**
 * What a request is about, as an audit event of the API server has it, and what its client says of itself, which may be anything.
 *
 * @param body - has the name of what is created
 */
export function callOf(request: ResourceRequest, raw: RawRequest, masked: (text: string) => string, body?: Body): KubernetesCall {
  const { verb, group, version, resource, subresource, namespace, dryRun } = request;
  const { command, run } = runOf(raw);
  const userAgent = headerOf(raw, 'user-agent', USER_AGENT);
  return {
    verb,
    group,
    version,
    resource,
    subresource,
    namespace: masked(namespace),
    name: masked(nameIn(request, body)).slice(0, MAX_NAME),
    dryRun,
    ...(userAgent !== undefined && { userAgent: masked(userAgent).slice(0, 64) }),
    ...(command !== undefined && { command }),
    ...(run !== undefined && { run }),
  };
}

/** Which run of kubectl it is of, for people: `kubectl apply, run 1f2e3d4c`. Requests of one run are asked for one by one. */
export function runWords(raw: RawRequest): string | undefined {
  const { command, run } = runOf(raw);
  return run === undefined ? undefined : `${command ?? 'kubectl'}, run ${run.slice(0, 8)}`;
}

function runOf(raw: RawRequest): { readonly command: string | undefined; readonly run: string | undefined } {
  return { command: headerOf(raw, 'kubectl-command', COMMAND), run: headerOf(raw, 'kubectl-session', RUN) };
}

/** Of one that comes once, and is what it must be. */
function headerOf({ headers }: RawRequest, wanted: string, shape: RegExp): string | undefined {
  const [first, ...more] = headers.filter(([name]) => name.toLowerCase() === wanted);
  return first !== undefined && more.length === 0 && shape.test(first[1]) ? first[1] : undefined;
}
